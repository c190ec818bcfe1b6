"""Every drawn mechanism: words inside their boxes and apart, arrows from edge to edge through nothing, a text alternative."""

import tomllib
from itertools import combinations

import numpy as np
import pytest
from matplotlib.patches import FancyBboxPatch
from matplotlib.text import Text
from test_plotting import overlapping_texts

from course_tools import notebooks
from course_utils.plotting import sketch, sketches


@pytest.fixture(params=sketches.names())
def plan(request):
    text = (sketches._folder() / f"{request.param}.toml").read_text(encoding="utf-8")
    return {"name": request.param} | tomllib.loads(text)


def spans(box):
    (x, y), (w, h) = box["at"], box["size"]
    return np.array([[x, x + w], [y, y + h]])


def test_words_are_apart_and_inside(plan):
    figure, alt = sketches.drawn(plan["name"])
    assert overlapping_texts(figure) == []
    assert len(alt) >= 80 and figure.get_suptitle() and plan["title"][-1] != "."
    (ax,) = figure.axes
    boxes = [patch.get_window_extent() for patch in ax.patches if isinstance(patch, FancyBboxPatch)]
    sheet = ax.get_window_extent().padded(2)
    for text in ax.texts:
        if text.get_text().strip():
            words = Text.get_window_extent(text)
            (x, y) = (words.x0 + words.x1) / 2, (words.y0 + words.y1) / 2
            around = [box for box in boxes if box.contains(x, y)] or [sheet]
            inside = [
                box.x0 <= words.x0 and words.x1 <= box.x1 and box.y0 <= words.y0 and words.y1 <= box.y1
                for box in around
            ]
            assert all(inside), f"{text.get_text()!r} is larger than what it stands in"


def test_boxes_are_on_the_sheet_and_apart_or_one_inside_the_other(plan):
    for name, box in plan["boxes"].items():
        (left, right), (low, high) = spans(box)
        assert left >= 0 and right <= plan["size"][0] and low >= 0 and high <= plan["size"][1], name
    for (one, a), (other, b) in combinations(plan["boxes"].items(), 2):
        a, b = spans(a), spans(b)
        apart = (a[:, 1] <= b[:, 0]).any() or (b[:, 1] <= a[:, 0]).any()
        nested = ((a[:, 0] <= b[:, 0]) & (b[:, 1] <= a[:, 1])).all() or (
            (b[:, 0] <= a[:, 0]) & (a[:, 1] <= b[:, 1])
        ).all()
        assert apart or nested, f"{one} lies on {other}"


def test_arrows_go_through_no_other_box(plan):
    boxes = plan["boxes"]
    for start, end, *_ in plan.get("arrows", []):
        ends = np.array(sketches._edges(boxes[start], boxes[end]))
        path = ends[0] + np.linspace(0.01, 0.99, 99)[:, None] * (ends[1] - ends[0])
        for name, box in boxes.items():
            (left, right), (low, high) = spans(box)
            hit = (left < path[:, 0]) & (path[:, 0] < right) & (low < path[:, 1]) & (path[:, 1] < high)
            holds = hit[[0, -1]].all()  # a frame around both
            assert holds or not hit.any(), f"the arrow from {start} to {end} goes through {name}"


def test_every_sketch_is_in_a_lecture():
    cells = "\n".join(cell.source for path in notebooks.find() for cell in notebooks.read(path).cells)
    assert [name for name in sketches.names() if f'sketch("{name}")' not in cells] == []


def test_a_matrix_has_its_numbers_in_rows():
    figure, ax = sketches._sheet(4, 4)
    sketches._numbers(ax, {"at": [0, 0], "size": [2, 2], "rows": [[1, 2], [3, 4]]})
    places = {text.get_text(): text.get_position() for text in figure.axes[0].texts}
    assert places == {"1": (0.5, 1.5), "2": (1.5, 1.5), "3": (0.5, 0.5), "4": (1.5, 0.5)}


@pytest.mark.parametrize(
    ("at", "ends"),
    [
        ([3, 0], ((1, 0.5), (3, 0.5))),  # beside
        ([0, 3], ((0.5, 1), (0.5, 3))),  # above
        ([3, 1.5], ((1, 0.5), (3, 2))),  # beside and higher: the longer way decides the side
        ([0.5, -3], ((0.75, 0), (0.75, -2))),  # below, where both are
    ],
)
def test_an_arrow_leaves_at_the_facing_side(at, ends):
    found = sketches._edges({"at": [0, 0], "size": [1, 1]}, {"at": at, "size": [1, 1]})
    np.testing.assert_allclose(found, ends)


def test_no_such_sketch():
    with pytest.raises(ValueError, match="lstm_cell"):
        sketch("lstm")
