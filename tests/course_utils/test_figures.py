"""What the figures hold: every mark at its number, every label at its mark, every class in its colour."""

import re
import warnings
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from matplotlib.colors import same_color, to_rgb
from matplotlib.patches import Arc, FancyBboxPatch
from matplotlib.text import Annotation, Text

from course_utils import plotting
from course_utils.lectures import LECTURES

HAM, SPAM = plotting.COLOURS["ham"], plotting.COLOURS["spam"]
labels = np.array([0, 0, 0, 0, 1, 1])
scores = np.array([0.1, 0.2, 0.4, 0.7, 0.6, 0.3])


def rows(ax) -> dict[str, float]:
    """The names on the vertical axis, and where they stand."""
    return {text.get_text(): place for text, place in zip(ax.get_yticklabels(), ax.get_yticks(), strict=True)}


def written(ax) -> dict[str, tuple[float, float]]:
    """What is written inside the axes, and the point that each text belongs to."""
    texts = [text for text in ax.texts if text.get_text()]
    points = [text.xy if isinstance(text, Annotation) else text.get_position() for text in texts]
    return {text.get_text(): tuple(map(float, point)) for text, point in zip(texts, points, strict=True)}


def middle(bar) -> float:
    return bar.get_y() + bar.get_height() / 2


def upside_down(ax) -> bool:
    """Whether the first row is on top."""
    low, high = ax.get_ylim()
    return low > high


def bar_at(ax, y: float):
    (bar,) = [bar for bar in ax.patches if abs(middle(bar) - y) < 0.01]
    return bar


def line_at(ax, y: float):
    """Marks and strokes at a height: {marker or "-": their x}."""
    at = [line for line in ax.lines if len(line.get_ydata()) and np.allclose(line.get_ydata(), y)]
    return {line.get_marker() if line.get_linestyle() == "None" else "-": line for line in at}


# --- charts of messages


def test_class_balance_has_a_bar_for_each_class_as_long_as_its_count():
    figure = plotting.class_balance([0, 1, 0, 2, 0, 1, 0, 0, 0, 0], ("ham", "spam", "code"))
    (ax,) = figure.axes
    places = rows(ax)
    assert list(places) == ["ham", "spam", "code"] and upside_down(ax)
    for name, count, colour in (("ham", 7, HAM), ("spam", 2, SPAM), ("code", 1, plotting.look("code", 2)[0])):
        bar = bar_at(ax, places[name])
        assert (bar.get_x(), bar.get_width()) == (0, count) and same_color(bar.get_facecolor(), colour)
        assert written(ax)[f" {count}  ({10 * count} %)"] == (count, places[name])
    assert "10 % of the messages are code" in figure.get_suptitle().replace("\n", " ")
    assert "“ham” to everything is right 70 %" in figure.get_suptitle().replace("\n", " ")


def test_lengths_are_counted_in_the_panel_of_their_class_and_cut_above_the_mark():
    figure = plotting.length_histogram({"ham": [1, 2, 2, 30], "spam": [0, 25, 26, 25]}, 25, unit="pieces")
    for ax, name, values, share in zip(
        figure.axes, ("ham", "spam"), ([1, 2, 2, 30], [0, 25, 26, 25]), (25, 25), strict=True
    ):
        heights = {round(bar.get_x() + bar.get_width() / 2): bar.get_height() for bar in ax.patches}
        assert {length: count for length, count in heights.items() if count} == {
            length: values.count(length) for length in values
        }
        assert all(same_color(bar.get_facecolor(), plotting.COLOURS[name]) for bar in ax.patches)
        assert set(ax.lines[0].get_xdata()) == {25.5}
        text = f"{name}: median {np.median(values):.0f} pieces\n{share} % of {name} is longer than 25"
        assert text in written(ax)
    assert "(pieces;" in figure.axes[-1].get_xlabel()


def test_padding_is_hatched_where_the_mask_is_0_and_each_cell_has_its_token():
    mask, tokens = [[1, 1, 0], [1, 0, 0]], [["[CLS]", "hi", "[PAD]"], ["yes", "[PAD]", "[PAD]"]]
    (ax,) = plotting.padding_picture(mask, tokens).axes
    cells = {(int(cell.get_y()), int(cell.get_x())): cell for cell in ax.patches}
    words = {(int(text.get_position()[1]), int(text.get_position()[0])): text.get_text() for text in ax.texts}
    for i, j in np.ndindex(2, 3):
        assert bool(cells[i, j].get_hatch()) == (mask[i][j] == 0) and words[i, j] == tokens[i][j]
    faces = [to_rgb(cells[place].get_facecolor()) for place in ((0, 0), (0, 1), (0, 2))]
    assert len(set(faces)) == 3 and to_rgb(cells[1, 0].get_facecolor()) == faces[1]
    assert ax.get_ylim() == (2, 0) and (ax.get_xlabel(), ax.get_ylabel()) == ("position (token)", "message")
    assert [text.get_text() for text in ax.get_xticklabels()] == ["0", "1", "2"]


