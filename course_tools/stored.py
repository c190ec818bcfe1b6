"""What ``course run --update`` stores: all that a run has shown, except what would change without a reason.

The output of a cell that nbval does not compare (times, trained figures) differs from run to run. It is stored anew where
something that made it has changed: the code of its cell or above, the package, its data. A digest of these and of the output
stands in the cell's metadata, so an output that came by another way (JupyterLab, another profile) is never kept.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path

from nbformat import NotebookNode

from course_tools import notebooks
from course_utils.session import data_folder

UNCOMPARED = "nbval-ignore-output"


def settle(run: NotebookNode, before: NotebookNode) -> NotebookNode:
    """The stored form of an executed lecture.

    Args:
        run: the lecture as it was run.
        before: the same lecture with the outputs that are stored so far.
    """
    notebook, earlier, code = notebooks.normalise(run), {cell.id: cell for cell in before.cells}, _package()
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        code += cell.source
        if UNCOMPARED not in cell.metadata.get("tags", []):
            continue
        kept = notebooks.normalise_outputs(earlier[cell.id].outputs)
        if cell.metadata.get("course", {}).get("made_by") == _digest(code, kept):
            cell.outputs = kept
        cell.metadata.setdefault("course", {})["made_by"] = _digest(code, cell.outputs)
    return notebook


def _digest(code: str, outputs: list[NotebookNode]) -> str:
    return hashlib.sha256(f"{code}{json.dumps(outputs, sort_keys=True)}".encode()).hexdigest()[:16]


@cache
def _package() -> str:
    """The digest of all that a figure may depend on outside its lecture; exercises are not among it."""
    package = Path(__file__).parents[1] / "course_utils"
    files = sorted([*package.rglob("*.py"), *package.glob("*.mplstyle"), *data_folder().rglob("*")])
    of_figures = [path for path in files if path.is_file() and "exercises" not in path.parts]
    return hashlib.sha256(b"".join(path.read_bytes() for path in of_figures)).hexdigest()
