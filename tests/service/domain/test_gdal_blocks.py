"""Who may use GDAL's cache of blocks beside whom."""

import threading

from service.domain.gdal_blocks import BLOCKS

PATIENCE = 300.0


class Holder:
    """A thread that reads or writes until it is told to end."""

    def __init__(self, kind: str) -> None:
        self.began, self._end = threading.Event(), threading.Event()
        self._work = getattr(BLOCKS, kind)
        self._thread = threading.Thread(target=self._hold, daemon=True)
        self._thread.start()

    def _hold(self) -> None:
        with self._work():
            self.began.set()
            assert self._end.wait(PATIENCE)

    def end(self) -> None:
        assert self.began.wait(PATIENCE)
        self._end.set()
        self._thread.join()


def until_a_writer_waits() -> None:
    while not BLOCKS.writers:
        threading.Event().wait(0.001)


def test_readers_are_beside_each_other_and_a_writer_before_those_who_come_later() -> None:
    first, second = Holder("reading"), Holder("reading")
    assert first.began.wait(PATIENCE)
    assert second.began.wait(PATIENCE)
    writer = Holder("writing")
    until_a_writer_waits()
    late = Holder("reading")
    first.end()
    assert not writer.began.is_set()
    second.end()
    assert writer.began.wait(PATIENCE)
    assert not late.began.is_set()
    writer.end()
    late.end()
