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


def read(name):
    return tomllib.loads((sketches._folder() / f"{name}.toml").read_text(encoding="utf-8"))


def test_ulmfit_begins_with_random_numbers_in_stage_1_but_for_glove_and_at_the_head_of_stage_3():
    plan = read("ulmfit")
    boxes = plan["boxes"]
    new = {name for name, box in boxes.items() if box["kind"] == "new"}
    assert new == {"vectors1", "lstm_11", "lstm_21", "top1", "top3"}
    # The softmax goes on into stage 2 as well, and ends there.
    handed_on = {(start[:-1], int(start[-1])) for start, end in plan["arrows"] if start[:-1] == end[:-1]}
    both = {(part, stage) for part in ("vectors", "lstm_1", "lstm_2") for stage in (1, 2)}
    assert handed_on == both | {("top", 1)} and len(plan["arrows"]) == 7
    # 50 of a word's 200 numbers came from GloVe; word vectors and softmax are one table.
    for glove, whole in (("glove_in", "vectors1"), ("glove_out", "top1")):
        assert boxes[glove]["at"] == boxes[whole]["at"]
        assert np.isclose(boxes[glove]["size"][0] / boxes[whole]["size"][0], 50 / 200)


def test_every_task_becomes_one_line_of_tokens_whose_last_state_answers():
    plan = read("input_transformations")
    boxes = plan["boxes"]
    lines: dict[tuple[float, float], list[str]] = {}
    for name, box in sorted(boxes.items(), key=lambda item: item[1]["at"][0]):
        if not name.endswith("head"):
            lines.setdefault(box["at"][1], []).append(name)
    said = [" ".join(boxes[name]["text"] for name in lines[y]) for y in sorted(lines, reverse=True)]
    assert said == [
        "start text extract",
        "start premise delimiter hypothesis extract",
        "start text 1 delimiter text 2 extract",
        "start text 2 delimiter text 1 extract",
        "start context delimiter answer 1 extract",
        "start context delimiter answer 2 extract",
    ]
    assert {start for start, _ in plan["arrows"]} == {line[-1] for line in lines.values()}
