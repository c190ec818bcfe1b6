"""Where the lectures are, and the one form in which they are stored.

A stored lecture holds its outputs, so it must not change when nothing changed: :func:`normalise` takes out
all that differs from run to run (timings, widget ids, the kernel's patch version, what editors leave behind).
"""

import copy
import hashlib
import json
import os
import re
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from course_tools import CourseError
from course_utils.files import replace_file
from course_utils.session import data_folder

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
WIDGET_FALLBACK = "Interactive widget: run this cell to use it."
FORM = tomllib.loads(Path(__file__).with_name("form.toml").read_text(encoding="utf-8"))
# Where this machine keeps packages is nobody's business: /home/me/site-packages/torch/nn.py is torch/nn.py, and so is the course.
INSTALLED = re.compile(
    r"[~/\\][^\s:'\"]*[/\\](?:(?:(?:site|dist)-packages|python3\.\d+)[/\\]|(?=course_utils[/\\]))"
)
UNCOMPARED = "nbval-ignore-output"
LECTURE = re.compile(r"\d\d[a-z]?_\w+\.ipynb")  # 13a and 13b are the halves of lecture 13
# What a lecture may say about itself; the rest is an editor's note to itself, or who wrote it in which file.
NOTEBOOK_KEYS, COLAB_KEYS = ("accelerator", "colab", "course"), ("gpuType", "toc_visible")
CELL_KEYS = ("cellView", "course", "slideshow", "tags")
shorten = partial(textwrap.shorten, width=160, placeholder=" …")  # the first line's worth of a message


class LectureError(CourseError):
    """A lecture cannot be found, read or stored."""


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Begin what a :class:`LectureError` says with the lecture's name."""
    try:
        yield
    except LectureError as error:
        raise LectureError(f"{path.name}: {error}") from error


def notebooks_folder() -> Path:
    """The folder of the lectures: ``COURSE_NOTEBOOKS``, else beside the package, else in the current folder.

    Raises:
        LectureError: if none of the three is there.
    """
    named = os.environ.get("COURSE_NOTEBOOKS")
    candidates = [Path(named)] if named else [Path(__file__).parents[1] / "notebooks", Path("notebooks")]
    for folder in candidates:
        if folder.is_dir():
            return folder.resolve()
    tried = ", ".join(str(folder) for folder in candidates)
    raise LectureError(
        f"The lectures are not here (looked in {tried}): all commands but doctor and assets need a checkout "
        "of the course; go there, or set COURSE_NOTEBOOKS."
    )


def find(names: list[str] | None = None) -> list[Path]:
    """The lectures asked for, in order: all, or by number ("7"; "13" for both its halves), name ("10_freeze_and_fine_tune") or path.

    Raises:
        LectureError: for a name that fits no lecture, or more than one.
    """
    folder = notebooks_folder()
    every = sorted(path for path in folder.glob("*.ipynb") if LECTURE.fullmatch(path.name))
    if not every:
        raise LectureError(f"There are no lectures in {folder}.")
    if (left := left_out(folder)) and not names:
        print(left, file=sys.stderr)
    found = []
    for name in names or []:
        stem = Path(name).name.removesuffix(".ipynb")
        stem = stem.zfill(2) if stem.isdigit() else stem
        fits = [path for path in every if path.stem == stem] or [
            path for path in every if path.stem.startswith(stem)
        ]
        if not fits or (len(fits) > 1 and not stem.isdigit()):
            choice = ", ".join(path.stem for path in fits or every)
            raise LectureError(f"{len(fits) or 'No'} lectures fit {name!r}; choose one of {choice}.")
        found += fits
    return sorted(set(found)) if names else every


def left_out(folder: Path) -> str:
    """A line on notebooks beside the lectures that are none, as copies (``10_x-Copy1.ipynb``); "" if none."""
    names = sorted(path.name for path in folder.glob("*.ipynb") if not LECTURE.fullmatch(path.name))
    return f"Left out, as their names are no lecture's: {', '.join(names)}" if names else ""


def refuse_foreign(out: Path, *own: str) -> None:
    """Make sure that there is a folder that can be written to without mixing with what others keep there.

    Args:
        out: it is made if it is missing.
        own: patterns of names that an earlier run has left.

    Raises:
        LectureError: if it cannot be made, or holds something else.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = "is a file" if out.is_file() else f"cannot be made ({error.strerror})"
        raise LectureError(f"{out} {why}; choose another folder for --out.") from error
    for path in sorted(out.iterdir()):
        if not any(path.match(pattern) for pattern in own):
            raise LectureError(f"{out} holds other things ({path.name}); choose another folder for --out.")


def read(path: Path) -> NotebookNode:
    """A lecture as nbformat 4.5; notebooks of older minor versions are brought up.

    Raises:
        LectureError: if the file is no notebook.
    """
    try:
        notebook = nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
        for number, cell in enumerate(notebook.cells):
            if "id" not in cell:
                cell["id"] = digest(f"{number}\n{cell.source}".encode())[:8]
        notebook.nbformat_minor = 5
        nbformat.validate(notebook)
    except Exception as error:
        raise LectureError(f"{path} is not a notebook that can be read: {shorten(str(error))}") from error
    return notebook


def number(name: str) -> str:
    """What a lecture of this name goes by, "08" or "13a"."""
    return name.partition("_")[0]


def title(notebook: NotebookNode) -> tuple[str, str]:
    """A lecture's number and title; LectureError if it does not begin with them."""
    if not (first := re.match(r"# (\d\d[a-z]?) · (.+)", notebook.cells[0].source if notebook.cells else "")):
        raise LectureError("It does not begin with its number and its title, `# 08 · BERT: ...`.")
    return first[1], first[2].strip()


