"""Intervals, and a scoreboard that keeps what is added: replaced, sorted, atomic, shared by processes, moved aside when damaged."""

import json
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.text import Text
from test_plotting import overlapping_texts

from course_tools import PATIENCE
from course_utils import datasets, plotting, results
from course_utils.session import data_folder, set_style

NAMELESS = {"method": 3, "scores": {"0": 0.5}, "trainable": 1, "seconds": 1, "real": True, "lecture": ""}


def add(method="frozen", scores=(0.9, 0.92, 0.94), **options):
    results.add_to_scoreboard(method, scores, **{"trainable": 100, "seconds": 1.5, "real": True, **options})


@pytest.fixture
def board(tmp_path, monkeypatch):
    """The scoreboard's file, in a folder of its own."""
    monkeypatch.setenv("COURSE_SCOREBOARD", str(tmp_path / "board.json"))
    return tmp_path / "board.json"


@pytest.mark.parametrize(
    ("level", "columns"),
    [
        (0, ["z", "a"]),
        (-1, [2, 1, 3]),
        (1, ["y", "b"]),
        ([0, 2], [("z", 2), ("z", 1), ("a", 3), ("a", 1), ("a", 2)]),
    ],
)
def test_unstack_keeps_order_and_values(level, columns):
    keys = [("z", "y", 2), ("z", "b", 1), ("a", "y", 3), ("a", "b", 1), ("a", "y", 2)]
    series = pd.Series({key: "".join(map(str, key)) for key in keys}).rename_axis(["one", "two", "three"])
    table = results.unstack(series, level)
    levels = level if isinstance(level, list) else [level % 3]
    rest = [i for i in range(3) if i not in levels]
    assert list(table.columns) == columns
    assert list(table.index) == list(dict.fromkeys(pick(key, rest) for key in keys))
    for key in keys:
        assert table.loc[pick(key, rest), pick(key, levels)] == "".join(map(str, key))
    assert table.notna().sum().sum() == len(keys)
    assert table.columns.names == [series.index.names[i] for i in levels]


def pick(key, places):
    return key[places[0]] if len(places) == 1 else tuple(key[i] for i in places)


def test_interval_is_the_t_interval():
    mean, low, high = results.interval([0.90, 0.92, 0.94, 0.96, 0.98])
    # by hand: s = 0.0316228, t(0.975, 4) = 2.776445, half width = t s / sqrt(5) = 0.0392649
    assert mean == pytest.approx(0.94)
    assert (low, high) == (pytest.approx(0.9007351, abs=1e-6), pytest.approx(0.9792649, abs=1e-6))


def test_interval_covers_the_truth_19_times_in_20():
    draws = np.random.default_rng(0).normal(0.9, 0.02, (2000, 5))
    hits = sum(low <= 0.9 <= high for _, low, high in map(results.interval, draws))
    assert 0.935 <= hits / 2000 <= 0.965


def test_one_seed_has_no_interval_and_no_seed_no_mean():
    mean, low, high = results.interval([0.9])
    assert mean == 0.9 and math.isnan(low) and math.isnan(high)
    for scores in ([], [0.9, math.nan]):
        with pytest.raises(ValueError, match="finite"):
            results.interval(scores)


def test_rows_are_sorted_and_replaced():
    add("words", [0.95, 0.96], trainable=8000, seconds=0.3)
    add("frozen", {0: 0.5, 1: 0.6})
    add("frozen", {0: 0.97, 1: 0.99}, lecture="10")
    frame = results.scoreboard()
    assert list(frame["method"]) == ["frozen", "words"]
    assert frame.loc[0, "mean"] == pytest.approx(0.98)
    assert list(frame["seeds"]) == [2, 2] and list(frame["trainable parameters"]) == [100, 8000]
    assert frame.attrs == {"real": True}


def test_stand_in_and_real_rows_stand_side_by_side_and_are_told_apart():
    add("frozen", real=True)
    add("frozen", [0.8, 0.82], real=False)
    frame = results.scoreboard()
    assert list(frame["data"]) == ["real", "stand-in"]
    assert frame.attrs["real"] is False
    figure = plotting.scoreboard(results.scoreboard())
    written = "\n".join(text.get_text() for text in figure.findobj(Text))
    assert plotting.STANDIN in written and "hollow: stand-in" in written


def test_the_file_is_where_the_variable_says(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_SCOREBOARD", str(tmp_path / "deep" / "board.json"))
    add()
    assert [row["method"] for row in json.loads((tmp_path / "deep" / "board.json").read_text("utf-8"))] == [
        "frozen"
    ]
    assert [path.name for path in (tmp_path / "deep").glob("*.part")] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"method": " "},
        {"scores": []},
        {"scores": [1.2]},
        {"scores": [math.nan]},
        {"trainable": -1},
        {"seconds": math.nan},
        {"seconds": math.inf},
        {"real": "False"},
        {"real": 1},
        {"scores": ["0.9"]},
        {"trainable": "many"},
    ],
)
def test_wrong_values_are_refused_and_leave_the_table_alone(wrong):
    add()
    with pytest.raises(ValueError):
        add(**wrong)
    assert len(results.scoreboard()) == 1