@pytest.mark.parametrize("validation", [[0.6, 0.45, 0.5], [0.5, 0.42, 0.3]])
def test_learning_curves_are_named_and_the_lowest_validation_loss_is_marked(validation):
    train, best = [0.7, 0.5, 0.4], int(np.argmin(validation))
    figure = plotting.learning_curves(SimpleNamespace(train_loss=train, validation_loss=validation))
    (ax,) = figure.axes
    first, second, vertical, star = ax.lines
    assert (list(first.get_xdata()), list(first.get_ydata())) == ([1, 2, 3], train)
    assert (list(second.get_xdata()), list(second.get_ydata())) == ([1, 2, 3], validation)
    assert set(vertical.get_xdata()) == {best + 1}
    assert (list(star.get_xdata()), list(star.get_ydata())) == ([best + 1], [validation[best]])
    names = {text.get_text(): text for text in ax.texts}
    for line, name in ((first, "training"), (second, "validation")):
        assert names[name].xy == (3, line.get_ydata()[-1]) and names[name].get_color() == line.get_color()
    heights = {name: 72 / figure.dpi * ax.transData.transform(names[name].xy)[1] + names[name].xyann[1]
               for name in ("training", "validation")}  # fmt: skip
    assert (heights["validation"] > heights["training"]) == (validation[-1] > train[-1])
    assert names[" lowest"].get_position()[0] == best + 1


def test_confusion_gives_shares_of_each_row_and_names_both_errors():
    (ax,) = plotting.confusion([[90, 10], [1, 4]]).axes
    assert np.allclose(ax.collections[0].get_array(), [[0.9, 0.1], [0.2, 0.8]])
    assert written(ax) == {
        "90\n90 % of ham": (0.5, 0.5),
        "10\n10 % of ham\nwrongly blocked": (1.5, 0.5),
        "1\n20 % of spam\nmissed": (0.5, 1.5),
        "4\n80 % of spam": (1.5, 1.5),
    }
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("the model says", "the message is")
    assert list(rows(ax)) == [text.get_text() for text in ax.get_xticklabels()] == ["ham", "spam"]
    assert upside_down(ax)


def test_titles_of_the_confusion_matrix_count_the_right_cells():
    two = plotting.confusion([[90, 10], [1, 4]]).get_suptitle().replace("\n", " ")
    assert two == "10 ham wrongly blocked and 1 spam missed, out of 105"
    three = plotting.confusion([[5, 1, 0], [0, 3, 2], [0, 0, 0]], list("abc"))
    assert three.get_suptitle().replace("\n", " ") == "8 of 11 messages are sorted correctly"
    assert "0\n0 % of c" in written(three.axes[0])  # a class without an example divides by nothing


def test_precision_and_recall_are_those_of_spam_at_every_threshold():
    figure = plotting.precision_recall(labels, scores, 0.6)  # a score lies on it
    (ax,) = figure.axes
    curve, base, dot = ax.lines
    points = {(round(r, 6), round(p, 6)) for r, p in zip(curve.get_xdata(), curve.get_ydata(), strict=True)}
    for cut in scores:
        blocked = scores >= cut
        hits = labels[blocked].sum()
        assert (round(hits / 2, 6), round(hits / blocked.sum(), 6)) in points
    assert set(base.get_ydata()) == {2 / 6} and "blocking at random: precision 0.33" in written(ax)
    assert (dot.get_xdata()[0], dot.get_ydata()[0]) == (0.5, 0.5)
    assert ax.get_xlabel().startswith("recall") and ax.get_ylabel().startswith("precision")


def test_the_marked_threshold_says_which_is_precision_and_which_recall():
    figure = plotting.precision_recall(labels, scores, 0.25)  # blocks 4, 2 of them spam, and misses none
    dot = figure.axes[0].lines[-1]
    assert (dot.get_xdata()[0], dot.get_ydata()[0]) == (1.0, 0.5)
    assert written(figure.axes[0])["threshold 0.25\nprecision 0.50\nrecall 1.00"] == (1.0, 0.5)
    title = figure.get_suptitle().replace("\n", " ")
    assert "finds 100 % of the spam; 50 % of the blocked is spam" in title


def test_errors_lie_hatched_on_the_wrong_side_of_the_threshold():
    figure = plotting.threshold_figure(labels, scores, 0.5)
    for kind, (ax, colour) in enumerate(zip(figure.axes, (HAM, SPAM), strict=True)):
        bars = [bar for bar in ax.patches if bar.get_height()]
        assert all(same_color(bar.get_facecolor()[:3], colour) for bar in bars)
        for hatched in (False, True):
            at = sorted(b.get_x() + b.get_width() / 2 for b in bars if bool(b.get_hatch()) == hatched)
            mine = scores[
                (labels == kind)
                & ((scores >= 0.5) != bool(kind) if hatched else (scores >= 0.5) == bool(kind))
            ]
            assert np.allclose(at, np.sort(mine), atol=0.03) and len(at) == len(mine)
        assert set(ax.lines[0].get_xdata()) == {0.5}
    assert figure.axes[0].get_title(loc="center") + figure.axes[0].get_title(loc="left") == (
        "ham: 1 of 4 wrongly blocked (hatched)"
    )
    assert "spam: 1 of 2 missed" in figure.axes[1].get_title() + figure.axes[1].get_title(loc="left")


