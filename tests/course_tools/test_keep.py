"""Key figures on real data: kept by a run, and refused once the lecture computes something else."""

import json
import re
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from typer.testing import CliRunner

from course_tools import CourseError, notebooks
from course_tools.cli import app
from course_tools.keep import headlines_table, keep, keep_scores, recipe, scores_table, show_headlines
from course_tools.run import LectureRun
from course_utils import results
from course_utils.session import data_folder

KEPT = sorted((data_folder() / "results").glob("*.json"))
SCORES = {"counting": [0.9, 0.92], "a network": [0.8, 0.85]}


def lecture(*cells):
    return new_notebook(cells=[new_code_cell(cell) for cell in cells])


@pytest.mark.parametrize("path", KEPT, ids=[path.stem for path in KEPT])
def test_what_was_kept_comes_from_the_lecture_as_it_is(path):
    notebook = notebooks.read(notebooks.find([path.stem])[0])
    content = json.loads(path.read_text(encoding="utf-8"))
    renew = content["command"]
    assert content["recipe"] == recipe(notebook), f"lecture {path.stem} computes something else now: {renew}"
    for name in content["figures"]:
        assert f'"{name}"' in "".join(cell.source for cell in notebook.cells), f"{name} is not shown: {renew}"


@pytest.mark.parametrize(
    "other",
    [
        lecture("x = 1  # one", "y = (x +\n     2)"),
        lecture("import os\nx = 1", "y = x + 2", "plotting.show(y)\nexpect('y', y, equals=3)", "y"),
        lecture("x = 1", "y = x + 2", "for low in (1, 2):\n    expect('y', y, at_least=low)"),
        lecture(
            "x = 1\ny = x + 2", "check_y(y)", "print(y)", "results.keep('00', 'y', y, real=True)", "show_y(y)"
        ),
    ],
)
def test_layout_pictures_and_bounds_do_not_change_a_recipe(other):
    assert recipe(other) == recipe(lecture("x = 1", "y = x + 2"))


def test_a_bound_or_a_picture_in_a_loop_does_not_change_a_recipe():
    loop = "for a in 'ab':\n    y = f(a)\n"
    shown = "    if a:\n        expect('a', y, at_most=2)\n    for b in a:\n        expect(b, y, at_least=2)\n    print(y)\n    expect_kept('y', y, equals=3)\n"
    assert (
        recipe(lecture(loop + shown))
        == recipe(lecture(loop))
        != recipe(lecture("for a in 'ab':\n    y = a\n" + shown))
    )


def test_a_recipe_is_the_same_in_every_version_of_python():
    code = (
        'def f(x, *rest: int, key=None) -> "str":\n    """Words."""\n'
        '    return f"{x:>3} and {key!r}" " joined" if rest else None\n\n\n'
        "class A:\n    y: int = 0\n\n    def g(self):\n        return [lambda: ..., {1: 2, **{}}, (not True)]\n"
    )
    assert recipe(lecture(code)) == "4d08d471c0ac2c104c0de936cf28e0e5572f1becc9a64fedcdace76ece690cf1"


@pytest.mark.parametrize(
    "other",
    [
        lecture("x = 2", "y = x + 2"),
        lecture("x = 1"),
        lecture("y = x + 2", "x = 1"),
        lecture("x = 1", "y = x + 2", "for _ in 'ab':\n    expect('y', y, equals=3)\n    y = 4"),
        lecture("x = 1", "y = x + 2", "for _ in 'ab':\n    expect('y', y, equals=3)\nelse:\n    y = 4"),
    ],
)
def test_what_is_computed_is_the_recipe(other):
    assert recipe(other) != recipe(lecture("x = 1", "y = x + 2"))


def test_what_stands_after_the_last_figure_kept_does_not_count():
    keeps = "results.keep('00', 'y', y, real=True)"
    assert recipe(lecture("y = 1", keeps, "z = 2")) == recipe(lecture("y = 1", keeps, "z = 3"))
    assert recipe(lecture("y = 1", keeps, "z = 2", keeps)) != recipe(lecture("y = 1", keeps, "z = 3", keeps))


def test_exercises_the_set_up_and_prose_do_not_count():
    notebook = lecture("x = 1")
    exercise = new_code_cell("def f(): ...", metadata={"tags": ["exercise"]})
    setup = new_code_cell("%pip install x", metadata={"course": {"role": "setup"}})
    notebook.cells += [exercise, setup, new_markdown_cell("words")]
    assert recipe(notebook) == recipe(lecture("x = 1"))


@pytest.fixture
def ran(tmp_path, monkeypatch):
    """A function: a lecture's run that has kept these figures."""
    monkeypatch.setattr("course_tools.keep.data_folder", lambda: tmp_path)
    monkeypatch.setattr(results, "data_folder", lambda: tmp_path)

    def make(kept, status="passed") -> LectureRun:
        path = tmp_path / "77_toy.ipynb"
        nbformat.write(lecture("x = 1"), path)
        run = LectureRun(path, tmp_path, "laptop", 1)
        run.outcome.kept, run.outcome.status = kept, status
        return run

    return make


def test_figures_are_kept_with_machine_date_and_command(ran):
    path = keep(ran({"spam F1": SCORES}), "laptop")
    assert path.name == "77.json"
    frame = results.kept("77", "spam F1")
    assert frame["name"].tolist() == list(SCORES) and frame["scores"].tolist() == list(SCORES.values())
    assert frame.attrs["real"] and frame.attrs["source"].startswith("course run 77 --profile laptop --keep; ")


