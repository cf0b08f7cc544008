import json
import math
from pathlib import Path

import pytest

from benchmarks.measuring import Run, alternate, quantile, ratio, seconds_of, summary


def test_a_quantile_is_a_value_that_was_measured() -> None:
    values = [5.0, 1.0, 4.0, 2.0, 3.0]
    assert quantile(values, 0.5) == 3.0
    assert quantile(values, 0.99) == 5.0
    assert quantile(values, 0.2) == 1.0
    assert quantile(values, 0.0) == 1.0
    assert math.isnan(quantile([], 0.5))


def test_a_summary_keeps_every_round() -> None:
    assert summary([3.0, 1.0, 2.0, 9.0]) == {
        "median": 2.5,
        "least": 1.0,
        "largest": 9.0,
        "rounds": [3.0, 1.0, 2.0, 9.0],
    }


def test_a_ratio_compares_neighbouring_rounds() -> None:
    # The machine was twice as fast in the second round; the servers' ratio is 2 all the same.
    assert ratio([20.0, 40.0], [10.0, 20.0])["rounds"] == [2.0, 2.0]
    with pytest.raises(ValueError, match="shorter"):
        ratio([1.0, 2.0], [1.0])


def test_candidates_take_turns() -> None:
    order: list[str] = []
    outcomes = alternate({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 3)
    assert order == ["a", "b", "a", "b", "a", "b"]
    assert {name: len(rounds) for name, rounds in outcomes.items()} == {"a": 3, "b": 3}


def test_the_first_call_is_not_timed() -> None:
    calls: list[int] = []
    picked: list[int] = []

    def pick(taken: object) -> float:
        picked.append(len(list(taken)))  # type: ignore[call-overload]
        return 1.0

    assert seconds_of(lambda: calls.append(1), 0.0, pick) == 1.0
    assert (len(calls), picked) == (4, [3])


def test_a_result_is_written_whole_with_the_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Run(quick=True, results=tmp_path).write("some", {"value": 1 / 3, "none": math.nan, "n": (7,)})
    assert [file.name for file in tmp_path.iterdir()] == ["some.json"]
    text = (tmp_path / "some.json").read_text()
    kept = json.loads(text)
    assert (kept["value"], kept["none"], kept["n"]) == (0.33333, None, [7])
    assert kept["quick"] is True
    assert kept["machine"]["cores"] >= 1
    assert kept["machine"]["libraries"]["numpy"]
    assert capsys.readouterr().out == text + "\n"


def test_quick_is_shorter() -> None:
    assert Run(quick=True).seconds(20.0) < Run().seconds(20.0)
    assert Run(quick=True).rounds(5) < Run().rounds(5)
