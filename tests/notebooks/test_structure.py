"""Every lecture has the course's form (the rules: course_tools/check.py), a number of its own, and a place on the map."""

from __future__ import annotations

import ast
import re

import pytest

from course_tools import notebooks
from course_tools.check import problems
from course_utils.lectures import LECTURES

PATHS = notebooks.find()


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_lecture_has_the_courses_form(path):
    found = problems(path)
    assert not found, "\n".join([path.name, *found])


def test_lectures_are_numbered_once():
    numbers = [notebooks.number(path.name) for path in PATHS]
    assert all(re.fullmatch(r"\d\d[a-z]?_[a-z0-9_]+\.ipynb", path.name) for path in PATHS)
    assert len(numbers) == len(set(numbers))


def test_the_readme_says_how_long_each_lecture_takes():
    readme = notebooks.notebooks_folder().with_name("README.md").read_text(encoding="utf-8")
    claimed = dict(re.findall(r"^\| (\d\d[a-z]?) \|.*?\| (\d+) min", readme, re.MULTILINE))
    opening = {notebooks.number(path.name): notebooks.read(path).cells[0].source for path in PATHS}
    assert claimed == {
        number: re.search(r"[Aa]bout (\d+) minutes", text)[1] for number, text in opening.items()
    }


def test_the_map_in_the_welcome_lecture_marks_the_lectures_that_are_here():
    (here,) = [
        ast.literal_eval(statement.value)
        for cell in notebooks.read(notebooks.find(["00"])[0]).cells
        if cell.source.startswith("here = ")
        for statement in ast.parse(cell.source).body
        if isinstance(statement, ast.Assign)
    ]
    present = [notebooks.number(path.name) for path in notebooks.find()]
    assert here == present, f"set here = {present} in lecture 00, then `course run 00 --update`"
    drawn = [entry[:2] for group in LECTURES.values() for entry in group]
    assert {number[:2] for number in present} <= set(drawn), "add the new lecture to course_utils/lectures.py"