def test_a_score_on_the_threshold_is_blocked():
    figure = plotting.threshold_figure([0, 1], [0.5, 0.5], 0.5)
    assert figure.get_suptitle().replace("\n", " ").endswith("1 ham wrongly blocked, 0 spam let through")


def test_verdicts_stand_beside_their_messages():
    messages, probabilities = ["see you", "win now", "at five"], [0.2, 0.9, 0.5]
    figure = plotting.verdicts(messages, probabilities, threshold=0.5)
    (ax,) = figure.axes
    places = rows(ax)
    assert list(places) == messages and upside_down(ax) and set(ax.lines[0].get_xdata()) == {0.5}
    for message, probability in zip(messages, probabilities, strict=True):
        name = "spam" if probability >= 0.5 else "ham"
        bar = bar_at(ax, places[message])
        assert bar.get_width() == probability and same_color(bar.get_facecolor(), plotting.COLOURS[name])
        assert written(ax)[f"{name} ({probability:.2f})"][1] == places[message]
    assert figure.get_suptitle() == "The model calls 2 of these 3 messages spam"


# --- charts of any numbers

RESULTS = pd.DataFrame(
    {
        "method": ["words", "frozen", "one seed"],
        "mean": [0.95, 0.97, 0.9],
        "low": [0.93, 0.965, np.nan],
        "high": [0.96, 0.979, np.nan],
        "kind": ["baseline", "frozen", "fine-tuned"],
        "scores": [[0.94, 0.95, 0.96], [0.97, 0.97, 0.97], [0.9]],
    }
)


def test_intervals_lie_along_the_scores_with_the_dot_at_the_mean():
    figure = plotting.intervals(RESULTS, "F1")
    (ax,) = figure.axes
    places = rows(ax)
    assert list(places) == ["frozen", "words", "one seed"] and upside_down(ax)  # the best on top
    for row in RESULTS.itertuples():
        marks = line_at(ax, places[row.method])
        bar = marks.pop("-", None)
        assert (bar is None) == (len(row.scores) < 3), "a bar from three seeds on"
        colour, _, marker = plotting.LOOKS[row.kind]
        assert list(marks[marker].get_xdata()) == [row.mean]
        assert same_color(marks[marker].get_color(), colour)
        if bar:
            assert tuple(bar.get_xdata()) == (row.low, row.high) and same_color(bar.get_color(), colour)
        assert written(ax)[f"{row.mean:.3f}"][1] == places[row.method]
        strokes = line_at(ax, places[row.method] + 0.24)["|"]
        assert list(strokes.get_xdata()) == row.scores
    assert ax.get_xlabel().startswith("F1 (dot: mean; bar: 95 % interval; strokes")
    assert "strokes" not in plotting.intervals(RESULTS.drop(columns="scores")).axes[0].get_xlabel()


def test_beside_a_stand_in_stands_what_was_kept_on_real_data_and_decides_the_order():
    kept = RESULTS.assign(mean=[0.99, 0.5, 0.7]).iloc[[1, 0, 2]]
    ours = RESULTS.iloc[:2]  # one method has not run here
    figure = plotting.intervals(ours, real=False, kept=kept)
    left, right = figure.axes
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["stand-in data", "real data"]
    assert left.get_xlim() == right.get_xlim()
    assert list(rows(left)) == ["words", "one seed", "frozen"] and upside_down(left)
    for ax, frame in ((left, ours), (right, kept)):
        drawn = {line.get_xdata()[0] for line in ax.lines if line.get_marker() in {"s", "o", "D", "^"}}
        assert drawn == set(frame["mean"])
    assert line_at(left, 0)["s"].get_xdata()[0] == 0.95 and line_at(right, 0)["s"].get_xdata()[0] == 0.99
    assert not line_at(left, 1), "nothing stands where this run has no score"
    assert plotting.STANDIN not in [text.get_text() for text in figure.findobj(Text)]
    alone = plotting.intervals(ours, real=True, kept=kept)
    assert len(alone.axes) == 1 and list(rows(alone.axes[0])) == ["frozen", "words"]


def test_intervals_of_percent_have_one_decimal_and_scores_three():
    percent = RESULTS.assign(mean=100 * RESULTS["mean"])
    for frame, digits in ((RESULTS, 3), (percent, 1)):
        labels = [text.get_text() for text in plotting.intervals(frame).axes[0].texts]
        assert sorted(labels) == sorted(f"{mean:.{digits}f}" for mean in frame["mean"])