def to_text(notebook: NotebookNode) -> str:
    """The bytes of a notebook file, in the one layout (sorted keys, one space, a line end)."""
    return nbformat.writes(notebook, version=4, ensure_ascii=False).rstrip("\n") + "\n"


def write(notebook: NotebookNode, path: Path) -> None:
    """Store a notebook; never leaves half a file."""
    write_text(to_text(notebook), path)


def write_text(text: str, path: Path) -> None:
    """Write a file, the same on every system; never leaves half of it."""
    with replace_file(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def normalise(notebook: NotebookNode) -> NotebookNode:
    """A copy in the stored form. Twice is the same as once; a cell that was not run stays marked so."""
    notebook = copy.deepcopy(notebook)
    kept = {key: notebook.metadata[key] for key in NOTEBOOK_KEYS if key in notebook.metadata}
    if colab := kept.get("colab"):
        kept["colab"] = {key: colab[key] for key in COLAB_KEYS if key in colab} | {"provenance": []}
    notebook.metadata = nbformat.from_dict(kept | FORM["metadata"])
    count = 0
    for cell in notebook.cells:
        metadata = {key: cell.metadata[key] for key in CELL_KEYS if key in cell.metadata}
        if cell.metadata.get("jupyter", {}).get("source_hidden"):
            metadata["jupyter"] = {"source_hidden": True}
        cell.metadata = nbformat.from_dict(metadata)
        if cell.cell_type != "code":
            continue
        cell.outputs = normalise_outputs(cell.outputs)
        if cell.execution_count is not None:
            count += 1
            cell.execution_count = count
            for output in cell.outputs:
                if output.output_type == "execute_result":
                    output.execution_count = count
    return notebook


def settle(run: NotebookNode, before: NotebookNode) -> NotebookNode:
    """The stored form of an executed lecture, in which an output that is merely random is as it was.

    What nbval does not compare (times, trained figures) differs from run to run. It changes only where what
    made it has: the code of its cell or above, the package, its data. A digest of these and of the output
    stands in the cell's metadata, so an output that came by another way (JupyterLab, say) is never kept.

    Args:
        run: the lecture as it was run.
        before: the same lecture with the outputs that are stored so far.
    """
    notebook, earlier, code = normalise(run), {cell.id: cell for cell in before.cells}, _package()
    for cell in [cell for cell in notebook.cells if cell.cell_type == "code"]:
        code += cell.source
        if UNCOMPARED not in cell.metadata.get("tags", []):
            continue
        stored, course = normalise_outputs(earlier[cell.id].outputs), cell.metadata.setdefault("course", {})
        if course.get("made_by") == _made_by(code, stored):
            cell.outputs = stored
        course["made_by"] = _made_by(code, cell.outputs)
    return notebook


def _made_by(code: str, outputs: list[NotebookNode]) -> str:
    return digest((code + json.dumps(outputs, sort_keys=True)).encode())[:16]


@cache
def _package() -> str:
    """The digest of all that an output may depend on outside its lecture; exercises are not among it."""
    package = Path(__file__).parents[1] / "course_utils"
    files = sorted([*package.rglob("*.py"), *package.glob("*.mplstyle"), *data_folder().rglob("*")])
    of_outputs = [path for path in files if path.is_file() and "exercises" not in path.parts]
    return digest(b"".join(path.read_bytes() for path in of_outputs))


def digest(data: bytes) -> str:
    """The SHA-256 of some bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def normalise_outputs(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Join the pieces of a stream, and put a sentence in the place of widget ids and widget ``repr``\\ s.

    A figure or a text that a widget brings along for places without widgets is kept.
    """
    merged: list[NotebookNode] = []
    for output in outputs:
        if output.output_type == "error":
            output = copy.deepcopy(output)
            output.traceback = [INSTALLED.sub("", line) for line in output.traceback]
        if output.output_type == "stream" and merged and merged[-1].get("name") == output.name:
            merged[-1].text += output.text
            continue
        merged.append(copy.deepcopy(output))
        data = merged[-1].get("data", {})
        if data.pop(WIDGET_VIEW, None) is None:
            continue
        if set(data) <= {"text/plain"} and re.match(r"\w+\(|<|$", data.get("text/plain", "")):
            data["text/plain"] = WIDGET_FALLBACK
    return merged


def refusals(notebook: NotebookNode) -> list[str]:
    """Why an executed lecture must not be stored: warnings on stderr, errors, cells that did not run."""
    found = []
    for number, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type != "code":
            continue
        if cell.execution_count is None:
            found.append(f"cell {number} was not run")
        for output in cell.outputs:
            if output.get("name") == "stderr":
                found.append(f"cell {number} wrote to stderr: {shorten(output.text)}")
            if output.output_type == "error" and "raises-exception" not in cell.metadata.get("tags", []):
                found.append(f"cell {number} raised {output.ename}: {shorten(output.evalue)}")
    return found
