"""A scatter chart of KL divergence (logarithmic) against size, as an SVG without scripts.

It is narrow, so that its letters are readable on a phone, and has colours for light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 420, 540
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 62, 44
LETTER = 6.0
"""Width of a letter of a label, at most on average."""
_STYLE = """
  text { font: 10.5px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: #1f2328; }
  .paper { fill: #ffffff; } .grid { stroke: #d8dee4; stroke-width: 1; }
  .title { font-size: 14px; font-weight: 600; } .quiet { fill: #57606a; }
  .mine { fill: #3949ab; } .mine-text { fill: #303f9f; }
  .other { fill: none; stroke: #b35900; stroke-width: 1.8; } .other-text { fill: #8f4700; }
  .mine-text, .other-text { paint-order: stroke; stroke: #ffffff; stroke-width: 2.5px; }
  .lead { stroke: #8c959f; stroke-width: .7; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .paper { fill: #161b22; } .grid { stroke: #30363d; }
    .quiet { fill: #9aa4af; } .mine { fill: #8c9eff; } .mine-text { fill: #a9b6ff; }
    .mine-text, .other-text { stroke: #161b22; }
    .other { stroke: #ffa657; } .other-text { fill: #ffb877; } .lead { stroke: #6e7681; }
  }
"""


@dataclass(frozen=True)
class Point:
    """Attributes:
    size: in MB.
    kl: mean KL divergence in nats, above 0.
    mine: a program of this project, or a rival.
    """

    label: str
    size: float
    kl: float
    mine: bool


Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


def chart(points: Sequence[Point], title: str) -> str:
    """The text of the SVG."""
    sizes, losses = [p.size for p in points], [p.kl for p in points]
    low, high = 10 * math.floor(min(sizes) / 10 - 0.3), 10 * math.ceil(max(sizes) / 10 + 0.3)
    least, most = math.log10(min(losses)) - 0.12, math.log10(max(losses)) + 0.12
    x_scale = (WIDTH - LEFT - RIGHT) / (high - low)
    y_scale = (HEIGHT - TOP - BOTTOM) / (most - least)

    def place(size: float, kl: float) -> tuple[float, float]:
        return LEFT + (size - low) * x_scale, TOP + (most - math.log10(kl)) * y_scale

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{escape(title)}">',
        f"<style>{_STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}" rx="6"/>',
        f'<text class="title" x="{LEFT}" y="22">{escape(title)}</text>',
        *_legend(),
    ]
    for size in range(low, high + 1, 20 if high - low > 60 else 10):
        x = place(size, losses[0])[0]
        lines.append(f'<path class="grid" d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
        lines.append(_text(x, HEIGHT - BOTTOM + 15, str(size), "quiet", "middle"))
    for kl in _ticks(least, most):
        y = place(low, kl)[1]
        lines.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        lines.append(_text(LEFT - 5, y + 3.5, f"{kl:g}", "quiet", "end"))
    lines.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, "MB", "quiet", "middle"))
    spots = [place(p.size, p.kl) for p in points]
    lines += _labelled(points, spots)
    for point, (x, y) in zip(points, spots, strict=True):
        hint = f"<title>{escape(point.label)}: {point.size:.1f} MB, KL {point.kl:.2g}</title>"
        kind, radius = ("mine", 4.2) if point.mine else ("other", 3.8)
        lines.append(
            f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}">{hint}</circle>'
        )
    return "\n".join([*lines, "</svg>", ""])


def _legend() -> Iterator[str]:
    y = 42
    yield f'<circle class="mine" cx="{LEFT + 5}" cy="{y}" r="4.2"/>'
    yield _text(LEFT + 14, y + 3.5, "llm_export", "mine-text")
    yield f'<circle class="other" cx="{LEFT + 86}" cy="{y}" r="3.8"/>'
    yield _text(LEFT + 95, y + 3.5, "other tools", "other-text")
    yield _text(WIDTH - RIGHT, y + 3.5, "mean KL to float32, nats", "quiet", "end")


def _ticks(least: float, most: float) -> Iterator[float]:
    """1, 2 and 5 of each power of ten within the axis."""
    for power in range(math.floor(least), math.ceil(most) + 1):
        for digit in (1, 2, 5):
            if least <= math.log10(digit) + power <= most:
                yield digit * 10.0**power


def _labelled(points: Sequence[Point], spots: Sequence[tuple[float, float]]) -> Iterator[str]:
    """Labels beside their points, where nothing is yet; a line leads to one further away."""
    taken: list[Box] = [(x - 5, y - 5, x + 5, y + 5) for x, y in spots]
    order = sorted(range(len(points)), key=lambda at: (spots[at][1], spots[at][0]))
    for at in order:
        point, (x, y) = points[at], spots[at]
        width = LETTER * len(point.label)
        box = min(_boxes(x, y, width), key=lambda box: _cost(box, (x, y), taken))
        taken.append(box)
        middle = (box[1] + box[3]) / 2
        near = min(max(x, box[0]), box[2]), min(max(y, box[1] + 2), box[3] - 2)
        if math.dist(near, (x, y)) > 13:
            yield f'<path class="lead" d="M{x:.1f} {y:.1f}L{near[0]:.1f} {near[1]:.1f}"/>'
        kind = "mine-text" if point.mine else "other-text"
        side, anchor = (box[2], "end") if box[2] < x else (box[0], "start")
        yield _text(side, middle + 3.6, point.label, kind, anchor)


def _boxes(x: float, y: float, width: float) -> Iterator[Box]:
    """Where a label may stand: right, left, above and below, then further away."""
    for away in (0, 10, 13, 20, 26, 39, 52, 65):
        for down in (away, -away):
            for left in (x + 8, x + 20, x - 8 - width, x - 20 - width, x - width / 2):
                if left != x - width / 2 or away:
                    yield left, y + down - 6, left + width, y + down + 6


def _cost(box: Box, spot: tuple[float, float], taken: Sequence[Box]) -> float:
    """Least for a label that is near, inside and covers nothing."""
    left, top, right, bottom = box
    outside = max(0, LEFT + 2 - left) + max(0, right - WIDTH + 4)
    outside += max(0, TOP - top) + max(0, bottom - HEIGHT + BOTTOM)
    covered = sum(
        max(0, min(right, r) - max(left, le)) * max(0, min(bottom, b) - max(top, t))
        for le, t, r, b in taken
    )
    far = abs((top + bottom) / 2 - spot[1]) + 4 * (right < spot[0])
    far += max(0, left - spot[0] - 8, spot[0] - right - 8) / 2
    return 1000 * outside + 20 * covered + far


def _text(x: float, y: float, said: str, kind: str, anchor: str = "start") -> str:
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(said)}</text>'
    )