def test_the_spread_of_a_line_stands_at_its_points_and_names_stay_apart():
    frame = pd.DataFrame({"one": [0.5, 0.8], "two": [0.52, 0.79]}, index=[25, 50])
    spread = {"one": {25: (0.0, 1.0), 50: (0.7, 0.9)}, "two": {25: (0.1, 0.9)}}
    figure = plotting.lines(frame, "Title", "x", "y", xscale="log", spread=spread)
    (ax,) = figure.axes
    drawn = [bar.get_segments()[0].tolist() for bar in ax.collections]
    assert plotting.lines(frame, "Title", "x", "y", limits=(0, 2)).axes[0].get_ylim() == (0, 2)
    assert [(round(x), low, high) for (x, low), (_, high) in drawn] == [
        (24, 0, 1),
        (48, 0.7, 0.9),
        (25, 0.1, 0.9),
    ]
    figure.draw_without_rendering()
    high, low = (text.get_window_extent() for text in ax.texts)
    assert high.y0 >= low.y1 - 1, "the names stand one below the other"


def test_on_a_plain_axis_the_bars_of_a_line_stay_beside_their_points_wherever_these_are():
    frame = pd.DataFrame({name: [0.5, 0.8, 0.7] for name in "abcd"}, index=[0, 3, 6])
    spread = {name: {place: (0.4, 0.9) for place in frame.index} for name in frame}
    (ax,) = plotting.lines(frame, "Title", "layer", "y", spread=spread).axes
    places = np.array([bar.get_segments()[0][0, 0] for bar in ax.collections]).reshape(4, 3)
    np.testing.assert_allclose(places - [0, 3, 6], 0.006 * 6 * np.array([[-1], [0], [1], [2]]) * np.ones(3))


def test_lines_are_the_columns_each_named_at_its_end():
    frame = pd.DataFrame({"one": [3.0, 2.0, 1.0], "two": [1.0, 4.0, np.nan]}, index=[10, 100, 1000])
    figure = plotting.lines(frame, "Two lines", "words", "loss", xscale="log", yscale="log")
    (ax,) = figure.axes
    one, two = ax.lines
    assert (list(one.get_xdata()), list(one.get_ydata())) == ([10, 100, 1000], [3, 2, 1])
    assert (list(two.get_xdata()), list(two.get_ydata())) == ([10, 100], [1, 4])
    assert written(ax) == {"one": (1000, 1), "two": (100, 4)}
    for text, line in zip(sorted(ax.texts, key=Text.get_text), ax.lines, strict=True):
        assert same_color(text.get_color(), line.get_color()) and line.get_label() == text.get_text()
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("words", "loss")
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert [text.get_text() for text in ax.get_xticklabels()] == ["10", "100", "1000"]
    for scales in ({}, {"xscale": "log"}, {"yscale": "log"}):
        scaled = plotting.lines(frame, "Two lines", "words", "loss", **scales).axes[0]
        assert {"xscale": scaled.get_xscale(), "yscale": scaled.get_yscale()} == {
            "xscale": "linear",
            "yscale": "linear",
        } | scales


def test_names_at_the_ends_of_lines_keep_their_order():
    frame = pd.DataFrame({"low": [0, 1.0], "high": [0, 1.02], "middle": [0, 1.01]})
    figure = plotting.lines(frame, "Three lines that end together", "x", "y")
    ends = {text.get_text(): text.xyann[1] + 72 / figure.dpi * figure.axes[0].transData.transform(text.xy)[1]
            for text in figure.axes[0].texts}  # fmt: skip
    assert ends["high"] - ends["middle"] > 14 and ends["middle"] - ends["low"] > 14


def test_names_of_lines_stand_clear_of_whatever_is_drawn_in_the_axes():
    """Whatever a lecture adds, intervals or a line across: names stand beside it, also where a curve ends early."""
    frame = pd.DataFrame({"early": [0.2, 0.8, np.nan, np.nan], "all the way": [0.1, 0.5, 0.7, 0.75]})
    figure = plotting.lines(frame, "Two lines, one of which ends early", "x", "y")
    (ax,) = figure.axes
    ax.axhline(0.7)
    figure.draw_without_rendering()
    assert all(Text.get_window_extent(text).x0 > ax.get_window_extent().x1 for text in ax.texts)
    early, late = ax.texts
    assert early.arrow_patch is not None and late.arrow_patch is None  # the way back to its end


