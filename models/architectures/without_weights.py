"""Networks of any size in no memory."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras
from keras.src.backend.common import global_state

_NOTED = "uninitialized_variables"


@contextmanager
def without_weights() -> Iterator[None]:
    """What is built within it knows its shapes, and no weight has a value.

    Keras notes such weights and gives all of them their values when the next scope of its own ends,
    which a Lambda layer has, say: 4 GB that nobody wants any more. So they are struck off.
    """
    noted = list(global_state.get_global_attribute(_NOTED, []))
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        global_state.set_global_attribute(_NOTED, noted)
