"""The names of the formats that networks are exported to, for a command line without TensorFlow."""

import argparse
from typing import Literal, get_args

FormatName = Literal["onnx", "litert", "openvino"]


def read_formats(text: str) -> tuple[FormatName, ...]:
    """Read "onnx,litert". Raises argparse.ArgumentTypeError."""
    known = get_args(FormatName)
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in known:
            raise argparse.ArgumentTypeError(
                f"{name!r} is none of {', '.join(known)}, with commas between"
            )
    return tuple(known[known.index(name)] for name in names)
