"""A deadline is in seconds of time.monotonic(); None lets the work take as long as it takes."""

import time


def seconds_left(deadline: float | None) -> float | None:
    """How long until `deadline`, negative once it has passed; None where there is none."""
    return None if deadline is None else deadline - time.monotonic()


def has_passed(deadline: float | None) -> bool:
    return deadline is not None and deadline <= time.monotonic()
