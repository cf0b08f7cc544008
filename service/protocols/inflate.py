"""Compressed request bodies, unpacked no further than a body of this route may be."""

import zlib
from typing import Final

from service.protocols.problems import (
    BodyTooLargeError,
    MalformedRequestError,
    UnsupportedBodyError,
)

# Content-Encoding → the window bits that tell zlib of its wrapping.
_WRAPPINGS: Final = {"gzip": 31, "deflate": 15}


def is_compressed(content_encoding: str | None) -> bool:
    return content_encoding is not None and content_encoding.strip().lower() not in ("", "identity")


def inflate(body: bytes | bytearray, content_encoding: str, max_bytes: int) -> bytes:
    """The body without its `content_encoding`.

    Raises UnsupportedBodyError for another coding than gzip and deflate, MalformedRequestError, and
    BodyTooLargeError as soon as there are more than `max_bytes`.
    """
    coding = content_encoding.strip().lower()
    if coding not in _WRAPPINGS:
        raise UnsupportedBodyError(
            f"The body's Content-Encoding is {content_encoding}. Send it as it is, or as gzip or "
            "deflate."
        )
    unpacker = zlib.decompressobj(_WRAPPINGS[coding])
    try:
        plain = unpacker.decompress(body, max_bytes + 1)
    except zlib.error:
        raise MalformedRequestError(
            f"The body is not {coding}, as its Content-Encoding says. Send it again, whole."
        ) from None
    if len(plain) > max_bytes:
        raise BodyTooLargeError(
            f"The body unpacks to more than this route's limit of {max_bytes} bytes. "
            "Send a smaller image, or fewer in a request."
        )
    if not unpacker.eof or unpacker.unused_data:
        where = "goes on after" if unpacker.eof else "ends before"
        raise MalformedRequestError(
            f"The body {where} the end of its {coding}. Send it again, whole."
        )
    return plain
