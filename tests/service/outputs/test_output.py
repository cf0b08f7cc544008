"""What every format has in common: pieces in, chunks out."""

import io
import zipfile
from collections.abc import Iterator

import numpy as np
import pytest

from service.domain.segmentation import Segmentation
from service.outputs import OUTPUTS
from service.outputs import output as output_module
from service.outputs.output import Encoded, Output, OutputOptions
from service.outputs.pieces import Pieces
from tests.service.outputs.maps import encode, make_model

MAP = Segmentation(make_model(), np.zeros((1, 1), np.uint8))


def of_pieces(*pieces: bytes) -> Encoded:
    def write(_segmentation: Segmentation, _options: OutputOptions) -> Iterator[bytes]:
        yield from pieces

    output = Output("made", "Made", {"text/plain": ".txt"}, OutputOptions, "Made.", write)
    return output.write(MAP, OutputOptions())


@pytest.mark.parametrize("pieces", [(), (b"",), (b"a",), (b"ab", b"c", b"defg", b"h")], ids=str)
def test_small_pieces_become_one_chunk(pieces: tuple[bytes, ...]) -> None:
    encoded = of_pieces(*pieces)
    assert encoded.chunks == (b"".join(pieces),)
    assert (encoded.size, encoded.body) == (len(b"".join(pieces)), b"".join(pieces))


def test_large_answers_are_kept_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output_module, "_CHUNK_BYTES", 3)
    encoded = of_pieces(b"a", b"bcd", b"e", b"f", b"ghijk", b"l")
    assert encoded.chunks == (b"abcd", b"efghijk", b"l")
    assert (encoded.size, encoded.body) == (12, b"abcdefghijkl")


@pytest.mark.parametrize("name", ["png", "overlay", "confidence", "polygons", "npz"])
def test_what_may_be_large_comes_in_more_than_one_chunk(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output_module, "_CHUNK_BYTES", 1000)
    noise = np.random.default_rng(0).integers(0, 11, (60, 70), np.uint8)
    image = np.random.default_rng(1).integers(0, 256, (60, 70, 3), np.uint8)
    probabilities = np.ones((60, 70, 11), np.float32)
    segmentation = Segmentation(make_model(), noise, noise, probabilities, image)
    options = {"probabilities": True} if name == "npz" else {}
    assert len(encode(name, segmentation, **options).chunks) > 1


@pytest.mark.parametrize("name", OUTPUTS)
def test_each_media_type_has_an_extension_of_its_own(name: str) -> None:
    output = OUTPUTS[name]
    assert output.name == name
    assert output.media_type(output.options()) == output.media_types[0]
    extensions = list(output.extensions.values())
    assert all(one.startswith(".") for one in extensions)
    assert len(set(extensions)) == len(extensions)


def test_pieces_hold_what_a_file_would() -> None:
    def archive(file: io.RawIOBase | io.BytesIO) -> None:
        with zipfile.ZipFile(file, "w") as zipped:
            for name, packing in (("a", zipfile.ZIP_STORED), ("b", zipfile.ZIP_DEFLATED)):
                entry = zipfile.ZipInfo(name)
                entry.compress_type = packing
                with zipped.open(entry, "w", force_zip64=True) as member:
                    for _ in range(3):
                        member.write(bytes(range(256)) * 9)

    whole, pieces = io.BytesIO(), Pieces()
    archive(whole)
    archive(pieces)
    assert b"".join(pieces.take()) == whole.getvalue()


def test_pieces_are_not_written_over_in_part() -> None:
    pieces = Pieces()
    pieces.write(b"abcd")
    pieces.seek(1)
    with pytest.raises(io.UnsupportedOperation):
        pieces.write(b"x")
