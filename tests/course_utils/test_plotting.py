"""Every figure says something, names its axes, reads without colour and tells stand-in data apart."""

import base64
from itertools import combinations
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from course_utils import plotting
from course_utils.lectures import LECTURES
from course_utils.session import set_style

RANDOM = np.random.default_rng(0)
LABELS = np.repeat([0, 1], [87, 13])
SCORES = np.where(LABELS == 1, RANDOM.beta(3, 1, 100), RANDOM.beta(1, 4, 100))
LENGTHS = {"ham": RANDOM.integers(3, 60, 87), "spam": RANDOM.integers(15, 50, 13)}
HISTORY = SimpleNamespace(train_loss=[0.7, 0.5, 0.4], validation_loss=[0.6, 0.45, 0.5])
RESULTS = pd.DataFrame(
    {
        "name": ["words", "frozen", "one seed"],
        "mean": [0.95, 0.97, 0.9],
        "low": [0.94, 0.965, np.nan],
        "high": [0.96, 0.975, np.nan],
        "kind": ["baseline", "frozen", "fine-tuned"],
        "scores": [[0.95, 0.96], [0.97, 0.97], [0.9]],
    }
)
CURVES = pd.DataFrame(
    {"first": [3.0, 2.0, 1.5, 1.2, 1.1], "second": [3.0, 2.1, 1.6, 1.3, 1.11]}, index=range(1, 6)
)
COSINES = pd.DataFrame(
    RANDOM.uniform(-1, 1, (3, 3)),
    index=["kitten", "dog", "carburettor"],
    columns=["kitten", "dog", "carburettor"],
)
ROWS = pd.DataFrame(RANDOM.normal(size=(4, 50)), index=["king", "queen", "man", "woman"]).rename_axis(
    columns="unit"
)
FIGURES = {
    "class_balance": lambda real: plotting.class_balance(LABELS, real=real),
    "length_histogram": lambda real: plotting.length_histogram(LENGTHS, 25, real=real),
    "padding_picture": lambda real: plotting.padding_picture([[1, 1, 1], [1, 1, 0]], real=real),
    "learning_curves": lambda real: plotting.learning_curves(HISTORY, real=real),
    "confusion": lambda real: plotting.confusion([[80, 7], [2, 11]], real=real),
    "precision_recall": lambda real: plotting.precision_recall(LABELS, SCORES, 0.5, real=real),
    "threshold_figure": lambda real: plotting.threshold_figure(LABELS, SCORES, 0.5, real=real),
    "verdicts": lambda real: plotting.verdicts(["hello", "win now"], [0.1, 0.9], real=real),
    "intervals": lambda real: plotting.intervals(RESULTS, real=real),
    "lines": lambda real: plotting.lines(CURVES, "Two curves over five epochs", "epoch", "loss", real=real),
    "bars": lambda real: plotting.bars(CURVES.head(3), "Two bars in each row", "share", real=real),
    "heatmap": lambda real: plotting.heatmap(COSINES, "Words against words", "cosine", real=real),
    "heatmap, long rows": lambda real: plotting.heatmap(
        ROWS, "Vectors as rows of cells", "value", numbers=False, real=real
    ),
    "word_map": lambda real: plotting.word_map(
        RANDOM.normal(size=(6, 2)),
        {"animals": ["cat", "dog", "cow"], "metals": ["iron", "gold", "tin"]},
        "Do words of a kind lie together?",
        real=real,
    ),
}
DRAWN = {
    "freeze_diagram": lambda: plotting.freeze_diagram(
        22_565_376, 198_146, layers=6, sizes=(384, 512, 2), name="MiniLM"
    ),
    "freeze_diagram, 12 layers": lambda: plotting.freeze_diagram(
        109_482_240, 394_754, layers=12, sizes=(768, 512, 2), name="BERT"
    ),
    "window_picture": lambda: plotting.window_picture(["the", "quick", "brown", "fox", "jumps"], [0, 3], 2),
    "bilm_diagram": plotting.bilm_diagram,
    "pieces_picture": lambda: plotting.pieces_picture(
        [
            (
                ["[CLS]", "un", "##believably", "$5", "[UNK]"] * 3,
                [101, 4895, 9999, 7, 100] * 3,
                [(0, 0), *[(3, 17)] * 4] * 3,
            ),
            (["a"], [1037], [(0, 1)]),
        ],
        "Pieces, in three rows",
    ),
    "taxonomy": plotting.taxonomy,
    "course_map": lambda: plotting.course_map(done=["00"]),
}


