"""The structure checks see each fault: a lecture in the course's form has no problem, and each change to it has one."""

from __future__ import annotations

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from course_tools import notebooks, sync
from course_tools.check import problems

REPOSITORY = "owner/name"
ALT = "A histogram of message lengths, with a long tail"


def code(source, *outputs, tags=(), **metadata):
    return new_code_cell(
        source, outputs=list(outputs), metadata={**({"tags": [*tags]} if tags else {}), **metadata}
    )


def picture(alt=ALT):
    return new_output("display_data", data={"image/png": "AAAA"}, metadata={"image/png": {"alt": alt}})


def lecture():
    """The smallest lecture that has everything."""
    opening = "# Title\n\n" + sync.filled("badges.txt", name="01_small.ipynb", repo=REPOSITORY)
    opening += "\n\n**What you will be able to do**: much. It takes about 6 minutes."
    ending = "".join(f"## {name}\n\n" for name in ("Quiz", "Recap", "Glossary", "Further reading"))
    cells = [
        new_markdown_cell(opening),
        code(sync.setup_cell(REPOSITORY), **notebooks.FORM["setup_cell"]),
        code("import torch\n\nprint(1)", new_output("stream", name="stdout", text="1\n")),
        code(
            sync.source_of("course_utils.expectations:record"),
            course={"source": "course_utils.expectations:record"},
        ),
        code("plot()", picture(), tags=["nbval-ignore-output"]),
        new_markdown_cell("## 1 · What there is\n\nA section.\n\n## 2 · What follows\n\nAnother."),
        new_markdown_cell(
            "## Exercises\n\nSee [the quiz](#Quiz).\n\n<details><summary>Hint 1 · a nudge</summary>\n\nThink.\n\n"
            "<details><summary>Hint 2 · the idea</summary>\n\nGive back.\n\n"
            "*Still stuck? The solution is in the folded cell below the stub.*\n\n</details>\n</details>"
        ),
        code("def f(): ...", tags=["exercise"]),
        code(
            "# One solution.\ndef f():\n    return 1 + 0 + 0 + 0",
            tags=["solution"],
            jupyter={"source_hidden": True},
        ),
        code("check_f(f)"),
        new_markdown_cell(ending),
    ]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    for count, cell in enumerate([cell for cell in cells if cell.cell_type == "code"], start=1):
        cell.execution_count = count
    return notebooks.normalise(new_notebook(cells=cells))


@pytest.fixture
def found(tmp_path):
    """Says what is wrong with a lecture of a checkout whose tests know ``check_f``."""
    (tmp_path / "pyproject.toml").write_text(
        f'[project.urls]\nRepository = "https://github.com/{REPOSITORY}"\n'
    )
    tests = tmp_path / "tests" / "course_utils" / "test_exercises_01.py"
    notebooks.write_text("exercises = {check_f: ([right], [wrong])}", tests)

    def look(notebook):
        path = tmp_path / "notebooks" / "01_small.ipynb"
        notebooks.write(notebook, path)
        return problems(path)

    return look


def test_a_lecture_in_form_has_no_problems(found):
    assert found(lecture()) == []


def test_a_file_that_is_no_notebook_is_a_problem_too(tmp_path):
    (tmp_path / "01_broken.ipynb").write_text("<<<<<<< HEAD\n{}")
    (line,) = problems(tmp_path / "01_broken.ipynb")
    assert "01_broken.ipynb is not a notebook" in line


def change(cell, **values):
    """A fault: set something in one cell."""

    def apply(notebook):
        for key, value in values.items():
            if key in ("tags", "jupyter"):
                notebook.cells[cell].metadata[key] = value
            else:
                notebook.cells[cell][key] = value

    return apply


def replace(cell, old, new):
    def apply(notebook):
        assert old in notebook.cells[cell].source
        notebook.cells[cell].source = notebook.cells[cell].source.replace(old, new)

    return apply


def stream(text, name="stdout"):
    return [new_output("stream", name=name, text=text)]


