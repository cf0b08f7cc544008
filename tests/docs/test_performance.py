"""docs/performance.md is what the results say."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks.charts import bars, lines, stacked
from benchmarks.measuring import Run, summary
from benchmarks.report import NOT_YET, PAGE, PLOTS, SECTIONS, machine_words, page, plots


def test_the_page_and_its_plots_show_the_results_as_they_are_kept() -> None:
    assert PAGE.read_text() == page()
    drawn = plots()
    assert {file.name: file.read_text() for file in PLOTS.glob("*.svg")} == drawn


def _overload(goodput: float, statuses: dict[str, int]) -> dict[str, Any]:
    server = {
        "capacity": 20.0,
        "goodput_over_capacity": summary([goodput - 0.01, goodput, goodput + 0.01]),
        "accepted_p50_seconds": 1.0,
        "accepted_p99_seconds": 2.0,
        "in_time_share_of_accepted": 1.0,
        "statuses": statuses,
    }
    return {"deadline_seconds": 10.0, "servers": {"default": server, "tensorflow": server}}


@pytest.mark.usefixtures("capsys")
def test_whether_a_target_is_met_comes_from_the_numbers(tmp_path: Path) -> None:
    run = Run(quick=True, results=tmp_path)
    run.write("overload", _overload(0.93, {"200": 400, "429": 400}))
    met = page(tmp_path)
    assert (
        "| Goodput at twice the capacity, over capacity | ≥ 0.9 | default 0.93 (0.92–0.94); "
        "tensorflow 0.93 (0.92–0.94) | met |" in met
    )
    assert "to be measured again:** overload" in met
    run.write("overload", _overload(0.53, {"200": 300, "429": 400, "503": 3}))
    missed = page(tmp_path)
    assert "default 0.53 (0.52–0.54); tensorflow 0.53 (0.52–0.54) | **missed** |" in missed
    assert missed.count("**missed**") == 2  # goodput, and 503 is no 429


@pytest.mark.usefixtures("capsys")
def test_results_of_another_machine_say_which(tmp_path: Path) -> None:
    for name in ("overload", "start", "soak"):
        Run(results=tmp_path).write(name, _overload(0.9, {"200": 1}) | {"engines": {}})
    file = tmp_path / "soak.json"
    record = json.loads(file.read_text())
    record["machine"]["cpu"] = "Abacus"
    file.write_text(json.dumps(record))
    first, other = machine_words(tmp_path).split(" Of `soak`: ")
    assert "Abacus" not in first
    assert " cores of Abacus, " in other


def test_what_is_not_measured_is_said_to_be(tmp_path: Path) -> None:
    text = page(tmp_path)
    assert text.count(NOT_YET) == 1 + len(SECTIONS)  # the machine and each section
    assert "met |" not in text


@pytest.mark.parametrize(
    "svg",
    [
        bars("Speed", {"a & b": (10.0, 9.0, 12.0), "c": (5.0, 5.0, 5.0)}, "images/s"),
        stacked("Shares", {"480×360": {"decode": 1.0, "infer": 3.0}}),
        lines("Growth", {"ours": [(0.1, 0.02), (1.0, 0.2), (100.0, 20.0)]}, "MP", "seconds"),
    ],
)
def test_a_chart_is_an_image_with_a_hint_a_mark(svg: str) -> None:
    root = ElementTree.fromstring(svg)
    width, height = map(float, root.attrib["viewBox"].split()[2:])
    space = "{http://www.w3.org/2000/svg}"
    marks = [*root.iter(f"{space}rect"), *root.iter(f"{space}circle")]
    assert marks
    for mark in marks:
        assert mark.find(f"{space}title") is not None
        x, y = (float(mark.get(a) or mark.get(b) or -1) for a, b in (("x", "cx"), ("y", "cy")))
        assert 0 <= x <= width
        assert 0 <= y <= height


def test_a_bar_is_as_long_as_its_value() -> None:
    root = ElementTree.fromstring(
        bars("Speed", {"a": (10.0, 9.0, 12.0), "b": (5.0, 5.0, 5.0)}, "/s")
    )
    first, second = (
        float(bar.get("width") or 0) for bar in root.iter("{http://www.w3.org/2000/svg}rect")
    )
    assert first == pytest.approx(2 * second, rel=0.01)
