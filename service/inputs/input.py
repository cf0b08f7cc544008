"""What every type of input is made of, and the limits that each of them holds before it decodes."""

from collections.abc import Callable
from dataclasses import dataclass

from service.domain.errors import ImageTooLargeError, InvalidOptionError, UnreadableImageError
from service.domain.source import Source

Body = bytes | bytearray | memoryview

SNIFFED_BYTES = 256  # of a file's beginning, which is all that `sniff` is given


def _is_never_cheap(_body: Body) -> bool:
    return False


@dataclass(frozen=True)
class Input:
    """One row of the table of types that are read.

    `name` is what people call it, `media_types` what HTTP calls it, and `suffixes` (".jpg") which
    files of a folder are taken for it; a file that is named outright is known by `sniff` alone,
    from its first bytes. `open` reads the header of a file and the place of a page (None for the
    main one); it raises UnreadableImageError, UnsupportedImageTypeError, InvalidOptionError, and
    ImageTooLargeError where there are more pixels than its third argument. `opens_at_once` says of
    a file that `open` takes a fraction of a millisecond for it and no more.
    """

    name: str
    media_types: tuple[str, ...]
    suffixes: tuple[str, ...]
    sniff: Callable[[bytes], bool]
    open: Callable[[bytes, int | None, int], Source]
    opens_at_once: Callable[[Body], bool] = _is_never_cheap


def starts_with(*prefixes: bytes) -> Callable[[bytes], bool]:
    return lambda start: start.startswith(prefixes)


def has_brand(*brands: bytes) -> Callable[[bytes], bool]:
    """Whether the `ftyp` box at a file's beginning (ISO/IEC 14496-12) names one of `brands`."""

    def sniff(start: bytes) -> bool:
        end = min(int.from_bytes(start[:4]), len(start))
        found = {start[8:12], *(start[at : at + 4] for at in range(16, end, 4))}
        return start[4:8] == b"ftyp" and not found.isdisjoint(brands)

    return sniff


def place_of_page(name: str, page: int | None, pages: int, main: int = 0) -> int:
    """Where page number `page` lies, counted from 0. Raises InvalidOptionError."""
    if page is None:
        return main
    if page > pages:
        has = "one page" if pages == 1 else f"{pages} pages"
        raise InvalidOptionError(
            f"The {name} has {has}; page {page} was asked for. Ask for one that it has, or leave "
            "out `page`."
        )
    return page - 1


def refuse_empty_side(name: str, width: int, height: int) -> None:
    if width == 0 or height == 0:
        raise UnreadableImageError(
            f"The {name} says that it is {width} × {height} pixels. Send an image of at "
            "least 1 × 1."
        )


def refuse_large(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise ImageTooLargeError(
            f"The image is {width} × {height} = {width * height:,} pixels; the limit is "
            f"{max_pixels:,} pixels. Send it smaller or in parts."
        )
