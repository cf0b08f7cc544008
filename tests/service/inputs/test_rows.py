"""Rows as they are stored are the picture that `read` gives, whoever decodes them."""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pillow_heif
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image

from service.domain import classes
from service.domain.errors import UnreadableImageError
from service.domain.source import Samples, Source
from service.inputs import open_source, rowwise
from service.inputs.gdal import DamagedForGdalError, rows_by_gdal
from service.inputs.pixels import assembled
from service.inputs.rowwise import RowwiseSource

LIMIT = 10**6
HEIGHT, WIDTH = 47, 61


@pytest.fixture(autouse=True)
def few_rows_a_band(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classes, "BAND_PIXELS", 10 * WIDTH)


def picture(mode: str) -> Image.Image:
    channels = len(Image.new(mode, (1, 1)).getbands())
    drawn = np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH, channels)).astype(np.uint8)
    smooth = np.asarray(Image.fromarray(drawn[..., 0]).resize((WIDTH, HEIGHT)))
    drawn[..., 0] = smooth
    return Image.fromarray(drawn[..., 0] if channels == 1 else drawn, mode)


def saved(mode: str, file_format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    if file_format == "HEIC":
        pillow_heif.from_pillow(picture(mode)).save(file, quality=90, **options)
    else:
        picture(mode).save(file, file_format, **options)
    return file.getvalue()


def whole(rows: Iterator[Samples], source: Source) -> NDArray[Any]:
    found = list(rows)
    assert len(found) > 2
    stored = sum(map(len, found)), *found[0].shape[1:]
    return assembled(iter(found), stored, np.uint8, source.orientation)


BY_GDAL: dict[str, tuple[str, str, dict[str, Any]]] = {
    "gray PNG": ("L", "PNG", {}),
    "gray PNG with alpha": ("LA", "PNG", {}),
    "color PNG": ("RGB", "PNG", {}),
    "PNG with alpha": ("RGBA", "PNG", {}),
    "PNG with a transparent color": ("RGB", "PNG", {"transparency": (1, 2, 3)}),
    "gray TIFF": ("L", "TIFF", {}),
    "color TIFF": ("RGB", "TIFF", {"compression": "tiff_lzw"}),
    "deflated TIFF with alpha": ("RGBA", "TIFF", {"compression": "tiff_adobe_deflate"}),
    "WebP": ("RGB", "WEBP", {"quality": 80}),
    "WebP with alpha": ("RGBA", "WEBP", {"quality": 80}),
    "lossless WebP": ("RGB", "WEBP", {"lossless": True}),
    "lossless WebP with alpha": ("RGBA", "WEBP", {"lossless": True, "exact": True}),
}
BY_OTHERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "palette PNG": ("P", "PNG", {}),
    "BMP": ("RGB", "BMP", {}),
    "GIF": ("P", "GIF", {}),
    "AVIF": ("RGB", "AVIF", {}),
    "CMYK TIFF": ("CMYK", "TIFF", {}),
    "JPEG": ("RGB", "JPEG", {}),
    "CMYK JPEG": ("CMYK", "JPEG", {}),
    "HEIC": ("RGB", "HEIC", {}),
    "HEIC with alpha": ("RGBA", "HEIC", {}),
}


@pytest.mark.parametrize("name", [*BY_GDAL, *BY_OTHERS])
def test_rows_are_those_of_the_whole(name: str) -> None:
    mode, file_format, options = {**BY_GDAL, **BY_OTHERS}[name]
    body = saved(mode, file_format, **options)
    source = open_source(body, LIMIT)
    assert isinstance(source, RowwiseSource) == (name in BY_GDAL)
    np.testing.assert_array_equal(
        whole(source.stored_rows(), source), open_source(body, LIMIT).read()
    )


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "WEBP", "AVIF", "JPEG"])
@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
def test_turned_rows_are_those_of_the_whole(mode: str, file_format: str, orientation: int) -> None:
    if mode == "CMYK" and file_format not in ("TIFF", "JPEG"):
        return
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    body = saved(mode, file_format, exif=exif)
    source, other = open_source(body, LIMIT), open_source(body, LIMIT)
    found = whole(source.stored_rows(), source)
    np.testing.assert_array_equal(found, other.read())
    assert found.shape[:2] == (source.height, source.width)


def test_what_gdal_does_not_read_to_its_end_is_left_to_pillow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def one_band(*arguments: Any) -> Iterator[Samples]:
        yield next(rows_by_gdal(*arguments))
        raise DamagedForGdalError

    monkeypatch.setattr(rowwise, "rows_by_gdal", one_band)
    source = open_source(saved("RGB", "PNG"), LIMIT)
    np.testing.assert_array_equal(whole(source.stored_rows(), source), np.asarray(picture("RGB")))


@pytest.mark.parametrize("name", BY_GDAL)
def test_a_file_cut_short_is_refused_in_rows_too(name: str) -> None:
    mode, file_format, options = BY_GDAL[name]
    body = saved(mode, file_format, **options)

    def read() -> None:
        list(open_source(body[: len(body) * 2 // 3], LIMIT).stored_rows())

    with pytest.raises(UnreadableImageError):
        read()
