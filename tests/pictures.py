"""Files that Pillow reads and does not write."""

import struct


def twelve_bit_tiff() -> bytes:
    """A gray TIFF of 12 bits with two pixels, 0xFFF and 0x010."""
    pixels = bytes([0xFF, 0xF0, 0x10])
    entries = [(256, 3, 1, 2), (257, 3, 1, 1), (258, 3, 1, 12), (259, 3, 1, 1), (262, 3, 1, 1)]
    entries += [(273, 4, 1, 8), (277, 3, 1, 1), (278, 3, 1, 1), (279, 4, 1, 3)]
    directory = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return (
        struct.pack("<2sHI", b"II", 42, 12)
        + pixels
        + b"\0"
        + struct.pack("<H", len(entries))
        + directory
        + b"\0" * 4
    )