@pytest.mark.parametrize(("kept", "status"), [({}, "passed"), ({"spam F1": SCORES}, "failed")])
def test_nothing_is_kept_of_stand_in_data_or_a_failed_run(ran, kept, status):
    with pytest.raises(CourseError, match="nothing kept"):
        keep(ran(kept, status), "laptop")


def test_a_figure_that_nobody_kept_names_the_command(ran):
    keep(ran({"spam F1": SCORES}), "laptop")
    for number, name in (("77", "accuracy"), ("78", "spam F1")):
        with pytest.raises(LookupError, match=f"course run {number} --profile laptop --keep"):
            results.kept(number, name)


def test_stand_in_scores_are_not_offered(tmp_path, monkeypatch):
    report = Path(tmp_path / "report.jsonl")
    monkeypatch.setenv("COURSE_REPORT", str(report))
    monkeypatch.setattr(results, "_offered", {})
    results.keep("77", "spam F1", SCORES, real=False)
    assert not report.exists()
    results.keep("77", "spam F1", SCORES, real=True)
    assert json.loads(report.read_text())["kept"] == SCORES
    frame = results.kept("77", "spam F1")
    assert frame["scores"].tolist() == list(SCORES.values()) and frame.attrs["source"] == "this run"
    with pytest.raises(ValueError, match="finite"):
        results.keep("77", "spam F1", {"a": [float("nan")]}, real=True)


def test_the_readme_says_of_each_question_what_was_kept():
    table = re.split(
        "<!-- /?headlines -->\n", (data_folder().parent / "README.md").read_text(encoding="utf-8")
    )[1]
    assert table == headlines_table()  # `course run NN --profile laptop --keep` makes it anew


def test_a_headline_holds_only_where_its_interval_leaves_zero_out(house, monkeypatch):
    (house / "data" / "results").mkdir()
    for number, other in (("1", [0.1, 0.2, 0.3]), ("2", [0.8, 0.9, 0.9]), ("3", [0.5, 0.4, 0.6])):
        content = {"figures": {"F1": {"new": [0.5, 0.5, 0.5], "old": other}}}
        (house / "data" / "results" / f"{number}.json").write_text(json.dumps(content))
    one = 'question = "?"\npublished = ""\nfigure = "F1"\nmethod = "new"\nminus = "old"\ntimes = 100\n'
    rows = [f'[[row]]\nlecture = "{number}"\n{one}' for number in "123"]
    (house / "data" / "headlines.toml").write_text("\n".join(rows))
    (house / "README.md").write_text("<!-- headlines -->\nold\n<!-- /headlines -->\n")
    show_headlines()
    shown = [line.split(" | ")[3:] for line in (house / "README.md").read_text().splitlines()[3:-1]]
    assert [holds for _, holds in shown] == ["yes |", "no, the reverse |", "cannot be told apart |"]
    assert shown[0][0] == "+30.0 (+5.2 to +54.8)"
    (house / "data" / "headlines.toml").write_text(rows[0].replace('"old"', '"lost"'))
    with pytest.raises(CourseError, match=r"headlines\.toml, lecture 1, F1"):
        show_headlines()


def row(method, score, lecture, *, task="spam", real=True):
    scores = {str(seed): score for seed in range(5)}
    return {"method": method, "scores": scores, "trainable": 7, "seconds": 1.0, "real": real, "lecture": lecture, "task": task}  # fmt: skip


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A course's folder with a README, whose data folder the commands find."""
    for name in ("data", "docs"):
        (tmp_path / name).mkdir()
    (tmp_path / "README.md").write_text("above\n<!-- scores -->\nold\n<!-- /scores -->\nbelow\n")
    monkeypatch.setattr("course_tools.keep.data_folder", lambda: tmp_path / "data")
    return tmp_path


def test_scores_take_the_place_of_their_lectures_rows_and_the_readme_follows(house):
    keep_scores([row("old", 0.5, "10"), row("glove", 0.8, "02")])
    new = [
        row("frozen", 0.9, "10"),
        row("frozen", 0.7, "10", task="reviews"),
        row("toy", 1.0, "02", real=False),
    ]
    board = keep_scores(new)
    assert [(it["method"], it["task"]) for it in json.loads(board.read_text())] == [
        ("glove", "spam"), ("frozen", "spam"), ("frozen", "reviews"),
    ]  # fmt: skip
    assert (house / "docs" / "scoreboard.png").read_bytes().startswith(b"\x89PNG")
    above, table, below = re.split("<!-- /?scores -->\n", (house / "README.md").read_text())
    assert (above, below) == ("above\n", "below\n")
    assert table.splitlines()[2:] == ["| frozen | 10 | 0.900 | 0.700 |", "| glove | 02 | 0.800 |  |"]


def test_one_command_puts_the_scores_of_several_runs_into_the_readme(house):
    files = [house / "a.json", house / "b.json"]
    for file, rows in zip(files, ([row("glove", 0.8, "02")], [row("frozen", 0.9, "10")]), strict=True):
        file.write_text(json.dumps(rows))
    ran = CliRunner().invoke(app, ["scores", *map(str, files)])
    assert ran.exit_code == 0, ran.output
    assert "| frozen | 10 | 0.900 |  |\n| glove | 02 |" in (house / "README.md").read_text()
    for wrong in ("lost.json", str(house / "c.json")):
        (house / "c.json").write_text(json.dumps([row("toy", 1.0, "02", real=False)]))
        with pytest.raises(CourseError, match="No scores"):
            CliRunner().invoke(app, ["scores", wrong], catch_exceptions=False)


def test_the_readme_has_the_scores_that_the_course_ships():
    readme = (data_folder().parent / "README.md").read_text(encoding="utf-8")
    assert scores_table(results.scoreboard(data_folder() / "scoreboard.json")) in readme
