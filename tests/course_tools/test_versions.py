"""What is handed out: lectures without solutions, and the solutions alone, the same bytes each time."""

import re
from pathlib import Path

import nbformat
import pytest

from course_tools import notebooks, versions
from course_utils import start
from course_utils.exercises import CheckFailed

LECTURES = sorted((Path(__file__).parents[2] / "notebooks").glob("[0-9][0-9]_*.ipynb"))


@pytest.fixture(params=LECTURES, ids=lambda path: path.stem)
def lecture(request):
    return notebooks.read(request.param)


@pytest.fixture
def shell(monkeypatch):
    """Runs the cells of one notebook, as its kernel would after the set-up cell."""
    monkeypatch.setenv("COURSE_PROFILE", "ci")
    names = {"course": start()}
    return lambda cell: exec(compile(cell.source, "cell", "exec"), names)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tagged(notebook, tag):
    return [cell for cell in code(notebook) if tag in cell.metadata.get("tags", [])]


def test_nothing_is_given_away(lecture):
    handed_out = versions.student(lecture)
    text = notebooks.to_text(handed_out)
    assert tagged(lecture, "solution") and not tagged(handed_out, "solution")
    assert [cell.source for cell in tagged(handed_out, "exercise")] == [
        cell.source for cell in tagged(lecture, "exercise")
    ]
    for cell in tagged(lecture, "solution"):
        answer = cell.source.split('"""')[-1].strip()  # below the docstring, which the stub has, too
        assert not [other for other in handed_out.cells if answer in other.source]
    assert not re.search(r"folded|Answers<|\[!\[", text)
    assert all(cell.execution_count is None and not cell.outputs for cell in code(handed_out))


def test_the_rest_is_as_it_was(lecture):
    handed_out = versions.student(lecture)
    left = [cell for cell in lecture.cells if "solution" not in cell.metadata.get("tags", [])]
    assert [cell.id for cell in handed_out.cells] == [cell.id for cell in left]
    for ours, theirs in zip(code(handed_out), [c for c in left if c.cell_type == "code"], strict=True):
        assert ours.source == theirs.source and ours.metadata == theirs.metadata


@pytest.mark.parametrize("make", [versions.student, versions.solutions])
def test_twice_gives_the_same_bytes_and_the_lecture_stays(make, lecture):
    before = notebooks.to_text(lecture)
    once = notebooks.to_text(make(lecture))
    assert once == notebooks.to_text(make(lecture)) and notebooks.to_text(lecture) == before
    nbformat.validate(nbformat.reads(once, as_version=4))


def test_solutions_pass_their_checks_and_stubs_say_kindly_that_they_are_stubs(lecture, shell, capsys):
    setup, imports, checks, *answers = code(versions.solutions(lecture))
    assert setup.metadata.course.role == "setup"
    shell(imports)
    shell(checks)
    stubs = tagged(versions.student(lecture), "exercise")
    assert len(answers) == 2 * len(stubs)
    for stub, solution, check in zip(stubs, answers[::2], answers[1::2], strict=True):
        shell(stub)
        with pytest.raises(CheckFailed, match="still to be written"):
            shell(check)
        shell(solution)
        shell(check)
    assert capsys.readouterr().out.count("✓") == len(stubs)


def test_what_cannot_be_handed_out_is_refused(lecture):
    tagged(lecture, "exercise")[0].source = "def done():\n    return 1"
    with pytest.raises(notebooks.LectureError, match="no stub"):
        versions.student(lecture)
    lecture.cells[0].source = "no title"
    with pytest.raises(notebooks.LectureError, match="number and its title"):
        versions.solutions(lecture)


def test_a_lecture_without_solutions_and_a_solution_without_its_check():
    title = nbformat.v4.new_markdown_cell("# 11 · A title")
    with pytest.raises(notebooks.LectureError, match="no cell with the tag"):
        versions.solutions(nbformat.v4.new_notebook(cells=[title]))
    lost = nbformat.v4.new_code_cell("a = 1", metadata={"tags": ["solution"]})
    with pytest.raises(notebooks.LectureError, match="between its question and its check"):
        versions.solutions(nbformat.v4.new_notebook(cells=[title, lost]))
