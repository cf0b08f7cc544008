"""The images of a request, from its multipart parts or its raw body. Nothing is spooled to disk."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from service.protocols.exchange import stream_body
from service.protocols.problems import (
    MalformedRequestError,
    UnsupportedBodyError,
)

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks  # a name for type checkers alone

PART_NAME = "image"
MULTIPART = "multipart/form-data"
RAW = "application/octet-stream"

# What a raw body may be called beside image/*. curl --data-binary says the last where it is told no
# type; what the bytes are is read from the bytes.
_RAW_TYPES = frozenset({"", RAW, "application/x-www-form-urlencoded"})

_MAX_PART_HEADER_BYTES = 8192
_SEVERAL = "Send several to POST /segment/batch."


@dataclass
class ImagePart:
    """One part, which is named `image` unless a route takes others.

    `filename` is as the client wrote it, or empty: not to be trusted as a path.
    """

    filename: str
    body: bytearray = field(default_factory=bytearray)
    part: str = PART_NAME

    @property
    def name(self) -> str | None:
        """The file's name without folders, where it was sent with one."""
        return bare_name(self.filename)


def bare_name(filename: str) -> str | None:
    """A file's name without folders; None where there is none."""
    return filename.replace("\\", "/").rpartition("/")[2] or None


async def read_image(request: Request) -> ImagePart:
    """The one image of `request`. Raises MalformedRequestError or UnsupportedBodyError."""
    media_type, boundary = _content_type(request)
    if media_type == MULTIPART:
        parts = await _read_parts(request, boundary, max_images=1, more=_SEVERAL)
        return parts[0]
    _check_raw(media_type)
    image = ImagePart("")
    async for chunk in stream_body(request):
        image.body += chunk
    return image


async def stream_image(request: Request) -> AsyncGenerator[tuple[str, bytes | bytearray]]:
    """The one image of `request` in pieces as they come, each with the file name if there is one.

    Raises MalformedRequestError or UnsupportedBodyError.
    """
    media_type, boundary = _content_type(request)
    if media_type == MULTIPART:
        reader = _PartReader(1, _SEVERAL)
        async for _ in _parsed(request, boundary, reader):
            for part in reader.parts:
                piece, part.body = part.body, bytearray()
                yield part.filename, piece
        return
    _check_raw(media_type)
    async for chunk in stream_body(request):
        yield "", chunk


def _check_raw(media_type: str) -> None:
    if media_type not in _RAW_TYPES and not media_type.startswith("image/"):
        raise UnsupportedBodyError(
            f"The body's Content-Type is {media_type}. Send the image as {MULTIPART} in a part "
            f"named {PART_NAME}, or as the raw body with Content-Type image/jpeg, any other image "
            f"type, or {RAW}."
        )


async def read_images(request: Request, max_images: int) -> list[ImagePart]:
    """All images of a batch, in order. Raises MalformedRequestError or UnsupportedBodyError."""
    media_type, boundary = _content_type(request)
    if media_type != MULTIPART:
        raise UnsupportedBodyError(
            f"The body's Content-Type is {media_type or 'not set'}. Send the images as "
            f"{MULTIPART}, each in a part named {PART_NAME}."
        )
    return await _read_parts(request, boundary, max_images, more="Send them in several requests.")


async def read_parts(request: Request, names: Sequence[str]) -> dict[str, ImagePart]:
    """The parts of a body that has each of `names` once at most, by their names. Raises
    MalformedRequestError or UnsupportedBodyError.
    """
    media_type, boundary = _content_type(request)
    if media_type != MULTIPART:
        raise UnsupportedBodyError(
            f"The body's Content-Type is {media_type or 'not set'}. Send {MULTIPART} with parts "
            f"named {' and '.join(names)}."
        )
    reader = _PartReader(len(names), "Send each once.", names)
    async for _ in _parsed(request, boundary, reader):
        pass
    parts = {part.part: part for part in reader.parts}
    if len(parts) < len(reader.parts):
        raise MalformedRequestError("The multipart body has a part twice. Send each once.")
    return parts


def _content_type(request: Request) -> tuple[str, bytes]:
    """Media type in lower case and, for multipart, the boundary."""
    media_type, options = parse_options_header(request.headers.get("content-type", ""))
    return media_type.decode("latin-1").lower(), options.get(b"boundary", b"")


async def _read_parts(
    request: Request, boundary: bytes, max_images: int, more: str
) -> list[ImagePart]:
    reader = _PartReader(max_images, more)
    async for _ in _parsed(request, boundary, reader):
        pass
    return reader.parts


async def _parsed(request: Request, boundary: bytes, reader: "_PartReader") -> AsyncGenerator[None]:
    """Feed `reader` with the body; each yield is after a piece of it."""
    if not boundary:
        raise MalformedRequestError(
            f"The Content-Type is {MULTIPART} without a boundary. Let the HTTP library set that "
            "header by itself."
        )
    try:
        parser = MultipartParser(boundary, reader.callbacks())
        async for chunk in stream_body(request):
            parser.write(chunk)
            yield
    except FormParserError as error:
        raise MalformedRequestError(f"The multipart body cannot be read: {error}.") from None
    if not reader.ended:
        raise MalformedRequestError(
            "The multipart body ends before its closing boundary. Send it again, whole."
        )
    if not reader.parts:
        raise MalformedRequestError(
            f"The multipart body has no part named {' or '.join(reader.names)}. Send the image in "
            "one."
        )


class _PartReader:
    """Collects the parts of some names, `image` alone if not told others, as python-multipart's
    parser finds them, and refuses every other.
    """

    def __init__(self, max_images: int, more: str, names: Sequence[str] = (PART_NAME,)) -> None:
        self.names = names
        self.parts: list[ImagePart] = []
        self.ended = False
        self._max_images = max_images
        self._more = more
        self._headers: dict[bytes, bytes] = {}
        self._name = bytearray()
        self._value = bytearray()
        self._header_bytes = 0

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._on_part_begin,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": self._on_part_data,
            "on_end": self._on_end,
        }

    def _on_part_begin(self) -> None:
        self._headers = {}
        self._header_bytes = 0

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._count_header_bytes(end - start)
        self._name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._count_header_bytes(end - start)
        self._value += data[start:end]

    def _count_header_bytes(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > _MAX_PART_HEADER_BYTES:
            raise MalformedRequestError(
                f"A part's headers are larger than {_MAX_PART_HEADER_BYTES} bytes."
            )

    def _on_header_end(self) -> None:
        self._headers[bytes(self._name).lower()] = bytes(self._value)
        self._name.clear()
        self._value.clear()

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if name not in self.names:
            wanted = " and ".join(self.names)
            raise MalformedRequestError(
                f"The multipart body has a part named {name!r}; images go in parts named "
                f"{wanted}, and options in the query, such as POST /segment?format=rle."
                if self.names == (PART_NAME,)
                else f"The multipart body has a part named {name!r}; this route takes {wanted}."
            )
        if len(self.parts) == self._max_images:
            most = "one part" if self._max_images == 1 else f"{self._max_images} parts"
            raise MalformedRequestError(
                f"The body has more than {most} named {' or '.join(self.names)}. {self._more}"
            )
        filename = options.get(b"filename", b"").decode("utf-8", "replace")
        self.parts.append(ImagePart(filename, part=name))

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1].body += memoryview(data)[start:end]

    def _on_end(self) -> None:
        self.ended = True
