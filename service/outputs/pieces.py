"""A file in pieces, for writers that want one."""

import io
from bisect import bisect_right
from collections.abc import Iterator


class Pieces(io.RawIOBase):
    """What was written to it, a piece each time: one buffer would be copied to be given away.

    Written over is only what was one piece before, as zipfile does with the header of a member.
    """

    def __init__(self) -> None:
        super().__init__()
        self._starts: list[int] = []
        self._pieces: list[bytes] = []
        self._end = self._at = 0

    def take(self) -> Iterator[bytes]:
        """The pieces, each let go of as it is given."""
        self._pieces.reverse()
        while self._pieces:
            yield self._pieces.pop()

    def seekable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET:
            raise io.UnsupportedOperation("only absolute positions")
        self._at = offset
        return offset

    def write(self, data: object) -> int:
        piece = bytes(data)  # type: ignore[call-overload]
        if self._at == self._end:
            self._starts.append(self._at)
            self._pieces.append(piece)
            self._end += len(piece)
        else:
            place = bisect_right(self._starts, self._at) - 1
            if self._starts[place] != self._at or len(self._pieces[place]) != len(piece):
                raise io.UnsupportedOperation("only one piece in place of another")
            self._pieces[place] = piece
        self._at += len(piece)
        return len(piece)