def texts(figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def overlapping_texts(figure) -> list[tuple[str, str]]:
    """Pairs of visible texts whose boxes overlap by more than a hair."""
    figure.draw_without_rendering()
    hidden = set()  # labels of ticks beyond the axis limits exist, but are not drawn
    for axis in (axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)):
        low, high = sorted(axis.get_view_interval())
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
            if not low <= tick.get_loc() <= high:
                hidden |= {tick.label1, tick.label2}
    visible = [text for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()]
    visible = [text for text in visible if text not in hidden]
    boxes = []
    for text in visible:
        text.get_window_extent()
        boxes.append(Text.get_window_extent(text).padded(-2))
    return [
        (visible[i].get_text(), visible[j].get_text())
        for i in range(len(boxes))
        for j in range(i)
        if boxes[i].width > 0 < boxes[j].width and boxes[i].overlaps(boxes[j])
    ]


@pytest.fixture(autouse=True, params=[False, True], ids=["normal", "big"])
def style(request):
    with mpl.rc_context():
        set_style(big=request.param)
        yield


@pytest.mark.parametrize("name", FIGURES)
def test_figures_have_a_title_and_axes_and_say_where_data_come_from(name):
    figure = FIGURES[name](True)
    assert len(figure.get_suptitle()) > 15
    assert all(ax.get_ylabel() or ax.get_yticklabels() for ax in figure.axes)
    # A heat map's last axes are those of its colour bar, and the names of its rows and columns speak for themselves.
    assert figure.axes[-1].get_xlabel() or name.startswith("heatmap")
    assert plotting.STANDIN not in texts(figure)
    assert plotting.STANDIN in texts(FIGURES[name](False))


@pytest.mark.parametrize("name", [*FIGURES, *DRAWN])
def test_no_text_covers_another(name):
    assert overlapping_texts(FIGURES[name](False) if name in FIGURES else DRAWN[name]()) == []


def test_attributes_of_pandas_objects_mark_stand_in_data():
    frame = pd.DataFrame({"label": LABELS})
    frame.attrs["real"] = False
    assert plotting.STANDIN in texts(plotting.class_balance(frame["label"]))
    results = RESULTS.copy()
    results.attrs["real"] = False
    assert plotting.STANDIN in texts(plotting.intervals(results))


def test_titles_say_what_the_data_say():
    assert "13 % of the messages are spam" in plotting.class_balance(LABELS).get_suptitle().replace("\n", " ")
    assert "1 ham wrongly blocked, 2 spam let through" in plotting.threshold_figure(
        [0, 0, 1, 1, 1], [0.1, 0.6, 0.2, 0.5, 0.4], 0.5
    ).get_suptitle().replace("\n", " ")
    title = plotting.length_histogram({"ham": [1, 2, 3, 4], "spam": [2, 5]}, 3).get_suptitle()
    assert "25 % of ham and 50 % of spam" in title
    assert "after epoch 2" in plotting.learning_curves(HISTORY).get_suptitle()
    assert "25 % of this batch" in plotting.padding_picture([[1, 1], [1, 0]]).get_suptitle().replace(
        "\n", " "
    )
    assert plotting.intervals(RESULTS).get_suptitle() == "Best on average: frozen"


def test_the_lengths_in_the_last_bar_are_not_lost():
    figure = plotting.length_histogram({"ham": [5] * 999 + [200]})
    assert sum(bar.get_height() for bar in figure.axes[0].patches) == 1000


def test_a_share_is_never_rounded_to_all_or_nothing():
    assert plotting.style.percent(0.004) == "0.4 %"
    assert plotting.style.percent(0.996) == "99.6 %"
    assert plotting.style.percent(1.0) == "100 %"


