"""The skeleton of a new lecture: all that the course's form asks for, with TODO where it is to be written."""

import json
import re
from pathlib import Path

from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from course_tools import CourseError, notebooks, sync

FILES = {
    "exercises.txt": "course_utils/exercises/lecture_{}.py",
    "quiz.txt": "course_utils/exercises/quiz/{}.md",
    "test.txt": "tests/course_utils/test_exercises_{}.py",
}


def write_lecture(name: str, title: str) -> list[Path]:
    """Write notebook, exercises, quiz and test of a lecture; returns their paths.

    Args:
        name: its number and name, "09_bert_features".
        title: its title, and a question after a colon if it has one.

    Raises:
        CourseError: if the name or the title cannot be one, or something of this lecture is there already.
    """
    if not re.fullmatch(r"\d\d[a-z]?_[a-z][a-z0-9_]*", name):
        raise CourseError(f"{name!r} is no name for a lecture: write it as in 09_bert_features.")
    if not title.strip() or re.search(r"[\n·#]", title):
        raise CourseError(f"{title!r} is no title: write one line, without its number.")
    folder, number = notebooks.notebooks_folder(), notebooks.number(name)
    root = sync.project_root(folder)
    path = folder / f"{name}.ipynb"
    targets = {skeleton: root / target.format(number) for skeleton, target in FILES.items()}
    for present in [*folder.glob(f"{number}_*.ipynb"), *targets.values()]:
        if present.exists():
            raise CourseError(f"There is a lecture {number} already ({present.name}); nothing is written.")
    words = {"number": number, "title": title.strip()}
    notebook = new_notebook(metadata={"accelerator": "GPU", "colab": {"gpuType": "T4", "toc_visible": True}})
    for cell in re.split(r"(?m)^%% ", sync.filled("lecture.txt", **words))[1:]:
        head, _, source = cell.partition("\n")
        kind, _, metadata = head.partition(" ")
        new_cell = new_markdown_cell if kind == "markdown" else new_code_cell
        more = {"metadata": json.loads(metadata or "{}"), "id": f"{number}-{len(notebook.cells)}"}
        notebook.cells.append(new_cell(source.strip("\n"), **more))
    sync.sync_notebook(notebook, path.name, sync.repository(root))
    notebooks.write(notebooks.normalise(notebook), path)
    for skeleton, target in targets.items():
        notebooks.write_text(sync.filled(skeleton, **words) + "\n", target)
    return [path, *targets.values()]
