"""Line charts as inline SVG: they take the page's colours and need no drawing library."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, HEIGHT = 520, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 20, 14, 46
_COLORS = ("#2f7ed8", "#e08214", "#2b9e4f", "#b3416f")


@dataclass(frozen=True)
class Line:
    """One line of a chart; a point whose y is not finite is left out."""

    name: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False


def line_chart(
    lines: Sequence[Line], x_name: str, y_range: tuple[float, float] | None = None
) -> Markup:
    """Draw lines over one pair of axes, with a legend below; `y_range` fixes the y axis."""
    points = [point for line in lines for point in line.points if math.isfinite(point[1])]
    if not points:
        return Markup("<p>No finite values.</p>")
    x_ticks = _ticks(min(x for x, _ in points), max(x for x, _ in points))
    low, high = y_range or (min(y for _, y in points), max(y for _, y in points))
    y_ticks = _ticks(low, high)
    frame = _Frame(x_ticks[0], x_ticks[-1], y_ticks[0], y_ticks[-1])
    parts = [
        (
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            f'style="width:100%;max-width:{WIDTH}px" font-size="12" font-family="inherit" '
            f'fill="currentColor"><title>{_names(lines)}</title>'
        )
    ]
    for tick in y_ticks:
        y = frame.y(tick)
        parts.append(
            f'<path d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}" stroke="currentColor" opacity=".15"/>'
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:.4g}</text>'
        )
    for tick in x_ticks:
        parts.append(
            f'<text x="{frame.x(tick):.1f}" y="{HEIGHT - _BOTTOM + 16}" '
            f'text-anchor="middle">{tick:.4g}</text>'
        )
    parts += [_drawn(line, color, frame) for line, color in zip(lines, _cycle(lines), strict=True)]
    parts.append(_legend(lines, x_name))
    return Markup("".join(parts) + "</svg>")


def chart_row(*charts: Markup) -> Markup:
    """Charts in a row, as many as fit."""
    cells = Markup("").join(
        Markup('<div style="flex:1 1 340px;max-width:520px">{}</div>').format(chart)
        for chart in charts
    )
    return Markup('<div style="display:flex;flex-wrap:wrap;gap:12px 24px">{}</div>').format(cells)


@dataclass(frozen=True)
class _Frame:
    """Where values lie on the drawing."""

    left: float
    right: float
    bottom: float
    top: float

    def x(self, value: float) -> float:
        return _LEFT + (value - self.left) / (self.right - self.left) * (WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        share = (value - self.bottom) / (self.top - self.bottom)
        return HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM)


def _drawn(line: Line, color: str, frame: _Frame) -> str:
    shown = [(frame.x(x), frame.y(y)) for x, y in line.points if math.isfinite(y)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in shown)
    dash = ' stroke-dasharray="4 4"' if line.dashed else ""
    dots = (
        ""
        if line.dashed or len(shown) > 60
        else "".join(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{color}"/>' for x, y in shown
        )
    )
    return f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"{dash}/>{dots}'


def _legend(lines: Sequence[Line], x_name: str) -> str:
    left, y = _LEFT, HEIGHT - 8
    parts = []
    for line, color in zip(lines, _cycle(lines), strict=True):
        parts.append(
            f'<path d="M{left} {y - 4}h16" stroke="{color}" stroke-width="3"/>'
            f'<text x="{left + 22}" y="{y}">{escape(line.name)}</text>'
        )
        left += 40 + 7 * len(line.name)
    parts.append(f'<text x="{WIDTH - _RIGHT}" y="{y}" text-anchor="end">{escape(x_name)}</text>')
    return "".join(parts)


def _names(lines: Sequence[Line]) -> str:
    return str(escape(", ".join(line.name for line in lines)))


def _cycle(lines: Sequence[Line]) -> list[str]:
    return [_COLORS[i % len(_COLORS)] for i in range(len(lines))]


def _ticks(low: float, high: float) -> list[float]:
    """Round values from below `low` to above `high`, four to eight steps apart."""
    if high <= low:
        low, high = low - 0.5, high + 0.5
    raw = (high - low) / 5
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{i * step:.10g}") for i in range(first, last + 1)]
