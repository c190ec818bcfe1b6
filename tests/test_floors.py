"""The floors of the house (pyproject.toml, tool.importlinter): no import goes up, wherever in a file it stands."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINT = "import sys; from importlinter import cli; sys.exit(cli.lint_imports(no_cache=True, no_logo=True))"


@pytest.fixture
def lint(tmp_path):
    """A function that adds a line to a file of a copy of both packages, and returns what import-linter says of it."""
    for package in ("course_utils", "course_tools"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)

    def run(file: str = "course_utils/session.py", line: str = "") -> subprocess.CompletedProcess:
        with (tmp_path / file).open("a", encoding="utf-8") as source:
            source.write(line)
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        return subprocess.run(
            [sys.executable, "-c", LINT], cwd=tmp_path, env=environment, capture_output=True, text=True
        )

    return run


def test_authors_read_of_the_floors_that_there_are():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    floors = [
        set(re.findall(r"\w+", floor)) for contract in contracts for floor in contract.get("layers", [])
    ]
    told = (
        (ROOT / "docs" / "authoring.md")
        .read_text(encoding="utf-8")
        .partition("where one goes up: ")[2]
        .partition(". ")[0]
    )
    assert [set(re.findall(r"`(\w+)`", floor)) for floor in told.split(";")] == floors


def test_no_import_goes_up(lint):
    checked = lint()
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("course_utils/session.py", "def style():\n    from course_utils import plotting\n"),
        ("course_utils/models/bert.py", "from course_utils.training import fit\n"),
        ("course_utils/results.py", "import course_utils.plotting\n"),
        ("course_utils/exercises/quiz.py", "from course_tools import cli\n"),
    ],
)
def test_an_import_that_goes_up_is_seen(lint, file, line):
    checked = lint(file, line)
    assert checked.returncode == 1 and "BROKEN" in checked.stdout, checked.stdout + checked.stderr