@pytest.mark.parametrize(
    "text",
    ["", "[{", "{}x", '[{"method": "frozen"}]', "[1]", "17", '{"a": 1}', "\x00", json.dumps([NAMELESS])],
)
def test_a_damaged_file_is_moved_aside_and_named(board, tmp_path, capsys, text):
    board.write_text(text, "utf-8")
    assert len(results.scoreboard()) == 0
    said = capsys.readouterr().out
    assert f"The scoreboard {board} could not be read" in said and "called board.damaged-1.json" in said
    assert (tmp_path / "board.damaged-1.json").read_text("utf-8") == text
    add()
    assert len(results.scoreboard()) == 1


def test_a_second_damaged_file_does_not_replace_the_first(board, tmp_path):
    for text in ("first", "second"):
        board.write_text(text, "utf-8")
        assert len(results.scoreboard()) == 0
    assert (tmp_path / "board.damaged-1.json").read_text() == "first"
    assert (tmp_path / "board.damaged-2.json").read_text() == "second"


def test_a_failed_write_keeps_the_old_rows(board, tmp_path, monkeypatch, capsys):
    add()

    def full(path, *arguments, **options):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    before = board.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.write_text", full)
        add("other", [0.1])
    line = capsys.readouterr().out
    assert line == f"The scores of other are not kept: {board} cannot be written (No space left on device).\n"
    assert board.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} <= {"board.json", "board.json.lock"}
    # The lecture goes on to its table and its figure.
    assert list(results.scoreboard()["method"]) == ["frozen", "other"]


def test_without_a_folder_to_write_to_the_lecture_still_has_its_table(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("COURSE_SCOREBOARD", str(tmp_path / "file" / "below" / "board.json"))
    add("frozen", [0.5])
    add("frozen", [0.6])
    assert capsys.readouterr().out.count("cannot be written") == 2
    assert results.scoreboard()["scores"].tolist() == [[0.6]]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("scores", {"0": "x"}),
        ("scores", {"0": 1.5}),
        ("real", "False"),
        ("seconds", None),
        ("trainable", "7"),
    ],
)
def test_a_stored_row_with_a_wrong_value_is_named_and_the_rest_kept(board, capsys, field, value):
    add("good")
    add("bad", [0.1])
    rows = json.loads(board.read_text("utf-8"))
    rows[1][field] = value
    board.write_text(json.dumps(rows), "utf-8")
    assert results.scoreboard()["method"].tolist() == ["good"]
    line = capsys.readouterr().out
    assert line.startswith(f"{board}: 'bad' is left out: ") and line.count("\n") == 1
    add("third")  # what cannot be read is not thrown away
    assert json.loads(board.read_text("utf-8"))[1][field] == value


def test_numbers_of_numpy_and_pytorch_are_stored_as_pythons_own(board):
    add(
        "a",
        [np.float32(0.5), torch.tensor(0.25)],
        trainable=np.int64(7),
        seconds=np.float64(2),
        real=np.bool_(True),
    )
    (row,) = json.loads(board.read_text("utf-8"))
    assert row["scores"] == {"0": 0.5, "1": 0.25} and row["trainable"] == 7 and row["real"] is True


def test_two_processes_lose_no_row(board):
    code = (
        "import sys; from course_utils.results import add_to_scoreboard\n"
        "for i in range(25):\n"
        "    add_to_scoreboard(f'{sys.argv[1]} {i}', [0.5], trainable=1, seconds=0, real=True)"
    )
    runs = [subprocess.Popen([sys.executable, "-c", code, name]) for name in ("a", "b")]
    assert [run.wait(PATIENCE) for run in runs] == [0, 0]
    assert len(results.scoreboard()) == 50


def test_the_figure_of_an_empty_table_says_what_to_do():
    with pytest.raises(ValueError, match="lecture 10"):
        plotting.scoreboard(results.scoreboard())


def test_each_task_has_its_rows_and_its_panel(board):
    add("frozen", [0.9])
    add("frozen", [0.7, 0.8], task="reviews")
    add("counted", [0.95])
    frame = results.scoreboard()
    assert list(zip(frame["task"], frame["method"], frame["mean"], strict=True)) == [
        ("spam", "counted", 0.95), ("spam", "frozen", 0.9), ("reviews", "frozen", 0.75),
    ]  # fmt: skip
    figure = plotting.scoreboard(frame)
    spam, reviews, _ = figure.axes
    dots = [{(line.get_xdata()[0], line.get_ydata()[0]) for line in ax.lines} for ax in (spam, reviews)]
    assert dots == [{(0.95, 0), (0.9, 1)}, {(0.75, 1)}]
    assert [tick.get_text() for tick in spam.get_yticklabels()] == ["counted", "frozen"]
    assert "spam F1" in spam.get_xlabel() and "accuracy on reviews" in reviews.get_xlabel()
    title = figure.get_suptitle().replace("\n", " ")
    assert "counted, spam F1 0.950" in title and "frozen, accuracy on reviews 0.750" in title
    with pytest.raises(ValueError, match="one of spam, reviews"):
        add("frozen", [0.9], task="review")


