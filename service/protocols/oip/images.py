"""The pictures in an input tensor: its datatype and rank tell pixels from encoded files."""

import numpy as np

from service.protocols.model_names import FILE_SUFFIX, Served
from service.protocols.oip.request import Tensor
from service.protocols.pictures import Files, Pictures, Pixels
from service.protocols.problems import MalformedRequestError


def pictures_of(tensor: Tensor, served: Served) -> Pictures:
    """Raises MalformedRequestError, with what the model takes."""
    if not isinstance(tensor.data, np.ndarray):
        if len(tensor.shape) > 2 or (len(tensor.shape) == 2 and tensor.shape[1] != 1):
            raise _refused(tensor, served)
        return Files(tensor.data)
    if served.takes_files:
        if len(tensor.shape) > 2:
            raise _refused(tensor, served)
        rows = tensor.data.reshape(-1, tensor.shape[-1])
        return Files([row.data for row in rows])
    channels = served.contract.channels
    if len(tensor.shape) not in (3, 4) or tensor.shape[-1] != channels:
        raise _refused(tensor, served)
    single = len(tensor.shape) == 3
    return Pixels(tensor.data[np.newaxis] if single else tensor.data, single)


def _refused(tensor: Tensor, served: Served) -> MalformedRequestError:
    files = "BYTES of shape [images] or [images, 1] with an encoded file each"
    base = served.state.name
    if served.takes_files:
        takes = f"{files}, or UINT8 of shape [images, bytes]; send pixels to {base}"
    else:
        channels = served.contract.channels
        takes = (
            f"UINT8 pixels of shape [images, height, width, {channels}] or [height, width, "
            f"{channels}], or {files}; send files as UINT8 to {base}{FILE_SUFFIX}"
        )
        if len(tensor.shape) in (3, 4) and tensor.shape[-3] == channels:
            takes += ". The channels come last: transpose the array"
    return MalformedRequestError(
        f"Input {tensor.name} is {tensor.datatype} of shape {list(tensor.shape)}. "
        f"{served.name} takes {takes}."
    )
