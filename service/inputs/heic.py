"""HEIC, by pillow-heif."""

from io import BytesIO

from pillow_heif import HeifImageFile, open_heif

from service.domain.source import Source, SourceInfo
from service.inputs.input import Input, has_brand, place_of_page, refuse_large
from service.inputs.pillow_source import PillowSource, open_with_pillow

NAME = "HEIC"
_DECODER_BYTES = 4  # libheif's planes of a pixel, as measured


def open_heic(data: bytes, page: int | None, max_pixels: int) -> Source:
    """The picture that the file calls its main one, or the page that is asked for. Raises as
    `Input.open` says.
    """
    image = open_with_pillow(NAME, data, HeifImageFile)
    main, pages = image.tell(), int(getattr(image, "n_frames", 1))
    place = place_of_page(NAME, page, pages, main)
    if place != main:
        pictures = open_heif(BytesIO(data))  # seeking takes the memory of the picture at once
        refuse_large(*pictures[place].size, max_pixels)
        image.seek(place)
    refuse_large(*image.size, max_pixels)
    info = SourceInfo(page=place + 1, pages=pages)
    return PillowSource(NAME, image, info, decoder_bytes=_DECODER_BYTES)


HEIC = Input(
    name=NAME,
    media_types=("image/heic", "image/heif"),
    suffixes=(".heic", ".heif"),
    sniff=has_brand(b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"),
    open=open_heic,
)
