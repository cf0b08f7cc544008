from pathlib import Path

import tensorflow as tf

from benchmarks.limit import count_multiply_adds


class _Network(tf.Module):  # type: ignore[misc]
    """A 3×3 convolution by 2 from 3 to 4 channels, and a depthwise one of 5×5, after padding to
    even sides."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = tf.Variable(tf.ones((3, 3, 3, 4)))
        self.depthwise = tf.Variable(tf.ones((5, 5, 4, 1)))

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8, name="images")])  # type: ignore[untyped-decorator]
    def class_map(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        rows = tf.shape(images)[1] % 2
        padded = tf.pad(tf.cast(images, tf.float32), [[0, 0], [0, rows], [0, 0], [0, 0]])
        features = tf.nn.conv2d(padded, self.kernel, 2, "SAME")
        features = tf.nn.depthwise_conv2d(features, self.depthwise, (1, 1, 1, 1), "SAME")
        return {"class_map": tf.cast(tf.argmax(features, -1), tf.uint8)}


def test_multiply_adds_are_those_of_the_shapes_that_an_image_really_has(tmp_path: Path) -> None:
    network = _Network()
    tf.saved_model.save(network, str(tmp_path), signatures={"serving_default": network.class_map})
    # 7×6 is padded to 8×6; the output is 4×3 with 4 channels
    assert count_multiply_adds(tmp_path, 7, 6) == {
        "Conv2D": 4 * 3 * 4 * (3 * 3 * 3),
        "DepthwiseConv2dNative": 4 * 3 * 4 * (5 * 5),
    }