FAULTS = {
    "execution count None": change(2, execution_count=None),
    "execution count 7": change(2, execution_count=7),
    "stored form": change(2, metadata={"collapsed": True}),
    "the kernel is": lambda notebook: notebook.metadata.kernelspec.update(name="conda-env"),
    "on stderr": change(2, outputs=stream("x\n", "stderr")),
    "stores an error": change(2, outputs=[new_output("error", ename="E", evalue="", traceback=[])]),
    "stores no error": change(2, tags=["raises-exception"]),
    "a path of this machine": change(2, outputs=stream("/home/someone/x.txt\n")),
    "31 lines": change(2, source="\n".join(["x = 1"] * 31)),
    "32 lines, more than 30": change(2, source="x = 1\n" * 32, metadata={"course": {"made_by": "0"}}),
    "mixes up values before pandas 3": change(2, source="table.unstack(0, sort=False)"),
    "cell 3: its code is not laid out": replace(2, "print(1)", "print( 1 )"),
    "longer than 88": change(2, source=f"x = 1  # {'x' * 81}"),
    "is not a title": replace(0, "# Title", "Title"),
    "cell 1: the badges do not point to": change(
        0, source="# Title\n\nWhat you will be able to do; about 6 minutes"
    ),
    "do not point to": replace(0, "01_small", "02_other"),
    "What you will be able to do": replace(0, "What you will be able to do", "Hello"),
    "lacks a time": replace(0, "6 minutes", "an hour"),
    "the opening says 9": replace(0, "about 6", "about 9"),
    "more than 60: head": change(5, source="## 1 · What there is\n\n" + "word " * 11_000),
    "several titles": replace(6, "## Exercises", "# Exercises"),
    "0 set-up cells": lambda notebook: notebook.cells.pop(1),
    "not the course's set-up cell": replace(1, "start", "begin"),
    "code comes before": lambda notebook: notebook.cells.insert(1, notebook.cells.pop(2)),
    "cell 6: section 2 is headed '1 · What": replace(5, "## 2", "## 1"),
    "section 2 is headed '3 · What": replace(5, "## 2", "## 3"),
    "section 1 is headed 'What": replace(5, "## 1 · ", "## "),
    "the last sections": replace(10, "## Glossary", "## Words"),
    "switches nbval off": replace(2, "print(1)", "# NBVAL_SKIP"),
    "imports yaml": replace(2, "import torch", "import yaml"),
    "is not Python": replace(2, "print(1)", "print(1"),
    "there is no code": lambda notebook: notebook.update(
        cells=[cell for cell in notebook.cells if cell.cell_type == "markdown"]
    ),
    "switches nbval off; only": change(2, tags=["nbval-skip"]),
    "without alt text": change(4, outputs=[picture("short")]),
    "another image's alt text": change(4, outputs=[picture(), picture()]),
    "cell 5: an image with another image's": change(2, outputs=[picture()]),
    "picture in the text": replace(6, "See", "![](map.svg) See"),
    "does not end with its two hints": replace(6, "Hint 2", "Hint 3"),
    "gives the solution away": replace(6, "Give back.", "`return 1 + 0 + 0 + 0`"),
    "count as progress": replace(8, "# One solution.", "# Look:"),
    "cell 1: the badges do not": replace(0, "Open in Kaggle", "Open in Elsewhere"),
    "no solution follows": change(8, tags=[]),
    "no check follows": replace(9, "check_f(f)", "f()"),
    "cell 8: check_g has no test in": replace(9, "check_f", "check_g"),
    "not folded away": change(8, jupyter={}),
    "solution follows no exercise": change(7, tags=[]),
    "more than half": lambda notebook: [
        cell.metadata.update(tags=["nbval-ignore-output"])
        for cell in notebook.cells[1:5]
        if cell.cell_type == "code"
    ],
    "no picture or widget": change(2, tags=["nbval-ignore-output"]),
    "is not the source of": replace(3, "value", "valve"),
    "leads to no section": replace(6, "#Quiz", "#Nowhere"),
    "leads nowhere": replace(6, "#Quiz", "02_missing.ipynb"),
    "cell 7: still says TODO": replace(6, "Think.", "TODO: a question."),
    "bytes, more than": change(2, outputs=stream("x" * 3_000_001)),
}


@pytest.mark.parametrize("words", FAULTS)
def test_each_fault_is_found(words, found):
    notebook = lecture()
    FAULTS[words](notebook)
    assert any(words in line for line in found(notebook)), found(notebook)


def test_code_that_is_no_python_stays_as_it_is_and_magics_are_laid_out():
    cells = [new_code_cell("%matplotlib inline\nf( 1 )"), new_code_cell("x  = 1;")]
    assert sync.laid_out(cells) == ["%matplotlib inline\nf(1)", "x = 1;"]
    assert sync.laid_out([*cells, new_code_cell("def f(")]) == [cell.source for cell in cells] + ["def f("]
