"""Networks as other frameworks write them down, made into artefacts without TensorFlow."""