def test_classes_and_methods_differ_without_colour():
    assert set(plotting.COLOURS) == set(plotting.LOOKS)
    assert plotting.look("ham")[1] != plotting.look("spam")[1]
    assert len({plotting.look(name)[2] for name in ("baseline", "frozen", "fine-tuned")}) == 3
    looks = [plotting.look(name, i) for i, name in enumerate(("ham", "spam", "delivery", "code"))]
    assert len({hatch for _, hatch, _ in looks}) == len({marker for *_, marker in looks}) == 4


def test_colours_of_the_classes_differ_in_grey():
    def grey(colour: str) -> float:
        return float(np.dot(mpl.colors.to_rgb(colour), (0.299, 0.587, 0.114)))

    assert abs(grey(plotting.COLOURS["ham"]) - grey(plotting.COLOURS["spam"])) > 0.1


# Machado, Oliveira & Fernandes (2009), severity 1: what linear RGB becomes for an eye that lacks one kind of cone.
EYES = {
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.01182, 0.04294, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.3039)),
}  # fmt: skip
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = np.array([0.9505, 1.0, 1.089])


def seen_as(colour: str, eye: str) -> np.ndarray:
    """A colour in CIE L*a*b*, as this eye sees it."""
    rgb = np.array(mpl.colors.to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = TO_XYZ @ np.clip(np.array(EYES[eye]) @ linear, 0, 1) / WHITE
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("eye", EYES)
def test_colours_differ_for_eyes_that_lack_a_cone(eye):
    named = {
        colour: 10 for colour in plotting.COLOURS.values()
    }  # a difference of 2 can just be seen side by side
    colours = named | {colour: 7 for colour, *_ in plotting.OTHERS}
    for (one, least), (other, also) in combinations(colours.items(), 2):
        assert np.linalg.norm(seen_as(one, eye) - seen_as(other, eye)) > min(least, also), (one, other)
    red_and_green = np.linalg.norm(seen_as("#c0392b", "deuteranopia") - seen_as("#5a7d1b", "deuteranopia"))
    assert red_and_green < 10, "the test itself must see the classic mistake"


def test_show_sends_a_png_with_its_alternative(monkeypatch):
    sent = []
    monkeypatch.setattr("IPython.display.display", lambda data, **options: sent.append((data, options)))
    figure = plotting.class_balance(LABELS)
    assert plotting.show(figure, alt="Two bars: 87 ham\n   and 13 spam messages.") is None
    (data, options), *more = sent
    assert not more
    picture = base64.b64decode(data["image/png"])
    assert picture.startswith(b"\x89PNG")
    said = {"alt": "Two bars: 87 ham and 13 spam messages."} | plotting.shown_size(picture)
    assert options == {"metadata": {"image/png": said}, "raw": True}
    assert "text/plain" in data


@pytest.mark.parametrize("alt", ["", "   ", "a figure"])
def test_show_wants_a_real_alternative(alt):
    with pytest.raises(ValueError, match="too short"):
        plotting.show(plotting.class_balance(LABELS), alt=alt)


def test_show_closes_figures_of_pyplot(monkeypatch):
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    monkeypatch.setattr("IPython.display.display", lambda *a, **k: None)
    figure, ax = plt.subplots()
    ax.plot([1, 2])
    plotting.show(figure, alt="A line that goes from one to two.")
    assert not plt.fignum_exists(figure.number)


def test_figures_of_the_course_leave_nothing_open():
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    for draw in FIGURES.values():
        draw(True)
    assert plt.get_fignums() == before


def test_the_same_data_give_the_same_bytes():
    assert plotting.png(plotting.confusion([[8, 1], [2, 9]])) == plotting.png(
        plotting.confusion([[8, 1], [2, 9]])
    )


def test_a_picture_has_twice_the_pixels_that_it_is_shown_with():
    figure = plotting.confusion([[8, 1], [2, 9]])
    size = plotting.shown_size(plotting.png(figure))
    inches = np.array([size["width"], size["height"]]) / figure.dpi
    assert (inches > 0.7 * figure.get_size_inches()).all() and (inches < 1.3 * figure.get_size_inches()).all()


def test_the_map_holds_every_lecture_once():
    numbers = [entry[:2] for group in LECTURES.values() for entry in group]
    assert numbers == [f"{number:02d}" for number in range(len(numbers))]