def test_two_seeds_alone_get_no_bar(board):
    add("two", [0.9, 0.95])
    add("three", [0.9, 0.91, 0.92])
    add("bare", [0.8])
    spam, _ = plotting.scoreboard(results.scoreboard()).axes
    (bars,) = spam.collections
    assert [part[0, 1] for part in bars.get_segments()] == [1], "three stands second"


def test_a_row_from_before_there_were_tasks_is_about_spam(board):
    add("frozen", [0.9])
    old = json.loads(board.read_text())
    del old[0]["task"]
    board.write_text(json.dumps(old))
    assert results.scoreboard()["task"].tolist() == ["spam"]


def test_labels_in_the_figure_do_not_overlap():
    set_style()
    rows = [("always ham", 0.0, 0), ("one rule", 0.62, 0), ("words and logistic regression", 0.95, 7800),
            ("naive Bayes", 0.944, 15600), ("the recipe of the tutorial", 0.9, 198_146),
            ("encoded once", 0.972, 198_146), ("logistic regression on features", 0.968, 770),
            ("LoRA", 0.975, 300_000), ("fine-tuned", 0.981, 22_700_000)]  # fmt: skip
    for method, mean, trainable in rows:
        add(method, [mean, min(1, mean + 0.004)], trainable=trainable)
    figure = plotting.scoreboard(results.scoreboard())
    assert overlapping_texts(figure) == []
    written = [text.get_text() for text in figure.findobj(Text)]
    assert all(method in written for method, *_ in rows)
    assert " none" in written  # what nothing was trained for


@pytest.mark.parametrize("scores", [[0.0], [1.0, 1.0], [0.97]])
def test_the_figure_of_a_single_row(scores):
    add("only", scores, trainable=0)
    assert "Best so far: only" in plotting.scoreboard(results.scoreboard()).get_suptitle()


def test_a_summary_has_a_row_for_each_method_in_the_order_given():
    frame = results.summary({"b": [0.5, 0.7], "a": [0.9, 0.9]})
    assert frame["name"].tolist() == ["b", "a"]
    assert frame["mean"].tolist() == pytest.approx([0.6, 0.9])
    assert frame["scores"].tolist() == [[0.5, 0.7], [0.9, 0.9]]
    assert (frame["low"] <= frame["mean"]).all() and (frame["mean"] <= frame["high"]).all()


def test_the_scores_that_the_course_ships_are_real_and_over_five_splits():
    shipped = results.scoreboard(data_folder() / "scoreboard.json")
    assert shipped.attrs["real"]
    assert (shipped["seeds"] == 5).all()
    assert {"frozen, improved", "frozen, the tutorial's recipe", "characters"} <= set(shipped["method"])


@pytest.mark.parametrize(
    ("answer", "right", "wanted"),
    [
        ("The Mills!", ["mills"], (1, 1)),
        ("the mills of Anna", ["Anna's mills"], (0, 2 / 5)),  # mills of anna, annas mills
        ("mills mills", ["mills"], (0, 2 / 3)),  # a word counts as often as it stands on both sides
        ("mills", ["water", "old mills", "mills"], (1, 1)),  # the best of several
        ("a an the", ["the"], (1, 1)),  # nothing is left of either
        ("", [], (1, 1)),  # it has no answer, and none was given
        ("mills", [], (0, 0)),
        ("", ["mills"], (0, 0)),
        ("theatre", ["atre"], (0, 0)),  # no article inside a word
        ("co-op", ["coop"], (1, 1)),
        ("x  \n y", ["x y"], (1, 1)),
        ("東京塔", ["東京"], (0, 0)),  # without spaces, one word
        ("İstanbul", ["istanbul"], (0, 0)),  # in lower case, İ is an i and a dot
    ],
)
def test_answers_are_scored_as_squad_does(answer, right, wanted):
    assert results.answer_scores(answer, right) == pytest.approx(wanted)


def test_a_file_of_answers_scores_as_with_squads_own_script():
    """As torchmetrics has it: to each question an answer, right, or cut, or drawn from the passage, or with more in it."""
    from torchmetrics.functional.text import squad

    random, frame = np.random.default_rng(0), datasets.load_questions()
    rows = frame[[any(text.split()[-1].isalnum() for text in answers) for answers in frame["answers"]]]
    said, wanted, mine = [], [], []
    for number, row in enumerate(rows.itertuples()):
        right, drawn = row.answers[0], int(random.integers(len(row.context)))
        given = random.choice(
            [right, right[:-2], f"The {right.upper()}!", row.context[drawn:][:30], f"{right} mill", "a"]
        )
        said.append({"prediction_text": str(given), "id": str(number)})
        answers = {"text": list(row.answers), "answer_start": list(row.starts)}
        wanted.append({"answers": answers, "id": str(number)})
        mine.append(results.answer_scores(str(given), row.answers))
    theirs = squad(said, wanted)
    exact, f1 = 100 * np.mean(mine, axis=0)
    assert len(said) > 400 and 20 < exact < f1 < 80
    assert exact == pytest.approx(float(theirs["exact_match"])) and f1 == pytest.approx(float(theirs["f1"]))
