"""Label Studio's run lengths of a brush: @thi.ng/rle-pack over a picture's RGBA values."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.domain.errors import AnswerTooLargeError

MAX_RUNS: Final = 2**20

_COUNT_BITS = 32
_WORD_BITS = 8
_FIELD_BITS = (3, 4, 8, 16)  # a run's length less 1 is written in one of four widths
_LONGEST = 2**16
_CHANNELS = 4


def encode_brush(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Label Studio's run lengths of a mask (H, W), as bytes: @thi.ng/rle-pack over RGBA values of
    255 where the mask is and 0 where it is not.

    A head of 32 bits for the number of values, 5 for the bits a value less 1, and four times 4 for
    the widths less 1 in which lengths are written; then for each run a 1 bit, 2 bits that choose
    the width, the length less 1, and the value. Raises AnswerTooLargeError for more than 2^20 runs.
    """
    flat = np.ascontiguousarray(mask).reshape(-1)
    starts = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1))
    if len(starts) > MAX_RUNS:
        raise AnswerTooLargeError(
            f"The mask has {len(starts):,} runs of pixels; {MAX_RUNS:,} are given to Label Studio "
            "at most. Send the picture smaller."
        )
    lengths = np.diff(starts, append=flat.size) * _CHANNELS
    values = flat[starts].astype(np.uint64) * 255
    pieces = -(-lengths // _LONGEST)  # a run longer than a field holds is written in pieces
    values = np.repeat(values, pieces)
    written = np.full(len(values), _LONGEST, np.int64)
    written[np.cumsum(pieces) - 1] = lengths - (pieces - 1) * _LONGEST
    field = np.searchsorted([2**bits for bits in _FIELD_BITS], written)
    width = np.array(_FIELD_BITS)[field]
    codes = np.uint64(0b100) | field.astype(np.uint64)
    codes = codes << width.astype(np.uint64) | (written - 1).astype(np.uint64)
    codes = codes << np.uint64(_WORD_BITS) | values
    head = flat.size * _CHANNELS
    head = head << 5 | _WORD_BITS - 1
    for bits in _FIELD_BITS:
        head = head << 4 | bits - 1
    head_bits = _COUNT_BITS + 5 + 4 * len(_FIELD_BITS)
    first = np.unpackbits(np.frombuffer((head << 64 - head_bits).to_bytes(8), np.uint8))[:head_bits]
    return np.packbits(np.concatenate([first, _bits(codes, 3 + width + _WORD_BITS)]))


def _bits(codes: NDArray[np.uint64], widths: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The lowest `widths` bits of each code, at most 32, one after another."""
    shifted = (codes << (32 - widths).astype(np.uint64)).astype(">u4")
    bits = np.unpackbits(shifted.view(np.uint8)).reshape(-1, 32)
    chosen: NDArray[np.uint8] = bits[np.arange(32) < widths[:, None]]
    return chosen
