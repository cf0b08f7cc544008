import keras
import tensorflow as tf

from models.architectures.without_weights import without_weights


def test_no_weight_ever_gets_a_value_and_those_of_others_do() -> None:
    drawn: list[str] = []

    def dense(name: str) -> keras.layers.Layer:
        def initializer(shape: tuple[int, ...], dtype: str | None = None) -> tf.Tensor:
            drawn.append(name)
            return tf.zeros(shape, dtype or "float32")

        layer = keras.layers.Dense(2, kernel_initializer=initializer)
        layer.build((None, 3))
        return layer

    with keras.StatelessScope(initialize_variables=False):
        dense("another's")
    with without_weights():
        assert dense("ours").kernel.shape == (3, 2)
    assert drawn == []
    with keras.StatelessScope():
        pass
    assert drawn == ["another's"]