@pytest.mark.parametrize("columns", [["ham"], ["ham", "spam"], ["one", "two", "three"]])
def test_bars_are_as_long_as_their_values_and_stand_in_their_rows(columns):
    values = np.array([[1.0, 5, -2], [4, 2, 7]])[:, : len(columns)]
    frame = pd.DataFrame(values, index=["first", "second"], columns=columns)
    figure = plotting.bars(frame if len(columns) > 1 else frame["ham"], "Bars in two rows", "share")
    (ax,) = figure.axes
    places = rows(ax)
    assert list(places) == ["first", "second"] and upside_down(ax) and ax.get_xlabel() == "share"
    legend = ax.get_legend()
    keys = (
        {t.get_text(): p for t, p in zip(legend.get_texts(), legend.get_patches(), strict=True)}
        if legend
        else {}
    )
    assert list(keys) == (columns if len(columns) > 1 else [])
    for row, name in enumerate(frame.index):
        mine = sorted((bar for bar in ax.patches if abs(middle(bar) - places[name]) < 0.41), key=middle)
        assert [bar.get_width() for bar in mine] == list(values[row]) and {bar.get_x() for bar in mine} == {0}
        assert np.isclose(np.mean([middle(bar) for bar in mine]), places[name])
        for bar, key in zip(mine, keys.values(), strict=False):
            assert same_color(bar.get_facecolor(), key.get_facecolor()) and bar.get_hatch() == key.get_hatch()


def test_a_heatmap_has_rows_as_rows_and_says_its_values():
    frame = pd.DataFrame([[1.0, -0.2, 0.1], [0.5, 0.25, 0]], index=["a", "b"], columns=["x", "y", "z"])
    figure = plotting.heatmap(frame.rename_axis(index="who", columns="whom"), "Cells", "cosine")
    ax, scale = figure.axes
    image = ax.images[0]
    assert np.array_equal(image.get_array(), frame) and image.origin == "upper" and upside_down(ax)
    assert written(ax) == {f"{frame.iloc[i, j]:.2f}": (j, i) for i, j in np.ndindex(frame.shape)}
    assert rows(ax) == {"a": 0, "b": 1}
    assert [(t.get_text(), x) for t, x in zip(ax.get_xticklabels(), ax.get_xticks(), strict=True)] == [
        ("x", 0), ("y", 1), ("z", 2)
    ]  # fmt: skip
    assert (ax.get_xlabel(), ax.get_ylabel(), scale.get_ylabel()) == ("whom", "who", "cosine")
    assert image.get_clim() == (-1, 1)
    red, blue, white = (image.cmap(image.norm(value)) for value in (0.9, -0.9, 0.0))
    assert red[0] > red[2] and blue[2] > blue[0] and min(white) > 0.95
    inks = {text.get_text(): text.get_color() for text in ax.texts}
    assert inks["1.00"] == "white" != inks["0.10"]


def test_a_heatmap_without_numbers_below_0_begins_at_0_and_keeps_its_limit():
    frame = pd.DataFrame(np.arange(42.0).reshape(1, 42) / 10)
    figure = plotting.heatmap(frame, "Cells", "weight", numbers=False, limit=2)
    image = figure.axes[0].images[0]
    assert image.get_clim() == (0, 2) and not written(figure.axes[0])
    assert min(image.cmap(0)) > 0.9 and image.cmap(255)[0] > image.cmap(255)[2]
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["0", "10", "20", "30", "40"]
    assert list(figure.axes[0].get_xticks()) == [0, 10, 20, 30, 40]


def test_words_lie_at_their_points_in_the_colour_of_their_group():
    points = np.array([[0, 0], [1, 0], [0, 2], [3, 3.0]])
    groups = {"animals": ["cat", "dog"], "metals": ["iron", "gold"]}
    (ax,) = plotting.word_map(points, groups, "Words of a kind").axes
    assert written(ax) == {"cat": (0, 0), "dog": (1, 0), "iron": (0, 2), "gold": (3, 3)}
    for i, (name, scatter) in enumerate(zip(groups, ax.collections, strict=True)):
        assert np.array_equal(scatter.get_offsets(), points[2 * i : 2 * i + 2])
        assert same_color(scatter.get_facecolor()[0], plotting.look(name, i)[0])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(groups)


def test_the_ranking_has_interval_mean_and_size_of_a_method_in_its_row():
    frame = pd.DataFrame(
        {
            "method": ["big", "small", "words"],
            "mean": [0.99, 0.9, 0.6],
            "low": [0.97, 0.88, 0.5],
            "high": [1.02, 0.93, 0.7],
            "trainable parameters": [1_000_000, 2_000, 0],
            "data": ["real", "stand-in", "real"],
            "task": "spam",
            "seeds": 5,
        }
    )
    figure = plotting.scoreboard(frame)
    ax, sizes = figure.axes
    places = rows(ax)
    assert list(places) == ["big", "small", "words"] and upside_down(ax)
    bounds = {tuple(part[:, 1]): tuple(part[:, 0]) for part in ax.collections[0].get_segments()}
    dots = {line.get_ydata()[0]: line for line in ax.lines}
    for row in frame.itertuples():
        place = places[row.method]
        assert bounds[place, place] == (row.low, min(row.high, 1)) and dots[place].get_xdata()[0] == row.mean
        assert (dots[place].get_markerfacecolor() == "white") == (row.data != "real")
        bar, size = bar_at(sizes, place), frame.loc[row.Index, "trainable parameters"]
        assert (bar.get_x(), bar.get_width()) == (1, max(size, 1))
        assert written(sizes)[f" {size:,}" if size else " none"][1] == place
    shown = ax.transData.transform([(x, 0) for x in (0.9, 0.95, 0.98)])[:, 0]
    assert shown[0] < shown[1] < shown[2] and sizes.get_xscale() == "log"
    assert (
        figure.get_suptitle().replace("\n", " ")
        == "Best so far: big, spam F1 0.990 with 1,000,000 trained parameters"
    )


