"""Key figures on real data that a run keeps beside the stored lectures: ``data/results/NN.json``."""

import ast
import json
import platform
import time
from pathlib import Path

import torch
from IPython.core.inputtransformer2 import TransformerManager
from joblib import cpu_count  # type: ignore[import-untyped]
from nbformat import NotebookNode

from course_tools import CourseError, notebooks
from course_tools.run import LectureRun
from course_utils.session import data_folder

# What a cell only shows, asks or hands out does not change a figure.
BESIDE = {"display", "my_progress", "plotting", "print", "quiz", "widgets"}


def recipe(notebook: NotebookNode) -> str:
    """A digest of the code that a lecture's figures come from: cells that compute, however they are laid out.

    Exercises, and cells that only draw, print or check a bound, do not count; nor do comments.
    """
    code = b""
    for cell in notebook.cells:
        tags = {"exercise", "solution"} & set(cell.metadata.get("tags", []))
        if cell.cell_type != "code" or tags or cell.metadata.get("course", {}).get("role"):
            continue
        for statement in ast.parse(TransformerManager().transform_cell(cell.source)).body:
            if not _only_shows(statement):
                code += ast.dump(statement).encode()
    return notebooks.digest(code)


def _only_shows(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return True  # a figure depends on what is called, not on what lies ready
    if not isinstance(statement, ast.Expr) or not isinstance(call := statement.value, ast.Call):
        return isinstance(statement, ast.Expr)  # a name at the end of a cell
    called = ast.unparse(call.func)
    name = called.split(".")[0]
    return (
        called == "results.keep"
        or name in BESIDE | {"expect", "record"}
        or name.startswith(("check_", "show"))
    )


def keep(run: LectureRun, profile: str) -> Path:
    """Write what a lecture's run kept to ``data/results``.

    Raises:
        CourseError: if the lecture failed, or keeps nothing: it ran on stand-in data, or never calls ``results.keep``.
    """
    number = run.path.stem[:2]
    if not run.outcome.passed:
        raise CourseError(f"{run.path.name}: nothing kept, it {run.outcome.status}.")
    if not run.outcome.kept:
        raise CourseError(f"{run.path.name}: nothing kept. It had no real data, or it offers no key figures.")
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    content = {
        "command": f"course run {number} --profile {profile} --keep",
        "machine": f"{cpu_count()} cores, {platform.machine()}, {accelerator or 'no accelerator'}",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "recipe": recipe(run.notebook),
        "figures": run.outcome.kept,
    }
    path = data_folder() / "results" / f"{number}.json"
    path.parent.mkdir(exist_ok=True)
    notebooks.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", path)
    return path
