import threading

import pytest

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
