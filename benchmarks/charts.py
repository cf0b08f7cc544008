"""Small SVG charts that read on light and dark pages: bars, stacked bars, lines. Not a benchmark
itself."""

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH = 720
LEFT, RIGHT, TOP, BOTTOM = 150, 24, 40, 46
ROW = 26
PLOT_HEIGHT = 260
# Okabe and Ito's colours, told apart by most colour-blind readers and legible on white and on
# black.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_STYLE = (
    "<style>text{font:13px system-ui,sans-serif;fill:#1f2328}.faint{stroke:#8886;stroke-width:1}"
    ".error{stroke:#1f2328;stroke-width:1.5}.title{font-weight:600}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.error{stroke:#e6edf3}}</style>"
)


def bars(title: str, values: Mapping[str, tuple[float, float, float]], unit: str) -> str:
    """A bar a name with (value, least, largest); the largest value on top."""
    rows = sorted(values.items(), key=lambda item: -item[1][0])
    most = max(largest for _, (_, _, largest) in rows)
    scale = (WIDTH - LEFT - RIGHT - 70) / most
    parts = []
    for row, (name, (value, least, largest)) in enumerate(rows):
        y = TOP + row * ROW
        end = LEFT + largest * scale
        parts += [
            _text(LEFT - 8, y + 14, name, "end"),
            _rectangle(LEFT, y, value * scale, COLORS[0], f"{name}: {value:.3g} {unit}"),
            f'<path class="error" d="M{LEFT + least * scale:.1f} {y + 9}H{end:.1f}"/>',
            _text(end + 6, y + 14, f"{value:.3g}"),
        ]
    return _svg(title, TOP + len(rows) * ROW + 12, parts, f"{title}, {unit}")


def stacked(title: str, rows: Mapping[str, Mapping[str, float]]) -> str:
    """A bar a row, cut into the shares of its parts."""
    names = list(next(iter(rows.values())))
    parts = []
    for row, (label, values) in enumerate(rows.items()):
        y, x, total = TOP + row * ROW, float(LEFT), sum(values.values())
        parts.append(_text(LEFT - 8, y + 14, label, "end"))
        for name, color in zip(names, COLORS, strict=False):
            share = values[name] / total
            width = share * (WIDTH - LEFT - RIGHT)
            parts.append(_rectangle(x, y, width, color, f"{name}: {share:.1%}"))
            x += width
    bottom = TOP + len(rows) * ROW
    return _svg(title, bottom + 30, [*parts, *_legend(names, bottom + 8)], title)


def lines(
    title: str, series: Mapping[str, Sequence[tuple[float, float]]], x_label: str, y_label: str
) -> str:
    """Lines over logarithmic axes; all numbers are above 0."""
    xs = [x for points in series.values() for x, _ in points]
    ys = [y for points in series.values() for _, y in points]
    x_of = _axis(min(xs), max(xs), LEFT, WIDTH - RIGHT)
    y_of = _axis(min(ys), max(ys), TOP + PLOT_HEIGHT, TOP)
    parts = []
    for x in _ticks(min(xs), max(xs)):
        parts += [
            f'<path class="faint" d="M{x_of(x):.1f} {TOP}v{PLOT_HEIGHT}"/>',
            _text(x_of(x), TOP + PLOT_HEIGHT + 17, f"{x:g}", "middle"),
        ]
    for y in _ticks(min(ys), max(ys)):
        parts += [
            f'<path class="faint" d="M{LEFT} {y_of(y):.1f}H{WIDTH - RIGHT}"/>',
            _text(LEFT - 8, y_of(y) + 4, f"{y:g}", "end"),
        ]
    for (name, points), color in zip(series.items(), COLORS, strict=False):
        path = "L".join(f"{x_of(x):.1f} {y_of(y):.1f}" for x, y in points)
        parts.append(f'<path fill="none" stroke="{color}" stroke-width="2" d="M{path}"/>')
        parts += [
            f'<circle cx="{x_of(x):.1f}" cy="{y_of(y):.1f}" r="3.5" fill="{color}">'
            f"<title>{escape(name)}: {x:g} → {y:.3g}</title></circle>"
            for x, y in points
        ]
    bottom = TOP + PLOT_HEIGHT
    parts.append(_text((LEFT + WIDTH) / 2, bottom + 36, x_label, "middle"))
    if len(series) == 1:
        return _svg(title, bottom + 46, parts, f"{title}: {y_label}")
    legend = _legend(list(series), bottom + 50)
    return _svg(title, bottom + 72, [*parts, *legend], f"{title}: {y_label}")


def _axis(least: float, largest: float, start: float, end: float) -> "Axis":
    return Axis(math.log(least), math.log(max(largest, least * 1.01)), start, end)


class Axis:
    """A position on paper for a number, logarithmic."""

    def __init__(self, least: float, largest: float, start: float, end: float) -> None:
        self._least, self._largest, self._start, self._end = least, largest, start, end

    def __call__(self, value: float) -> float:
        share = (math.log(value) - self._least) / (self._largest - self._least)
        return self._start + share * (self._end - self._start)


def _ticks(least: float, largest: float) -> list[float]:
    """The 1, 2 and 5 of each power of ten within; the powers alone where that is enough."""
    powers = range(math.floor(math.log10(least)), math.ceil(math.log10(largest)) + 1)
    steps = (1,) if largest / least > 500 else (1, 2, 5)
    ticks = [step * 10.0**power for power in powers for step in steps]
    return [tick for tick in ticks if least * 0.999 <= tick <= largest * 1.001]


def _legend(names: Sequence[str], y: float) -> list[str]:
    parts, x = [], 8.0
    for name, color in zip(names, COLORS, strict=False):
        parts += [_rectangle(x, y, 12, color, name, 12), _text(x + 18, y + 11, name)]
        x += 40 + 7.5 * len(name)
    return parts


def _rectangle(x: float, y: float, width: float, color: str, hint: str, height: float = 18) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height}" fill="{color}">'
        f"<title>{escape(hint)}</title></rect>"
    )


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(title: str, height: float, parts: Sequence[str], heading: str) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
        f'width="{WIDTH}" role="img" aria-label="{escape(title)}">'
    )
    shown = f'<text class="title" x="8" y="20">{escape(heading)}</text>'
    return "\n".join([head, _STYLE, shown, *parts, "</svg>"]) + "\n"
