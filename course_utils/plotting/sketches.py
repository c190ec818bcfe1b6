"""Drawn mechanisms as data: boxes, arrows and words in ``sketches/NAME.toml``, in inches from the lower left corner.

A file has ``title`` and ``alt``, ``size = [width, height]`` and

- ``[boxes]``: ``name = {at = [x, y], size = [w, h], text = "...", kind = "plain"}`` with the kinds of :data:`KINDS`, or
  ``rows = [[1, 2], [3, 4]]`` for a matrix with its numbers;
- ``arrows = [["from", "to"], ["from", "to", "word beside it"]]``: from edge to edge, the shorter way;
- ``words = [[x, y, "text"], ...]``: text on the sheet itself.
"""

import tomllib
from importlib.resources import files
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_utils.plotting.diagrams import NEW, _arrow, _box, _sheet
from course_utils.plotting.style import GREY, INK, PALE, Style, finish, show

KINDS: dict[str, Style] = {
    "plain": {"face": "white"},
    "token": {"face": "#F0C77A"},  # what is read
    "hidden": {"face": "#BFDDF0"},  # what is computed from it
    "weights": {"face": PALE},  # numbers that are learned, or were
    "new": NEW,  # what is trained here, or asked for
    "step": {"face": "white", "edgecolor": INK, "linewidth": 1.8},  # an operation
}
TITLE = 0.45  # inches above the sheet


def names() -> list[str]:
    """All sketches there are."""
    return sorted(path.name.removesuffix(".toml") for path in _folder().iterdir() if path.suffix == ".toml")


def sketch(name: str) -> None:
    """Show a drawn mechanism, with its text alternative.

    Raises:
        ValueError: if there is none of that name.
    """
    figure, alt = drawn(name)
    show(figure, alt)


def drawn(name: str) -> tuple[Figure, str]:
    """A sketch as a figure, and its text alternative.

    Raises:
        ValueError: if there is none of that name, or it has a fault.
    """
    if name not in names():
        raise ValueError(f"There is no sketch {name!r}; there are {', '.join(names())}.")
    plan = tomllib.loads((_folder() / f"{name}.toml").read_text(encoding="utf-8"))
    width, height = plan["size"]
    figure, ax = _sheet(width, height + TITLE)
    ax.set(xlim=(0, width), ylim=(0, height))
    boxes = plan["boxes"]
    for box in boxes.values():
        style = KINDS[box.get("kind", "plain")] | {"size": box.get("font", 9)}
        (x, y), (w, h) = box["at"], box["size"]
        _box(ax, x, y, w, h, box.get("text", ""), **style)
        if "rows" in box:
            _numbers(ax, box)
    for start, end, *word in plan.get("arrows", []):
        (x0, y0), (x1, y1) = _edges(boxes[start], boxes[end])
        _arrow(ax, (x0, y0), (x1, y1))
        if word:
            beside = (
                {"ha": "left", "va": "center"}
                if abs(x1 - x0) < abs(y1 - y0)
                else {"ha": "center", "va": "bottom"}
            )
            ax.text((x0 + x1) / 2 + 0.05, (y0 + y1) / 2 + 0.03, word[0], size=8.5, color=GREY, **beside)
    for x, y, text in plan.get("words", []):
        ax.text(x, y, text, size=9, va="center", linespacing=1.35)
    return finish(figure, plan["title"]), plan["alt"]


def _folder() -> Any:
    return files("course_utils.plotting") / "sketches"


def _numbers(ax: Axes, box: dict[str, Any]) -> None:
    """A matrix's numbers, row under row, inside its box."""
    rows = np.array(box["rows"], dtype=object)
    (x, y), (w, h) = box["at"], box["size"]
    for (i, j), number in np.ndenumerate(rows):
        across, down = (j + 0.5) / rows.shape[1], (i + 0.5) / rows.shape[0]
        ax.text(
            x + w * across, y + h * (1 - down), f"{number}", ha="center", va="center", size=box.get("font", 9)
        )


def _edges(start: dict[str, Any], end: dict[str, Any]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Where an arrow leaves one box and meets the other: at the facing sides, straight where they overlap."""
    points: list[tuple[float, float]] = []
    (a, b), (c, d) = _spans(start), _spans(end)
    upright = _gap(b, d) > _gap(a, c)
    across, along = ((b, d), (a, c)) if upright else ((a, c), (b, d))
    low, high = max(along[0][0], along[1][0]), min(along[0][1], along[1][1])
    forward = sum(across[0]) < sum(across[1])
    for i in (0, 1):
        edge = across[i][(i == 0) == forward]
        place = (low + high) / 2 if low < high else sum(along[i]) / 2
        points.append((place, edge) if upright else (edge, place))
    return points[0], points[1]


def _spans(box: dict[str, Any]) -> tuple[tuple[float, float], tuple[float, float]]:
    (x, y), (w, h) = box["at"], box["size"]
    return (x, x + w), (y, y + h)


def _gap(one: tuple[float, float], other: tuple[float, float]) -> float:
    """How far two stretches of a line are apart; less than 0 where they overlap."""
    return max(one[0], other[0]) - min(one[1], other[1])
