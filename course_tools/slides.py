"""Slides from the lectures, by rule: a lecture is prose, a slide is not, and nobody marks either up by hand.

A heading begins a stack of slides. Of the prose a slide shows what stands out (first sentences, bold terms,
formulas, lists, boxes); the speaker's notes have all of it. Figures get the room. What is for the one at the
notebook (set-up, imports, checks, hints, solutions) is left out. A slide type that an author has set counts.
What stands together follows from what it is; the script in slides.html makes letters as large as fits.
"""

import html
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import sphinx_revealjs  # reveal.js comes with it
from nbformat import NotebookNode

from course_tools import notebooks, pages, prose, versions

HERE = Path(__file__).parent
REVEAL = Path(sphinx_revealjs.__file__).parent / "_static" / "revealjs"
FILES = ("LICENSE", "dist/reset.css", "dist/reveal.css", "dist/reveal.js", "plugin/notes/notes.js")
PARTS = 6  # paragraphs, items, formulas and the like on a slide
SHORT, LONG = 4, 12  # lines of code that share their slide with a figure, and with anything else
HEADINGS, REMARKS = ("title", "section", "heading"), ("see", "trap", "quiet", "note")
WORK, TOLD = ("Exercises", "Quiz", "Further reading"), {"figure", "math_block", "see", "trap"}
GOALS = "**What you will be able to do**"
LISTED = re.compile(r"(?m)^\*\*[^*\n]+:\*\* .* · .* · .*$")  # a list in one line
CHECKED = re.compile(r"(?m)^✓ .*\n?")
UNSHOWN = re.compile(r"(?s)<(style|script).*?</\1>| style=\"[^\"]*\"| border=\"\d\"|\x1b\[[0-9;]*m")
TEMPLATES = jinja2.Environment(loader=jinja2.FileSystemLoader(HERE), trim_blocks=True)
TEMPLATES.filters |= {each.__name__: each for each in (pages.markdown, pages.inline, pages.coloured)}


@dataclass
class Block:
    """Something that a slide shows: Markdown (of a list, each item), code, text, HTML or a figure."""

    kind: str
    content: Any
    note: str = ""  # what the speaker says of it; a block of kind "note" shows nothing
    fragment: bool = False  # uncovered at a key


class Deck:
    """The slides of a lecture: stacks side by side, in each a slide and those below it, each of blocks."""

    def __init__(self, notebook: NotebookNode, *, short: bool = False) -> None:
        (self.number, self.title), self.origin = notebooks.title(notebook), pages.origin(notebook)
        self.stacks: list[list[list[Block]]] = []
        self.full = False  # a cell has been shown: only a remark on it may still join the slide
        self.has_figure = self.uncovering = False
        self._opening(notebook.cells[0].source)
        for cell in notebook.cells[1:]:
            self._cell(cell, cell.metadata.get("slideshow", {}).get("slide_type", "-"))
        for stack in self.stacks:
            stack[:] = [slide for slide in stack if {block.kind for block in slide} - {"note"}]
            stack[:] = [*_for_a_talk(stack)] if short and stack else stack
        self.stacks = [stack for stack in self.stacks if stack and stack[0][0].content != "Glossary"]

    @property
    def parts(self) -> list[Block]:
        """What the slide shows below its heading, without remarks."""
        return [block for block in self.now if block.kind not in (*HEADINGS, *REMARKS)]

    def begin(self, *blocks: Block, stack: bool = False) -> None:
        """Begin a slide, below the last one or a stack; one that is still empty is taken instead."""
        if stack:
            self.stacks.append([[]])
        elif any(block.kind != "note" for block in self.now):
            self.stacks[-1].append([])
        self.now = self.stacks[-1][-1]  # the slide that is being filled
        self.now.extend(blocks)
        self.full = self.has_figure = False

    def takes(self, kind: str, content: Any) -> bool:
        """Whether something may join the slide, by what it is; how much room it needs a browser knows."""
        parts = self.parts
        if not parts or (kind == "code" and content.count("\n") >= LONG):
            return len(parts) <= 1
        lines = sum(block.content.count("\n") + 1 for block in parts if block.kind == "code")
        if kind == "figure":  # it wants the room
            return lines <= SHORT and len(parts) <= 2 and {block.kind for block in parts} <= {"text", "code"}
        contents = [content, *(block.content for block in parts)]
        return lines <= LONG and sum(len(x) if isinstance(x, list) else 1 for x in contents) <= PARTS

    def add(self, kind: str, content: Any, note: str = "") -> None:
        """Show something, here or on a new slide along with the words that introduce it; or only say it."""
        kind = kind if content else "note"
        if kind not in REMARKS and (self.full or not self.takes(kind, content)):
            introduced = not self.full and self.parts[1:] and kind not in ("text", "figure")
            self.begin(*([self.now.pop()] if introduced and self.now[-1].kind == "text" else []))
        self.now.append(Block(kind, content, note, self.uncovering))
        self.has_figure |= kind == "figure"

    def _opening(self, source: str) -> None:
        """The title slide with the opening question, and what one will be able to do."""
        opening, _, goals = versions.BADGES.sub("", source).partition(GOALS)
        opening = opening.partition("\n")[2].strip()
        asked = [each for each in prose.sentences(opening) if each.rstrip("*").endswith("?")]
        self.begin(Block("title", self.title, opening), stack=True)
        self.add("text", asked[:1] or prose.lead(opening))
        if goals:
            self.begin(Block("section", GOALS.strip("*")))
            self._prose(goals)

    def _cell(self, cell: NotebookNode, wanted: str) -> None:
        """A cell, as its author wants it shown."""
        if wanted == "skip" or "solution" in cell.metadata.get("tags", []) or cell.cell_type == "raw":
            return
        if wanted in ("slide", "subslide"):
            self.begin(stack=wanted == "slide" and not cell.source.startswith("## "))
        self.uncovering = wanted == "fragment"
        self.full &= not self.uncovering
        if wanted == "notes":
            self.add("note", "", cell.source)
        elif cell.cell_type == "markdown":
            self._prose(cell.source)
        elif wanted != "-" or not prose.for_the_machine(cell.source):
            self._code(cell)

    def _prose(self, source: str) -> None:
        """A Markdown cell: what stands out is shown, and all of it is said."""
        source = LISTED.sub(lambda line: re.sub(r"(?<=:\*\*) | · ", "\n- ", line[0]), source)
        parts = list(prose.chunks(versions.without_folds(source)))
        for (before, _), (kind, text) in zip([("heading", ""), *parts], parts, strict=False):
            marks, _, words = text.partition(" ")
            content: Any = text
            if kind == "heading":
                self.begin(Block("section" if marks == "##" else kind, words), stack=marks == "##")
            if kind == "heading" or text.startswith("**Your progress.**"):
                continue
            if kind.endswith("_list"):
                content = [
                    " ".join(item.split()) for item in re.split(r"(?m)^(?:[-*]|\d+\.) +", text) if item
                ]
            elif kind in REMARKS:
                content = prose.lead(text)
            elif text.startswith("**Exercise"):
                kind, self.full = "task", bool(self.parts)
            elif kind == "paragraph":
                kind, content = "text", prose.lead(text, first=before != kind, last=text is parts[-1][1])
            self.add(kind, content, text)

    def _code(self, cell: NotebookNode) -> None:
        """A code cell: its quiz, or its code and then what it shows."""
        if questions := pages.questions(cell.source):
            self.add(
                "text", f"{len(questions)} questions. Choose first: the slide below each has the answers."
            )
            for numbered in enumerate(questions, start=1):
                self.begin(Block("quiz", numbered))
                self.begin(Block("answers", numbered))
            self.full = True
            return
        shown, source = [_output(output) for output in cell.outputs], cell.source.strip()
        kinds = {kind for kind, content in shown if content}
        printed = "\n".join(content for kind, content in shown if kind == "output")
        only_checked = printed and not CHECKED.sub("", printed)
        if kinds & {"figure", "html"} or (self.has_figure and only_checked):
            source = prose.essential(source)  # and what was checked beside a figure is for the speaker
            if checks := "".join(CHECKED.findall(printed)):
                self.add("note", "", f"Checked in the notebook:\n\n```\n{checks}\n```")
            shown = [(kind, CHECKED.sub("", text) if kind == "output" else text) for kind, text in shown]
        if source and kinds != {"quiet"}:
            named = cell.metadata.get("course", {}).get("source", [])
            for name in [named] if isinstance(named, str) else named:
                source = f"# {name}\n{source}"
            self.full |= self.has_figure
            self.add("code", source)
        for kind, content in shown:
            self.add(kind, content)
        self.full = True


