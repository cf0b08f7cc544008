"""The table of the second round's targets is what the results say."""

from typing import Any

import pytest

from benchmarks.alternate import BEFORE
from benchmarks.second_round import TARGETS, table


def _compared(over: float) -> dict[str, Any]:
    return {"here_over_there": {"median": over}}


def _alternate(commit: str, rate: float, cpu: float, date: str = "2026-11-28") -> dict[str, Any]:
    figures = {"rate": rate, "cpu": cpu, "event_loop_cpu": 0.5}
    compared = {name: _compared(value) for name, value in figures.items()}
    return {"date": date, "against": {commit: {"480x360": compared}}}


def test_a_figure_is_judged_by_what_must_be() -> None:
    lines = table({"alternate": _alternate(f"{BEFORE}ad2124", 1.4, 0.8)}).splitlines()
    assert "| server, images/s, 8 callers | 1 | 1.4 (2026-11-28) | ≥ 1.33 | 1.6 | met |" in lines
    assert (
        "| server, CPU a request, 8 callers | 1 | 0.8 (2026-11-28) | ≤ 0.74 | 0.6 | **missed** |"
        in lines
    )


@pytest.mark.parametrize(("commit", "date"), [("0123abc", "2026-11-28"), (BEFORE, "2026-11-27")])
def test_what_was_measured_against_another_commit_or_before_is_not_shown(
    commit: str, date: str
) -> None:
    text = table({"alternate": _alternate(commit, 1.4, 0.8, date)})
    assert text.count("not measured") == len(TARGETS)
    assert "met |" not in text
