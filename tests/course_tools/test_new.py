"""The skeleton of a new lecture: it has the course's form, and nothing that is there is ever written over."""

import importlib.util
import re

import nbformat
import pytest
from typer.testing import CliRunner

from course_tools import CourseError, cli, new, notebooks, versions
from course_tools.check import problems

TITLE = "Pipes & $5: what flows?"


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "pyproject.toml").write_text('[project.urls]\nRepository = "https://github.com/owner/name"\n')
    monkeypatch.setenv("COURSE_NOTEBOOKS", str(tmp_path / "notebooks"))
    return tmp_path


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_skeleton_has_the_form_of_a_lecture_except_that_it_has_not_been_run(checkout):
    written = new.write_lecture("17_pipes", TITLE)
    assert [str(path.relative_to(checkout)) for path in written] == [
        "notebooks/17_pipes.ipynb",
        "course_utils/exercises/lecture_17.py",
        "course_utils/exercises/quiz/17.md",
        "tests/course_utils/test_exercises_17.py",
    ]
    lecture = notebooks.read(written[0])
    nbformat.validate(lecture)
    assert lecture.cells[0].source.startswith(f"# 17 · {TITLE}\n")
    assert lecture.cells[1].metadata.course.role == "setup"
    assert all("TODO" in path.read_text(encoding="utf-8") for path in written)
    wrong = problems(written[0])
    assert wrong and all(
        re.fullmatch(r"cell \d+: (execution count None, not \d+|still says TODO)", line) for line in wrong
    )


def test_it_can_be_handed_out_and_its_parts_belong_together(checkout):
    lecture, exercises, quiz, test = new.write_lecture("17_pipes", TITLE)
    notebook = notebooks.read(lecture)
    assert "exercise" in str(versions.student(notebook)) and "check_mean(mean)" in str(
        versions.solutions(notebook)
    )
    for path in (exercises, test):
        compile(path.read_text(encoding="utf-8"), path.name, "exec")
    assert "course_utils.exercises.lecture_17 import check_mean" in test.read_text(encoding="utf-8")
    questions = re.findall(r"(?m)^(## |- \[x\] |- \[ \] |  \S)", quiz.read_text(encoding="utf-8"))
    assert questions == ["## ", "- [x] ", "  T", "- [ ] ", "  T", "- [ ] ", "  T"]


def test_a_lecture_may_be_told_in_two_halves(checkout, monkeypatch):
    first = new.write_lecture("17a_pipes", TITLE)
    second = new.write_lecture("17b_more_pipes", TITLE)
    assert [path.name for path in second][1:] == ["lecture_17b.py", "17b.md", "test_exercises_17b.py"]
    assert notebooks.find(["17"]) == [first[0], second[0]] and notebooks.find(["17b"]) == [second[0]]
    assert [notebooks.title(notebooks.read(path))[0] for path in (first[0], second[0])] == ["17a", "17b"]
    assert [notebooks.number(path.name) for path in notebooks.find(["17"])] == ["17a", "17b"]


def test_the_exercise_of_the_skeleton_works(checkout):
    engine = pytest.importorskip("course_utils.exercises.engine")
    path = new.write_lecture("17_pipes", TITLE)[1]
    spec = importlib.util.spec_from_file_location("lecture_17", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert not list(engine.verify(module.check_mean))


@pytest.mark.parametrize(
    "name", ["9_pipes", "17", "17_Pipes", "17-pipes", "17_pipes.ipynb", "../17_pipes", "17_"]
)
def test_a_bad_name_is_refused(checkout, name):
    with pytest.raises(CourseError, match="is no name for a lecture"):
        new.write_lecture(name, TITLE)
    assert files(checkout).keys() == {"pyproject.toml"}


@pytest.mark.parametrize("title", ["", "  ", "Two\nlines", "17 · Pipes", "# Pipes"])
def test_a_bad_title_is_refused(checkout, title):
    with pytest.raises(CourseError, match="is no title"):
        new.write_lecture("17_pipes", title)


@pytest.mark.parametrize("there", ["notebooks/17_other.ipynb", "course_utils/exercises/lecture_17.py",
                                   "course_utils/exercises/quiz/17.md", "tests/course_utils/test_exercises_17.py"])  # fmt: skip
def test_what_is_there_stays(checkout, there):
    (checkout / there).parent.mkdir(parents=True, exist_ok=True)
    (checkout / there).write_text("precious")
    before = files(checkout)
    with pytest.raises(CourseError, match="lecture 17 already"):
        new.write_lecture("17_pipes", TITLE)
    assert files(checkout) == before


def test_the_command_says_what_was_written_and_what_is_next(checkout):
    ran = CliRunner().invoke(cli.app, ["new", "17_pipes", TITLE])
    assert ran.exit_code == 0 and "17_pipes.ipynb" in ran.output and "course run 17 --update" in ran.output