# --- drawn figures


def boxes(figure) -> list[SimpleNamespace]:
    """The boxes of a drawn figure: text inside, place, size, colours."""
    (ax,) = figure.axes
    made = []
    for patch in ax.patches:
        if isinstance(patch, FancyBboxPatch):
            x, y, w, h = patch.get_x(), patch.get_y(), patch.get_width(), patch.get_height()
            inside = [
                text.get_text()
                for text in ax.texts
                if np.allclose(text.get_position(), (x + w / 2, y + h / 2))
                and not isinstance(text, Annotation)
            ]
            made.append(
                SimpleNamespace(
                    text=inside[0] if inside else "", x=x + w / 2, y=y + h / 2, face=mpl.colors.to_hex(patch.get_facecolor()),
                    edge=mpl.colors.to_hex(patch.get_edgecolor()), dashed=patch.get_linestyle() == "--",
                    thick=patch.get_linewidth(), w=w, h=h,
                )
            )  # fmt: skip
    return made


def arrows(figure) -> list[tuple[tuple[float, float], tuple[float, float], str]]:
    """From where to where, and in which colour."""
    return [
        (tuple(a.xyann), tuple(a.xy), mpl.colors.to_hex(a.arrowprops["color"]))
        for a in figure.axes[0].texts
        if isinstance(a, Annotation) and a.arrowprops
    ]


def test_pieces_stand_in_order_with_id_characters_and_the_colour_of_their_kind():
    pieces = ["[CLS]", "un", "##believably", "[UNK]", "[SEP]"]
    ids, spans = [101, 4895, 9999, 100, 102], [(0, 0), (0, 2), (2, 12), (13, 14), (0, 0)]
    figure = plotting.pieces_picture([(pieces * 3, ids * 3, spans * 3), (["a"], [1037], [(5, 6)])], "Pieces")
    *drawn, a, b, c, d = boxes(figure)
    assert [key.face for key in (a, b, c, d)] == [colour.lower() for colour, _ in plotting.PIECES.values()]
    in_order = sorted(drawn, key=lambda box: (-round(box.y, 3), box.x))
    assert [box.text.split("\n")[0] for box in in_order] == [*pieces * 3, "a"]
    assert in_order[1].text == "un\n4895\n0–2" and in_order[0].text == "[CLS]\n101\n–"
    assert in_order[-1].text == "a\n1037\n5–6" and in_order[-1].x < 1 and in_order[-1].y < in_order[-2].y
    kinds = {
        "[CLS]": a.face,
        "un": a.face,
        "##believably": b.face,
        "[SEP]": c.face,
        "[UNK]": d.face,
        "a": a.face,
    }
    kinds["[CLS]"] = c.face
    for box in in_order:
        piece = box.text.split("\n")[0]
        assert (box.face, box.dashed) == (kinds[piece], piece == "[UNK]")
    key = {text.get_text() for text in figure.axes[0].texts}
    assert {name for _, name in plotting.PIECES.values()} <= key


@pytest.mark.parametrize(
    ("piece", "kind"),
    [("[UNK]", "unknown"), ("[MASK]", "special"), ("##ly", "inside"), ("##", "start"), ("[", "start"), ("a", "start")],
)  # fmt: skip
def test_kinds_of_pieces(piece, kind):
    assert plotting.piece_kind(piece) == kind


def test_a_window_marks_the_centre_and_reach_words_on_each_side():
    words = ["the", "quick", "brown", "fox", "jumps"]
    figure = plotting.window_picture(words, [0, 3], 2)
    drawn = boxes(figure)
    first, second = drawn[:5], drawn[5:]
    for line, centre, pairs in ((first, 0, 2), (second, 3, 3)):
        assert [box.text for box in sorted(line, key=lambda box: box.x)] == words
        yellow, blue = line[centre].face, {box.face for i, box in enumerate(line) if 0 < abs(i - centre) <= 2}
        (cold,) = (to_rgb(face) for face in blue)
        assert cold[2] > cold[0] and to_rgb(yellow)[0] > to_rgb(yellow)[2]
        assert [i for i, box in enumerate(line) if box.face == "#ffffff"] == [
            i for i in range(5) if abs(i - centre) > 2
        ]
        place = written(figure.axes[0])[f"{pairs} pairs with {words[centre]!r}"]
        assert np.isclose(place[1], line[0].y) and place[0] > line[-1].x
    assert first[0].y > second[0].y


GREEN = "#bfe6d8"


