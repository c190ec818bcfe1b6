"""What site and slides share: the lectures that they show, where they are written, formulas, prose, code."""

import html
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from latex2mathml.converter import convert
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from pygments import highlight  # type: ignore[import-untyped]
from pygments.formatters import HtmlFormatter  # type: ignore[import-untyped]
from pygments.lexers import PythonLexer  # type: ignore[import-untyped]

from course_tools import notebooks
from course_tools.notebooks import LectureError
from course_utils.exercises import quiz

QUIZ = re.compile(r"""(?m)^quiz\(["'](\d\d[a-z]?)["']\)""")
READY = re.compile(r"(?m)^Course ready: profile (\w+)")  # what a lecture's set-up cell prints
PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")
ATTACHED = re.compile(r"(?:\]\(|=\")attachment:([^)\"]*)")
BAR = re.compile(r"[^\n|]*\d%\|")  # how a progress bar begins that a run has left behind
# A prime is high already, and a browser would raise it once more.
PRIME = re.compile(r"<msup>(<mi>[^<]*</mi>)<mi>&#x02032;</mi></msup>")
# TeX leaves a thin space between log and what it is taken of, unless a bracket follows; browsers do not.
FUNCTION = re.compile(r"<mi>(?:arg|cos|exp|ln|log|max|min|sin|tanh)</mi>(?=<m(?!o\b))")


def lectures(names: list[str] | None, source: Path | None = None) -> dict[Path, NotebookNode]:
    """The lectures asked for, by their files: as they are stored, or as a run has left them in a folder.

    Args:
        names: as for :func:`course_tools.notebooks.find`; without, what the folder lacks is named on stderr.
        source: the folder of executed lectures, such as ``build/lectures``.

    Raises:
        LectureError: for names that fit none, lectures that the folder lacks, or that cannot be read.
    """
    paths = notebooks.find(names)
    lacking = [path.stem for path in paths if source and not (source / path.name).is_file()]
    if lacking and (names or len(lacking) == len(paths)):
        what = f"{source} lacks {', '.join(lacking)}" if names else f"There are no lectures in {source}"
        raise LectureError(f"{what}: `course run` puts executed lectures into build/lectures.")
    if lacking:
        print(f"Not in {source}: {', '.join(lacking)}", file=sys.stderr)
    there = [path for path in paths if path.stem not in lacking]
    return {path: _readable((source or path.parent) / path.name) for path in there}


def _readable(file: Path) -> NotebookNode:
    """A lecture for readers: pasted pictures stand in its text, and progress bars are gone."""
    with notebooks.named(file):
        notebook = notebooks.normalise(notebooks.read(file))
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = _with_attachments(cell)
            elif "outputs" in cell:
                texts = [output.get("data", {}).get("text/plain", "") for output in cell.outputs]
                cell.outputs = [
                    out for out, text in zip(cell.outputs, texts, strict=True) if not BAR.match(text)
                ]
    return notebook


def _with_attachments(cell: NotebookNode) -> str:
    """Markdown in which a picture that was pasted into the cell has an address that holds all of it.

    Raises:
        LectureError: if it is not in the cell, or of a kind that browsers do not show.
    """
    source = cell.source
    for name, kinds in cell.get("attachments", {}).items():
        for kind in [kind for kind in PICTURES if kind in kinds][:1]:
            address = f"data:{kind};base64,{''.join(kinds[kind].split())}"
            for written in (name, quote(name, safe="!'()*")):
                source = source.replace(f"attachment:{written}", address)
    if left := ATTACHED.search(source):
        raise LectureError(f"The picture {left[1]} is not in its cell as PNG, JPEG or GIF: paste it again.")
    return source


def origin(notebook: NotebookNode) -> str:
    """Which profile a lecture's figures are from, in words, as its set-up cell has printed it."""
    printed = "\n".join(
        output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", [])
    )
    if not (ready := READY.search(printed)):
        return "Without figures: this lecture has not been run"
    data = "small sizes, stand-in data" if ready[1] == "ci" else "real data, unless a figure says stand-in"
    return f"Figures from profile {ready[1]} ({data})"


@contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """A new folder, which takes the place of ``out`` when all has been written; else ``out`` stays as it was.

    Raises:
        LectureError: if it cannot be written.
    """
    if out.is_mount():  # it can be filled, and not replaced
        raise LectureError(
            f"{out} is a mounted volume; choose a folder in it for --out, such as {out / 'new'}."
        )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as folder:
            made = Path(folder) / "made"
            made.mkdir()
            yield made
            if out.exists():
                out.rename(Path(folder) / "before")
            made.rename(out)
    except OSError as error:
        raise LectureError(
            f"{out} cannot be written ({error.strerror or error}); nothing was changed."
        ) from error


def formula(tex: str, *, display: bool) -> str:
    """A formula in TeX, without its dollar signs, as MathML.

    Args:
        tex: what a lecture writes between dollar signs.
        display: on a line of its own.

    Raises:
        LectureError: if it cannot be read; a page must not show half a formula.
    """
    try:
        # It knows align, and not aligned, which is the same inside a formula.
        set_ = convert(tex.strip().replace("{aligned}", "{align*}"), display="block" if display else "inline")
    except Exception as error:  # the parser has a dozen kinds of its own
        raise LectureError(
            f"The formula ${tex.strip()}$ cannot be set: {type(error).__name__} {error}"
        ) from error
    set_ = PRIME.sub(r'<mrow>\1<mo lspace="0" rspace="0">&#x02032;</mo></mrow>', set_)
    return FUNCTION.sub(r'\g<0><mspace width="0.167em"/>', set_)


class _Renderer(IPythonRenderer):
    def inline_math(self, body: str) -> str:
        return formula(body, display=False)

    def block_math(self, body: str) -> str:
        return formula(body, display=True)

    def image(self, text: str, url: str, title: str | None = None) -> str:
        return html.escape(text) if re.match(r"(?:https?:)?//", url) else super().image(text, url, title)


def markdown(source: str) -> str:
    """Markdown as HTML; a picture beside the lectures is brought along, one from the network is only named.

    Raises:
        LectureError: if a formula cannot be set.
    """
    folder = str(notebooks.notebooks_folder())
    renderer = _Renderer(escape=False, exclude_anchor_links=True, embed_images=True, path=folder)
    return MarkdownWithMath(renderer=renderer).render(source).strip()


def inline(source: str) -> str:
    """A line of Markdown as HTML, without a paragraph around it."""
    return re.sub(r"^<p>|</p>$", "", markdown(source))


def coloured(source: str) -> str:
    """Python as HTML, its parts marked for a style sheet."""
    return highlight(source, PythonLexer(), HtmlFormatter(nowrap=True)).rstrip("\n")


def questions(source: str) -> list[quiz.Question]:
    """The quiz that a code cell asks, empty if none; LectureError if the lecture has no quiz."""
    try:
        return [question for asked in QUIZ.findall(source) for question in quiz.questions(asked)]
    except ValueError as error:
        raise LectureError(str(error)) from error
