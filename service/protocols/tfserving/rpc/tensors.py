"""Pictures out of a TensorProto, and results into one."""

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.protocols.base64_text import undo_second_encoding
from service.protocols.model_names import Served
from service.protocols.pictures import Files, Inferred, Pictures, Pixels, check_count
from service.protocols.problems import MalformedRequestError
from service.protocols.results import Result
from service.protocols.tfserving.rpc.messages import DTYPES, SERVING

_UINT8, _STRING = DTYPES["DT_UINT8"], DTYPES["DT_STRING"]
# The keys of packed fields: number << 3 | 2.
_FLOAT_VAL, _INT_VAL = bytes([5 << 3 | 2]), bytes([7 << 3 | 2])
_KINDS = {"UINT8": "DT_UINT8", "FP32": "DT_FLOAT", "BYTES": "DT_STRING"}


def read_pictures(tensor: Any, served: Served, max_images: int) -> Pictures:
    """Pixels (N, H, W, C) or (H, W, C), or up to `max_images` files (N).

    Raises MalformedRequestError.
    """
    shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
    channels = served.contract.channels
    is_files = tensor.dtype == _STRING and len(shape) <= 1
    is_pixels = tensor.dtype == _UINT8 and len(shape) in (3, 4) and shape[-1] == channels
    if not (is_files or (is_pixels and not served.takes_files)) or min(shape, default=1) < 1:
        takes = "DT_STRING of shape [images] with an encoded file each"
        if not served.takes_files:
            takes = f"DT_UINT8 of shape [images, height, width, {channels}], or {takes}"
        raise MalformedRequestError(
            f"The input is a tensor of dtype {tensor.dtype} and shape {list(shape[:8])}; "
            f"{served.name} takes {takes}."
        )
    if is_files:
        check_count(prod(shape), max_images)
        if len(tensor.string_val) != prod(shape):
            raise _wrong_count(len(tensor.string_val), prod(shape))
        return Files([undo_second_encoding(memoryview(text)) for text in tensor.string_val])
    images = _pixels(tensor, prod(shape)).reshape(shape)
    return Pixels(images, single=False) if len(shape) == 4 else Pixels(images[np.newaxis], True)


def _pixels(tensor: Any, count: int) -> NDArray[np.uint8]:
    """Each of them. TensorFlow lets one value stand for all; no picture is bought with a byte."""
    if tensor.tensor_content:
        values = np.frombuffer(tensor.tensor_content, np.uint8)
        if len(values) != count:
            raise _wrong_count(len(values), count)
        return values
    if len(tensor.int_val) != count:
        raise _wrong_count(len(tensor.int_val), count)
    numbers = np.fromiter(tensor.int_val, np.int64, count)
    stray = numbers[(numbers < 0) | (numbers > 255)]
    if len(stray):
        raise MalformedRequestError(
            f"The input has the value {stray[0]}; DT_UINT8 takes numbers from 0 to 255."
        )
    return numbers.astype(np.uint8)


def _wrong_count(found: int, count: int) -> MalformedRequestError:
    return MalformedRequestError(f"The input has {found} values and its shape says {count}.")


def write_result(result: Result, inferred: Inferred, *, single: bool) -> Any:
    """The one output. Numbers are in typed fields, as TensorFlow Serving has them by default and
    clients read them. Raises MalformedRequestError where images of several sizes are to be one."""
    images = inferred.results[0]
    dtype = DTYPES[_KINDS[result.kind]]
    if result.tensor is None:
        return SERVING["TensorProto"](
            dtype=dtype, tensor_shape=shape_proto((len(images),)), string_val=images
        )
    if len({image.shape for image in images}) > 1:
        raise MalformedRequestError(
            "The images have several sizes, so their outputs are not one tensor. Ask for the "
            "signature png, or send images of one size."
        )
    array = images[0] if single else np.stack(images)
    payload = array.tobytes() if result.kind == "FP32" else _varints(array)
    field = _FLOAT_VAL if result.kind == "FP32" else _INT_VAL
    # the field as the wire has it, for millions of numbers would be as many objects
    tensor = SERVING["TensorProto"].FromString(field + _varint(len(payload)) + payload)
    tensor.dtype = dtype
    tensor.tensor_shape.CopyFrom(shape_proto(array.shape))
    return tensor


def _varint(number: int) -> bytes:
    written = bytearray()
    while number > 127:
        written.append(number & 127 | 128)
        number >>= 7
    return bytes([*written, number])


def _varints(array: NDArray[np.uint8]) -> bytes:
    """Each number as a varint: a byte below 128, and two from there on."""
    flat = array.reshape(-1)
    large = flat > 127
    if not large.any():
        return flat.tobytes()
    pairs = np.stack([flat, np.ones_like(flat)], axis=1)
    return pairs[np.stack([np.ones_like(large), large], axis=1)].tobytes()


def shape_proto(sizes: tuple[int, ...]) -> Any:
    return SERVING["TensorShapeProto"](dim=[{"size": size} for size in sizes])