@pytest.mark.parametrize("layers", [6, 12])
def test_the_encoder_is_locked_and_the_head_is_trained(layers):
    figure = plotting.freeze_diagram(3_000, 1_000, layers=layers, sizes=(384, 512, 2), name="MiniLM")
    drawn = sorted(boxes(figure), key=lambda box: box.x)
    numbers = [f"layer\n{i}" if layers == 6 else f"{i}" for i in range(1, layers + 1)]
    assert [box.text for box in drawn] == [
        "word\npieces", "embed-\ndings", *numbers, "384\nnumbers", "layer\n→ 512", "layer\n→ 2"
    ]  # fmt: skip
    grey = [box for box in drawn if box.face == "#e4e4e4"]
    assert grey == drawn[1 : layers + 2] and [box for box in drawn if box.face == GREEN] == drawn[-2:]
    locks = [patch for patch in figure.axes[0].patches if isinstance(patch, Arc)]
    assert np.allclose(sorted(lock.center[0] for lock in locks), [box.x for box in grey])
    places = written(figure.axes[0])
    assert places["MiniLM: frozen\n3,000 parameters"][0] < places["head: trained\n1,000 parameters"][0]
    assert figure.get_suptitle().replace("\n", " ").startswith("Only 25.0 % of the parameters are trained")
    assert all(start[0] < end[0] for start, end, _ in arrows(figure))


def test_elmo_reads_forwards_from_the_left_backwards_from_the_right_and_counts_layers_from_below():
    figure = plotting.bilm_diagram()
    drawn = boxes(figure)
    letters = [box for box in drawn if box.text in ("T h e", "s t i c k", "b r o k e")]
    assert [box.text for box in sorted(letters, key=lambda box: box.x)] == ["T h e", "s t i c k", "b r o k e"]
    assert {box.y for box in letters} == {min(box.y for box in drawn)}
    height = {
        text: {round(box.y, 2) for box in drawn if box.text == text} for text in {box.text for box in drawn}
    }
    assert max(height["the word's vector"]) < min(height["backwards 1"] | height["forwards 1"])
    for way in ("forwards", "backwards"):
        assert len(height[f"{way} 1"]) == 1 and max(height[f"{way} 1"]) < min(height[f"{way} 2"])
    level = [place for place in arrows(figure) if place[0][1] == place[1][1]]
    assert len(level) == 8
    for start, end, colour in level:
        (name,) = {
            box.text.split()[0]
            for box in drawn
            if box.text and abs(box.y - end[1]) < 0.05 and len(box.text) < 12
        }
        assert (end[0] > start[0]) == (name == "forwards")
        assert colour == (HAM if name == "forwards" else SPAM).lower()
    places = {re.sub(r"\W+.*", "", text.removeprefix("layer ")): at for text, at in written(figure.axes[0]).items()
              if text.startswith("layer ")}  # fmt: skip
    assert list(places) == ["0", "1", "2"]
    assert all(f"s_{n}" in text for text in written(figure.axes[0]) for n in re.findall(r"^layer (\d)", text))
    vector = max(height["the word's vector"])
    assert abs(places["0"][1] - vector) < 0.3 and places["0"][1] < places["1"][1] < places["2"][1]
    for layer in ("1", "2"):
        rungs = height[f"forwards {layer}"] | height[f"backwards {layer}"]
        assert min(rungs) - 0.1 <= places[layer][1] <= max(rungs) + 0.1


def test_kinds_of_transfer_hang_below_their_branch():
    figure = plotting.taxonomy()
    (root,) = [box for box in boxes(figure) if box.text == "Transfer learning in NLP"]
    branches = {box.text.split(":")[0]: box for box in boxes(figure) if "labels in" in box.text}
    assert set(branches) == {"Transductive", "Inductive"}
    assert branches["Transductive"].text.endswith("labels in the source domain only")
    assert branches["Inductive"].text.endswith("labels in the target domain")
    leaves = [box for box in boxes(figure) if not box.text]
    places = written(figure.axes[0])
    for branch, names in (
        ("Transductive", ("Domain adaptation", "Cross-lingual")),
        ("Inductive", ("Multi-task", "Sequential")),
    ):
        for name in names:
            (leaf,) = [box for box in leaves if np.isclose(box.x, places[name][0])]
            assert (
                abs(leaf.x - branches[branch].x) < branches[branch].w / 2
                and leaf.y < branches[branch].y < root.y
            )
            assert leaf.edge == branches[branch].edge and (leaf.thick > 2) == (name == "Sequential")
    glosses = {
        "Domain adaptation": "film reviews",
        "Cross-lingual": "Swahili",
        "Multi-task": "together",
        "Sequential": "find spam",
    }
    for name, word in glosses.items():
        assert [at[0] for text, at in places.items() if word in text and "example" in text] == [
            places[name][0]
        ]
    assert len(arrows(figure)) == 6 and all(start[1] > end[1] for start, end, _ in arrows(figure))


