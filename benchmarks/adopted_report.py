"""What `adopted` measured, for the page. Not a benchmark itself."""

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.tables import markdown

Result = Mapping[str, Any]


def section(result: Result) -> str:
    head = ["server", "images/s", "over ONNX Runtime's own settings", "over an inference a core"]
    rows = []
    for name, rate in result["images_per_second"].items():
        own, a_core = (result[key].get(name) for key in ("over_onnxruntime", "over_a_core_each"))
        shown = f"segserve, {name}" if own else name
        rows.append(
            [shown, _spread(rate, 1), *("" if r is None else _spread(r) for r in (own, a_core))]
        )
    return markdown(head, rows)


def over_onnx_runtime(name: str, least: float) -> Callable[[Result], tuple[str, bool]]:
    """A target: `name` over ONNX Runtime with its own settings."""

    def judge(result: Result) -> tuple[str, bool]:
        value = result["over_onnxruntime"][name]
        tuned = result["over_a_core_each"][name]
        text = f"{_spread(value)}; {_spread(tuned)} of an inference a core"
        return text, value["median"] >= least

    return judge


def _spread(value: Mapping[str, float], digits: int = 2) -> str:
    return (
        f"{value['median']:.{digits}f} ({value['least']:.{digits}f}–{value['largest']:.{digits}f})"
    )
