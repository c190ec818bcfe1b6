"""What stands in several lectures but is written once: sources, the set-up cell, the course's address."""

import inspect
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from string import Template

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from course_tools import notebooks

BADGE_LINE = re.compile(
    r"\[!\[[^\]]*\]\([^)]*colab-badge[^)]*\)\]\([^)]*\)(?: \[!\[Open in[^\]]*\]\([^)]*\)\]\([^)]*\))*"
)
# Code lines of a lecture: at 1,440 pixels the site shows 88 characters beside its two menus.
LINE_LENGTH = 88
HOSTS = r"(?:github\.com|/github|/gh|githubusercontent\.com)/"


def repository(root: Path) -> str:
    """OWNER/NAME of the course, from the one place that has it: ``project.urls`` in pyproject.toml."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return "/".join(project["urls"]["Repository"].rstrip("/").removesuffix(".git").split("/")[-2:])


def filled(skeleton: str, **words: str) -> str:
    """A text of the folder ``skeleton`` with words in the places of its ``$names``; without a line end."""
    text = Path(__file__).with_name("skeleton").joinpath(skeleton).read_text(encoding="utf-8")
    return Template(text).substitute(words).rstrip("\n")


def setup_cell(repo: str, needs: str = "") -> str:
    """The set-up cell; on a host it also installs what only this lecture needs, with what that needs in turn."""
    return filled("setup_cell.txt", repo=repo, more=needs and f"\n    %pip install --quiet {needs}")


def source_of(names: str | list[str]) -> str:
    """The source text of ``"package.module:object"``, or of several, two blank lines apart.

    Raises:
        LectureError: if there is no such object.
    """
    texts = []
    for name in [names] if isinstance(names, str) else names:
        try:
            texts.append(inspect.getsource(pkgutil.resolve_name(name)).rstrip("\n"))
        except (ImportError, AttributeError, TypeError, OSError, ValueError) as error:
            raise notebooks.LectureError(f"A synced cell's {name!r} has no source: {error}") from error
    return "\n\n\n".join(texts)


def laid_out(cells: list[NotebookNode]) -> list[str]:
    """The source of code cells as ruff lays it out; as it is without ruff, or where a cell is no Python."""
    text = notebooks.to_text(new_notebook(cells=[new_code_cell(cell.source) for cell in cells]))
    command = [sys.executable, "-m", "ruff", "format", "--isolated", f"--line-length={LINE_LENGTH}"]
    command += ["--stdin-filename=lecture.ipynb", "-"]
    done = subprocess.run(command, input=text, capture_output=True, encoding="utf-8")
    fresh = nbformat.reads(done.stdout, as_version=4).cells if done.returncode == 0 else cells
    return [cell.source for cell in fresh]


def sync_notebook(notebook: NotebookNode, name: str, repo: str) -> list[str]:
    """Bring a lecture's synced parts up to date, in place; return what had drifted, a line each."""
    line = filled("badges.txt", name=name, repo=repo)
    setup = setup_cell(repo, notebook.metadata.get("course", {}).get("needs", ""))
    drifted = []
    for number, cell in enumerate(notebook.cells, start=1):
        course = cell.metadata.get("course", {})
        if "source" in course:
            fresh = source_of(course["source"])
            if cell.source != fresh:
                drifted.append(f"{name}, cell {number}: is not the source of {course['source']}")
                cell.source = fresh
        elif course.get("role") == "setup":
            metadata = cell.metadata | notebooks.FORM["setup_cell"]
            if cell.source != setup or cell.metadata != metadata:
                drifted.append(f"{name}, cell {number}: is not the course's set-up cell")
                cell.source = setup
                cell.metadata.update(metadata)
    own = [
        (number, cell)
        for number, cell in enumerate(notebook.cells, start=1)
        if cell.cell_type == "code" and not {"source", "role"} & cell.metadata.get("course", {}).keys()
    ]
    for (number, cell), fresh in zip(own, laid_out([cell for _, cell in own]), strict=True):
        if cell.source != fresh:
            drifted.append(f"{name}, cell {number}: its code is not laid out in lines of {LINE_LENGTH}")
            cell.source = fresh
    first = notebook.cells[0] if notebook.cells else None
    if first is not None and first.cell_type == "markdown":
        fresh, count = BADGE_LINE.subn(lambda match: line, first.source, count=1)
        if not count:
            title, _, rest = first.source.partition("\n")
            fresh = f"{title}\n\n{line}\n" + rest
        if fresh != first.source:
            drifted.append(f"{name}, cell 1: the badges do not point to {repo}")
            first.source = fresh
    return drifted


def sync_all(*, check: bool = False) -> list[str]:
    """Sync every lecture; with ``check`` nothing is written. Returns what had drifted."""
    folder = notebooks.notebooks_folder()
    repo = repository(project_root(folder))
    drifted = []
    for path in notebooks.find():
        notebook = notebooks.read(path)
        changes = sync_notebook(notebook, path.name, repo)
        drifted += changes
        if changes and not check:
            notebooks.write(notebook, path)
    return drifted


def fix_tag(new: str) -> list[Path]:
    """Let set-up cells install, and badges open, another tag or branch; return the files that changed.

    Raises:
        LectureError: if ``new`` cannot be the name of one.
    """
    if not re.fullmatch(r"[\w.-]+", new):
        raise notebooks.LectureError(f"{new!r} is no name for a tag: take letters, digits, dots and hyphens.")
    place = re.compile(r"(/archive/|/blob/|\$repo/)[\w.-]+(?=\.zip|/notebooks|\?labpath)")
    skeleton = Path(__file__).with_name("skeleton")
    paths = skeleton / "setup_cell.txt", skeleton / "badges.txt", skeleton.parents[1] / "README.md"
    return _put_behind(place, new, paths)


def project_root(folder: Path) -> Path:
    """The folder with the pyproject.toml that belongs to these lectures.

    Raises:
        LectureError: if there is none.
    """
    for root in (folder.parent, Path(__file__).parents[1]):
        if (root / "pyproject.toml").exists():
            return root
    raise notebooks.LectureError(f"No pyproject.toml is beside {folder}: go to a checkout of the course.")


def move_repository(new: str) -> list[Path]:
    """Write another OWNER/NAME wherever the course's address stands; return the files that changed.

    Raises:
        LectureError: if ``new`` is not of that form.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", new):
        raise notebooks.LectureError(f"{new!r} is not of the form OWNER/NAME.")
    root = project_root(notebooks.notebooks_folder())
    address = re.compile(rf"({HOSTS}){re.escape(repository(root))}(?![\w-])")
    documents = [*root.glob("*.md"), *root.glob("docs/**/*.md")]
    return _put_behind(address, new, [root / "pyproject.toml", *documents, *notebooks.find()])


def _put_behind(place: re.Pattern[str], new: str, paths: Iterable[Path]) -> list[Path]:
    """Write something in the place of what follows a pattern's group, in files; return those that changed."""
    changed = []
    for path in paths:
        before = path.read_text(encoding="utf-8")
        after = place.sub(rf"\g<1>{new}", before)
        if after != before:
            notebooks.write_text(after, path)
            changed.append(path)
    return changed
