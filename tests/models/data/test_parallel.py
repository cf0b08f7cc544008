import threading

import pytest

from models.data import parallel
from models.data.parallel import read_ahead


def test_results_come_in_order_and_little_is_read_ahead() -> None:
    begun: list[int] = []
    results = read_ahead(lambda n: begun.append(n) or n * n, range(1000), workers=2)  # type: ignore[func-returns-value]
    assert [next(results) for _ in range(3)] == [0, 1, 4]
    results.close()  # type: ignore[attr-defined]
    assert len(begun) <= 3 + 3 * 2


def test_a_fault_ends_the_reading() -> None:
    stopped = threading.Event()

    def read(n: int) -> int:
        if n == 2:
            raise ValueError("damaged")
        if n > 20:
            stopped.set()
        return n

    with pytest.raises(ValueError, match="damaged"):
        list(read_ahead(read, range(1000), workers=2))
    assert not stopped.is_set()


def test_as_many_threads_read_as_the_quota_has_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container of one core on a large machine: one thread, and at most three items begun."""
    monkeypatch.setattr(parallel, "available_cores", lambda: 1)
    begun: list[str] = []

    def read(n: int) -> int:
        begun.append(threading.current_thread().name)
        return n

    results = read_ahead(read, range(100))
    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]
    assert len(begun) <= 4
    assert len(set(begun)) == 1