def _for_a_talk(stack: list[list[Block]]) -> Iterator[list[Block]]:
    """How a section begins, its figures, formulas and remarks, without code; nothing of what is work."""
    for slide in stack if stack[0][0].content not in WORK else []:
        kinds = {block.kind for block in slide}
        hidden = {"code", "quiet"} if kinds & {"see", "trap"} else {"code", "quiet", "output", "html"}
        if kinds - hidden - {"note"} and (slide is stack[0] or kinds & TOLD):
            yield [block for block in slide if block.kind not in hidden]


def _output(output: NotebookNode) -> tuple[str, Any]:
    """What a slide shows of an output, and its kind."""
    data = output.get("data", {})
    if "image/png" in data:
        return "figure", output
    text = f"{output.ename}: {output.evalue}" if output.output_type == "error" else output.get("text", "")
    text = UNSHOWN.sub("", text or data.get("text/html") or data.get("text/plain", "")).rstrip("\n")
    if set(data) == {"text/plain"} and output.output_type == "display_data":
        return "quiet", html.escape(" ".join(text.split()), quote=False)
    return "html" if "text/html" in data else "output", text


def write_slides(
    names: list[str] | None, out: Path, *, source: Path | None = None, short: bool = False
) -> list[Deck]:
    """Make ``OUT/NN_name.html`` for each lecture, and ``OUT/index.html``, or, where one fails, nothing.

    Args:
        names, source: as for :func:`course_tools.pages.lectures`.
        out: the folder of the slides; earlier ones there are replaced.
        short: how sections begin, figures, formulas and take-aways alone.

    Raises:
        LectureError: if a lecture cannot be shown, or ``out`` cannot be written or holds other things.
    """
    decks = {}
    with pages.replacing(out) as made:
        if out.exists():
            notebooks.refuse_foreign(out, "[0-9]*.html", "index.html", "reveal")
        (made / "reveal").mkdir()
        for file in (*(REVEAL / name for name in FILES), HERE / "slides.css", HERE / "favicon.svg"):
            shutil.copy(file, made / "reveal")
        for path, notebook in pages.lectures(names, source).items():
            with notebooks.named(path):
                deck = decks[f"{path.stem}.html"] = Deck(notebook, short=short)
                text = TEMPLATES.get_template("slides.html").render(deck=deck)
            notebooks.write_text(text, made / f"{path.stem}.html")
        index = TEMPLATES.get_template("slides_index.html").render(decks=decks)
        notebooks.write_text(index, made / "index.html")
    return [*decks.values()]
