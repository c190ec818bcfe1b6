"""What pages are made of: formulas that every browser sets by itself, without a script and without a network, prose, code."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from pygments import highlight  # type: ignore[import-untyped]
from pygments.formatters import HtmlFormatter  # type: ignore[import-untyped]
from pygments.lexers import PythonLexer  # type: ignore[import-untyped]

from course_tools import notebooks
from course_tools.notebooks import LectureError

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from course_utils.exercises.quiz import Question

QUIZ = re.compile(r"""(?m)^quiz\(["'](\d\d)["']\)""")
# A prime is high already, and a browser would raise it once more.
PRIME = re.compile(r"<msup>(<mi>[^<]*</mi>)<mi>&#x02032;</mi></msup>")
# TeX leaves a thin space between log and what it is taken of, unless a bracket follows; browsers do not.
FUNCTION = re.compile(r"<mi>(?:arg|cos|exp|ln|log|max|min|sin|tanh)</mi>(?=<m(?!o\b))")


def formula(tex: str, *, display: bool) -> str:
    """A formula in TeX, without its dollar signs, as MathML.

    Args:
        tex: what a lecture writes between dollar signs.
        display: on a line of its own.

    Raises:
        LectureError: if it cannot be read; a page must not show half a formula.
    """
    from latex2mathml.converter import convert

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


def title(notebook: NotebookNode) -> tuple[str, str]:
    """A lecture's number and title; LectureError if it does not begin with them."""
    if not (first := re.match(r"# (\d\d) · (.+)", notebook.cells[0].source if notebook.cells else "")):
        raise LectureError("It does not begin with its number and its title, `# 08 · BERT: ...`.")
    return first[1], first[2].strip()


def questions(source: str) -> list[Question]:
    """The quiz that a code cell asks, empty if none; LectureError if the lecture has no quiz."""
    from course_utils.exercises import quiz

    try:
        return [question for asked in QUIZ.findall(source) for question in quiz.questions(asked)]
    except ValueError as error:
        raise LectureError(str(error)) from error
