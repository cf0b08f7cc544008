from pathlib import Path

import pytest

from benchmarks.alternate import HERE, Round, compared, full_name
from benchmarks.measuring import Run
from benchmarks.report import page


def test_the_page_has_each_figure_now_and_then(tmp_path: Path) -> None:
    rounds = {
        HERE: [Round(30.0, 20.0, 1.0), Round(60.0, 10.0, 1.5)],
        "e889a6a": [Round(20.0, 40.0, 2.0), Round(40.0, 20.0, 3.0)],
    }
    against = {"e889a6a": {"32x32": compared(rounds, "e889a6a")}}
    Run(quick=True, results=tmp_path).write("alternate", {"callers": 8, "against": against})
    lines = page(tmp_path).splitlines()
    assert "| `e889a6a` | 32×32 | images/s | 45 | 30 | 1.50 (1.50–1.50) |" in lines
    assert "| `e889a6a` | 32×32 | CPU a request, ms | 15 | 30 | 0.50 (0.50–0.50) |" in lines


def test_a_commit_that_is_not_there_is_told_in_a_sentence() -> None:
    with pytest.raises(SystemExit, match=r"git rev-parse .* failed"):
        full_name("no-such-commit")
