"""Files that are sent now and then and are not read, so that a refusal can say what they are."""

from service.inputs.input import has_brand, starts_with

_FOREIGN = (
    (starts_with(b"%PDF-"), "a PDF document"),
    (starts_with(b"PK\x03\x04", b"PK\x05\x06"), "a ZIP archive"),
    (starts_with(b"\x1f\x8b"), "a gzip archive"),
    (starts_with(b"<svg", b"<?xml"), "an SVG or another XML document"),
    (starts_with(b"8BPS"), "a Photoshop document"),
    (starts_with(b"\xff\x0a", b"\x00\x00\x00\x0cJXL "), "JPEG XL"),
    (starts_with(b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP"), "JPEG 2000"),
    (has_brand(b"isom", b"iso2", b"mp41", b"mp42", b"avc1", b"qt  ", b"M4V "), "a film"),
    (starts_with(b"\x1a\x45\xdf\xa3"), "a film"),
    (lambda start: start[:4] == b"RIFF" and start[8:12] == b"AVI ", "a film"),
    (lambda start: start[128:132] == b"DICM", "a DICOM file"),
    (starts_with(b"<!DOCTYPE", b"<!doctype", b"<html"), "an HTML page"),
    (starts_with(b"\x93NUMPY"), "a NumPy array"),
)
_LONGEST_NAME = 200


def name_of_foreign(data: bytes) -> str | None:
    """What the bytes are, where it can be told."""
    for is_it, name in _FOREIGN:
        if is_it(data[:256]):
            return name
    if len(data) <= _LONGEST_NAME and data.isascii() and data.decode("ascii").isprintable():
        return "a text (a file's name, perhaps: with curl, an @ before it sends the file)"
    return None
