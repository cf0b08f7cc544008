"""Load a model of another trainer: a SavedModel folder, or a Keras file."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import keras
import tensorflow as tf

from models.architectures.loading import load_saved_model
from models.architectures.upsampling import interpolated
from models.export.adopt_options import AdoptionError, AdoptOptions
from models.export.external import TensorFlowModel, first_line
from models.export.keras_scaling import takes_pixel_values


def load_external(path: Path, options: AdoptOptions) -> TensorFlowModel:
    """Load a SavedModel folder, or a `.keras` or `.h5` file. Raises AdoptionError."""
    if (path / "saved_model.pb").is_file():
        return _load_saved_model(path, options)
    if path.is_file() and path.suffix in (".keras", ".h5", ".hdf5"):
        return _load_keras(path, options)
    if not path.exists():
        raise AdoptionError(f"{path} is not there")
    raise AdoptionError(
        f"{path} is no network that segtrain adopts, which are: a SavedModel folder (with "
        "saved_model.pb), one of Hugging Face (with config.json, preprocessor_config.json and an "
        "ONNX file), .keras, .h5, .onnx, .xml, .tflite, .pt2 and TorchScript: docs/adopt.md"
    )


def _load_saved_model(path: Path, options: AdoptOptions) -> TensorFlowModel:
    try:
        loaded = load_saved_model(path)
    except Exception as error:  # TensorFlow raises what it likes for a damaged graph
        raise AdoptionError(f"{path} cannot be loaded: {first_line(error)}") from error
    signatures = dict(loaded.signatures)
    name = options.signature or (
        "serving_default" if len(signatures) != 1 else next(iter(signatures))
    )
    if name not in signatures:
        raise AdoptionError(
            f"{path} has no signature {name!r}; it has {', '.join(signatures) or 'none'}. "
            "Say --signature, or save the model with one"
        )
    function = signatures[name]
    inputs = function.structured_input_signature[1]
    if len(inputs) != 1:
        raise AdoptionError(
            f"signature {name} takes {len(inputs)} inputs ({', '.join(inputs)}); segtrain adopts "
            "models of one image input"
        )
    (key, spec), outputs = next(iter(inputs.items())), sorted(function.structured_outputs)
    output = _chosen(outputs, options)

    def run(images: tf.Tensor) -> tf.Tensor:
        return function(**{key: images})[output]

    run.loaded = loaded  # type: ignore[attr-defined]  # variables live as long as their module
    shape = _rank_four(spec.shape.as_list() if spec.shape.rank is not None else None)
    return TensorFlowModel(
        run, list(function.variables), shape, spec.dtype, f"SavedModel, signature {name}", False
    )


def _load_keras(path: Path, options: AdoptOptions) -> TensorFlowModel:
    try:
        model = keras.models.load_model(path, compile=False)
    except Exception as error:  # Keras raises what it likes for layers it does not know
        raise AdoptionError(
            f"{path} cannot be loaded: {first_line(error)}. If it has layers of its own, load it "
            "where they are known and save it with model.export(FOLDER) as a SavedModel"
        ) from error
    inputs, outputs = getattr(model, "inputs", None), getattr(model, "outputs", None)
    if not inputs or not outputs:
        raise AdoptionError(
            f"{path} does not say its input's shape, as a subclassed model; call it once and save "
            "it with model.export(FOLDER) as a SavedModel"
        )
    if len(inputs) != 1:
        raise AdoptionError(
            f"{path} takes {len(inputs)} inputs; segtrain adopts models of one image input"
        )
    _let_free_sizes_be_traced(model)
    names = _output_names(model)
    index = names.index(_chosen(names, options))

    def run(images: tf.Tensor) -> tf.Tensor:
        return tf.nest.flatten(model(images, training=False))[index]

    dtype = tf.as_dtype(inputs[0].dtype)
    rescales = takes_pixel_values(model, options)
    variables = [weight.value for weight in model.weights]
    shape = _rank_four(list(inputs[0].shape))
    return TensorFlowModel(run, variables, shape, dtype, f"Keras model {model.name}", rescales)


def _let_free_sizes_be_traced(model: keras.Model) -> None:
    """Have TensorFlow do what UpSampling2D does with a picture whose size is not known while a
    SavedModel is written (Keras 3.14 to 3.15.1 fail there unless it repeats pixels:
    findings/keras_upsampling_has_no_export.sh)."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            _let_free_sizes_be_traced(layer)
        elif isinstance(layer, keras.layers.UpSampling2D) and layer.interpolation != "nearest":
            layer.call = partial(_upsampled, layer)


def _upsampled(layer: keras.layers.UpSampling2D, inputs: tf.Tensor) -> tf.Tensor:
    if layer.data_format == "channels_last":
        return interpolated(inputs, layer.size, layer.interpolation)
    features = tf.transpose(inputs, (0, 2, 3, 1))
    return tf.transpose(interpolated(features, layer.size, layer.interpolation), (0, 3, 1, 2))


def _output_names(model: keras.Model) -> list[str]:
    """The outputs' names in the order of the flattened outputs: the keys of a dict, else those of
    the layers."""
    structure = getattr(model, "output", None)
    if isinstance(structure, Mapping):
        return sorted(structure)
    return list(getattr(model, "output_names", [tensor.name for tensor in model.outputs]))


def _chosen(outputs: list[str], options: AdoptOptions) -> str:
    if options.output_name is not None and options.output_name not in outputs:
        raise AdoptionError(
            f"the model has no output {options.output_name!r}; it has {', '.join(outputs)}"
        )
    if options.output_name is None and len(outputs) > 1:
        raise AdoptionError(
            f"the model has {len(outputs)} outputs ({', '.join(outputs)}); say --output-name"
        )
    return options.output_name or outputs[0]


def _rank_four(shape: list[int | None] | None) -> tuple[int | None, ...]:
    if shape is not None and len(shape) != 4:
        raise AdoptionError(
            f"the model's input has the shape {tuple(shape)}; segtrain adopts models of images (N, "
            "H, W, C) or (N, C, H, W)"
        )
    return tuple(shape) if shape is not None else (None,) * 4