def test_the_map_has_a_column_for_each_group_and_marks_what_is_done():
    figure = plotting.course_map(done=["00", "10_freeze"])
    drawn = boxes(figure)
    assert [" ".join(box.text.replace(" ✓", "").split()) for box in drawn] == [
        e for group in LECTURES.values() for e in group
    ]
    assert [box.text[:2] for box in drawn if "✓" in box.text] == ["00", "10"]
    assert [box.text[:2] for box in drawn if box.face == GREEN] == ["00", "10"]
    assert figure.get_suptitle() == f"2 of {len(drawn)} lectures are here (✓)"
    columns, start = [], 0
    for group, entries in LECTURES.items():
        column = drawn[start : start + len(entries)]
        start += len(entries)
        assert len({round(box.x, 3) for box in column}) == 1
        assert [box.y for box in column] == sorted((box.y for box in column), reverse=True)
        assert written(figure.axes[0])[group][1] > column[0].y
        assert abs(written(figure.axes[0])[group][0] - column[0].x) < 1
        columns.append(column[0].x)
    assert columns == sorted(columns) and all(start[0] < end[0] for start, end, _ in arrows(figure))
    assert plotting.course_map().get_suptitle().startswith(f"{len(drawn)} lectures in {len(LECTURES)} groups")


# --- the words of users

DRAW = {
    "class_balance": lambda a, b: plotting.class_balance([0, 1, 1], (a, b)),
    "confusion": lambda a, b: plotting.confusion([[1, 2], [3, 4]], (a, b)),
    "length_histogram": lambda a, b: plotting.length_histogram({a: [1, 2], b: [3]}, 2, unit=a),
    "verdicts": lambda a, b: plotting.verdicts([a, b], [0.1, 0.9]),
    "padding_picture": lambda a, b: plotting.padding_picture([[1, 1]], [[a, b]]),
    "intervals": lambda a, b: plotting.intervals(RESULTS.assign(method=[a, b, "c"]), a, b),
    "intervals, who leads": lambda a, b: plotting.intervals(RESULTS.assign(method=[a, b, "c"])),
    "lines": lambda a, b: plotting.lines(pd.DataFrame({a: [1, 2], b: [1, 2]}), a, b, a),
    "bars": lambda a, b: plotting.bars(pd.DataFrame({a: [1, 2], b: [1, 2]}, index=[a, b]), a, b),
    "heatmap": lambda a, b: plotting.heatmap(
        pd.DataFrame(np.eye(2), [a, b], [b, a]).rename_axis(index=a, columns=b), a, b
    ),
    "word_map": lambda a, b: plotting.word_map(np.eye(4)[:, :2], {a: [a, b], b: [b, a]}, a),
    "label_points": lambda a, b: label_points(a, b),
    "scoreboard": lambda a, b: plotting.scoreboard(
        pd.DataFrame({"method": [a, b], "mean": 0.9, "low": 0.8, "high": 0.95, "trainable parameters": 3, "data": "real", "task": "spam", "seeds": 5})
    ),
    "pieces_picture": lambda a, b: plotting.pieces_picture([([a, b], [1, 2], [(0, 1), (1, 2)])], a),
    "window_picture": lambda a, b: plotting.window_picture([a, b], [0, 1], 1),
    "freeze_diagram": lambda a, b: plotting.freeze_diagram(1, 1, layers=1, sizes=(1, 2), name=a + b),
}  # fmt: skip
TEXTS = st.text(
    st.one_of(st.sampled_from("$\\_%&{}^~#\n\t "), st.characters(max_codepoint=0x17F)), max_size=9
)


def label_points(*texts):
    figure = plotting.lines(pd.Series([0.0, 1.0], name="x").to_frame(), "Two points", "x", "y")
    plotting.label_points(figure.axes[0], [0, 1], [0, 1], texts)
    return figure


def without_space(text):
    return re.sub(r"[\s\x00-\x1f\x7f-\xa0]", "", text)


@pytest.mark.parametrize("name", DRAW)
@settings(max_examples=4, deadline=None)
@given(TEXTS)
@example(r"$5 or $\frac{ each")
@example(r"C:\now $5 \home $6")
@example("_under_ 5 % & more\tor\nless")
def test_texts_of_users_are_drawn_as_they_are_written(name, text):
    with warnings.catch_warnings(action="error"):
        figure = DRAW[name](text, "other")
        figure.draw_without_rendering()  # a formula that is none would raise
    shown = [artist._preprocess_math(artist.get_text()) for artist in figure.findobj(Text)]
    assert not any(formula for text, formula in shown if "mathdefault" not in text)
    assert without_space(text) in without_space("".join(text for text, _ in shown))
    if legend := figure.axes[0].get_legend():  # by itself, Matplotlib leaves out names that begin with _
        assert len(legend.get_texts()) == 2


@pytest.mark.parametrize("name", ["verdicts", "padding_picture", "pieces_picture", "word_map"])
def test_half_a_character_is_drawn_as_a_question_mark(name):
    figure = DRAW[name]("half \ud83d", "other")
    figure.draw_without_rendering()
    assert any("half ?" in artist.get_text() for artist in figure.findobj(Text))
