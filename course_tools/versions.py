"""Versions of a lecture for the classroom: without solutions and outputs, and the solutions by themselves."""

import copy
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from course_tools import notebooks, sync

ANSWERS = re.compile(r"\n*<details><summary>Answers</summary>\n*(.*?)\n*</details>", re.DOTALL)
BADGES = re.compile(rf"{sync.BADGE_LINE.pattern}\n*")
HINTS = re.compile(r"\n*<details><summary>Hint 1.*?</details>\n</details>", re.DOTALL)
RECORD = ".course.json"  # the digest of each version, as it was written
STUB = "raise NotImplementedError"
CHECK = re.compile(r"check_\w+(?=\()")


def hand_out(paths: Iterable[Path], out: Path, version: Callable[[NotebookNode], NotebookNode]) -> list[str]:
    """Write a version of each lecture into a folder, over none in which somebody has worked since.

    Returns:
        a line for each lecture whose version is not written, with the reason.
    """
    record, left = out / RECORD, []
    try:
        written = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none yet, or cut off: then what is there counts as changed
        written = {}
    for path in paths:
        target = out / path.name
        try:
            text = notebooks.to_text(version(notebooks.read(path)))
        except notebooks.LectureError as error:
            left.append(f"{path.name}: {error}")
            continue
        digest = notebooks.digest(text.encode())
        if target.exists() and notebooks.digest(target.read_bytes()) not in (digest, written.get(path.name)):
            left.append(
                f"{target} stays as it is: it was changed since it was written. Move it to get a new one."
            )
            continue
        notebooks.write_text(text, target)
        written[path.name] = digest
        notebooks.write_text(json.dumps(written, indent=1) + "\n", record)
    return left


def tagged(cell: NotebookNode, tag: str) -> bool:
    """Whether a cell is code with this tag."""
    return cell.cell_type == "code" and tag in cell.metadata.get("tags", [])


def without_folds(text: str) -> str:
    """What a lecture says where it has no folded solutions."""
    for told, left in notebooks.FORM["folded"].items():
        text = text.replace(told, left)
    return text


def without_solutions(notebook: NotebookNode) -> NotebookNode:
    """A copy of a lecture in which no exercise is solved, without badges: they open one with solutions."""
    notebook = copy.deepcopy(notebook)
    notebook.cells = [cell for cell in notebook.cells if not tagged(cell, "solution")]
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = without_folds(ANSWERS.sub("", BADGES.sub("", cell.source)))
    return notebook


def student(notebook: NotebookNode) -> NotebookNode:
    """A lecture as it is handed out: every stub is there, no solution, nothing has been run.

    Raises:
        LectureError: if an exercise is no stub that is still to be written: its answer would be given away.
    """
    notebook = without_solutions(notebook)
    for number, cell in enumerate(notebook.cells, start=1):
        if tagged(cell, "exercise") and STUB not in cell.source:
            raise notebooks.LectureError(f"Cell {number} is an exercise, and no stub: it lacks {STUB!r}.")
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebooks.normalise(notebook)


def solutions(notebook: NotebookNode) -> NotebookNode:
    """A lecture's exercises with solutions and checks, and what they need to run: its set-up and its imports.

    Raises:
        LectureError: if the lecture has no number, no solution, or one without a question before it and
            a check after it.
    """
    cells, (lecture, title) = notebook.cells, notebooks.title(notebook)
    code = [cell for cell in cells if cell.cell_type == "code"]
    answers, checks = [], []
    for place, cell in enumerate(cells):
        if not tagged(cell, "solution"):
            continue
        before = [other for other in cells[:place] if other.cell_type == "markdown"]
        check = cells[place + 1] if place + 1 < len(cells) else cell
        if not before or not CHECK.findall(check.source):
            why = "a solution stands between its question and its check."
            raise notebooks.LectureError(f"Cell {place + 1}: {why}")
        checks += CHECK.findall(check.source)
        question = without_folds(HINTS.sub("", before[-1].source.removeprefix("## Exercises\n\n")))
        answers += [new_markdown_cell(question), new_code_cell(cell.source), new_code_cell(check.source)]
    answers += [
        new_markdown_cell(ANSWERS.sub(r"\n\n**Answers:** \1", cell.source))
        for cell in cells
        if cell.cell_type == "markdown" and ANSWERS.search(cell.source)
    ]
    if not answers:
        raise notebooks.LectureError(f"Lecture {lecture} has no cell with the tag `solution`.")
    imported = f"from course_utils.exercises.lecture_{lecture} import {', '.join(sorted(set(checks)))}"
    heading, first = f"# Solutions · {lecture} · {title}", code[:2]  # set-up and imports
    beginning = [new_code_cell(cell.source, metadata=cell.metadata) for cell in first]
    made = new_notebook(cells=[new_markdown_cell(heading), *beginning, new_code_cell(imported), *answers])
    for number, cell in enumerate(made.cells):
        cell.id = f"{lecture}-{number}"  # the same file, byte for byte, each time
    return notebooks.normalise(made)
