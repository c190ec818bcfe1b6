"""`course check`: which lecture, which cell, and what is wrong. The rules: tests/notebooks/test_structure_rules.py."""

import shutil

import pytest
from typer.testing import CliRunner

from course_tools import cli, notebooks


@pytest.fixture
def check(tmp_path, monkeypatch):
    """Checks lectures of a folder of its own, which begins with the real lecture 00."""
    lectures = tmp_path / "notebooks"
    lectures.mkdir()
    shutil.copy(notebooks.find(["00"])[0], lectures)
    monkeypatch.setenv("COURSE_NOTEBOOKS", str(lectures))
    ran = lambda *names: CliRunner().invoke(cli.app, ["check", *names])  # noqa: E731
    ran.lectures = lectures
    return ran


def spoil(path, tag, **values):
    """Change the first cell with a tag."""
    notebook = notebooks.read(path)
    next(cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])).update(values)
    notebooks.write(notebook, path)


def test_a_lecture_in_form_is_said_to_be_so():
    ran = CliRunner().invoke(cli.app, ["check", "0", "10"])
    assert ran.exit_code == 0 and ran.output == "2 lectures: the form is right.\n"


def test_what_is_wrong_is_said_with_its_lecture_and_cell(check):
    (path,) = check.lectures.iterdir()
    spoil(path, "solution", metadata={"tags": ["solution"]})
    cells = notebooks.read(path).cells
    number = 1 + next(i for i, cell in enumerate(cells) if "solution" in cell.metadata.get("tags", []))
    ran = check("00")
    assert ran.exit_code == 1
    assert f"{path.name}, cell {number}: the solution is not folded away" in ran.output


def test_a_file_that_cannot_be_read_does_not_hide_the_others(check):
    (check.lectures / "01_conflict.ipynb").write_text("<<<<<<< HEAD\n{}", encoding="utf-8")
    (path,) = check.lectures.glob("00*")
    spoil(path, "exercise", execution_count=None)
    ran = check()
    assert ran.exit_code == 1
    assert "01_conflict.ipynb is not a notebook" in ran.output and "execution count None" in ran.output
