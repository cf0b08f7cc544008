"""Files in base64, as JSON holds them."""

import base64
import binascii
import re

from service.protocols.problems import MalformedRequestError

_DATA_URL = re.compile(r"data:[^,]{0,200};base64,")
_BLANKS = re.compile(r"\s+")
# Every image type has a byte outside of these near its start.
_LOOKS_ENCODED = re.compile(rb"[A-Za-z0-9+/]{32}")


def decode_base64(text: str, what: str) -> bytes:
    """The bytes in `text`, which may be a data URL; blanks and missing padding are let pass.

    Raises MalformedRequestError, whose sentence begins with `what`.
    """
    prefix = _DATA_URL.match(text)
    encoded = _BLANKS.sub("", text[prefix.end() :] if prefix else text)
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise MalformedRequestError(
            f"{what} is text and not base64. In JSON an image file is sent as base64."
        ) from None


def undo_second_encoding(data: memoryview) -> bytes | memoryview:
    """A file sent as bytes; where those are base64 all through, what they hold."""
    if not _LOOKS_ENCODED.match(data):
        return data
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return data
