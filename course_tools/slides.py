"""Slides from the lectures, by rule: a lecture is prose, a slide is not, and nobody marks either up by hand.

A heading begins a stack of slides. Of the prose a slide shows what stands out (first sentences, bold terms, formulas,
lists, boxes), and the speaker's notes have all of it. Figures get the room. What is meant for the one who sits at the
notebook (set-up, imports, checks, hints, solutions) is left out. A slide type that an author has set for a cell counts.

nbconvert calls :class:`Slides`, and sets slides.html. What goes together is counted here in lines, roughly; the script
in the template measures each slide, and makes its letters as large as fits.
"""

from __future__ import annotations

import base64
import html
import re
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import sphinx_revealjs  # reveal.js comes with it
from nbconvert.exporters.templateexporter import TemplateExporter
from nbconvert.preprocessors import Preprocessor
from nbformat import NotebookNode

from course_tools import notebooks, pages, prose, versions

HERE = Path(__file__).parent
REVEAL = Path(sphinx_revealjs.__file__).parent / "_static" / "revealjs"
FILES = ("LICENSE", "dist/reset.css", "dist/reveal.css", "dist/reveal.js", "plugin/notes/notes.js")
ROOM = 17  # lines on a slide
HEADINGS, REMARKS = ("title", "section", "heading"), ("see", "trap", "quiet")
BEFORE = (*HEADINGS, *REMARKS, "text", "task")  # what may stand before a figure
GOALS = "**What you will be able to do**"
BADGES = re.compile(r"(?m)^\[!\[.*\n")
FILTERS = {each.__name__: each for each in (pages.markdown, pages.inline, pages.coloured, prose.plain)}
UNSHOWN = re.compile(r"(?s)<(style|script).*?</\1>| style=\"[^\"]*\"| border=\"\d\"|\x1b\[[0-9;]*m")


@dataclass(eq=False)
class Block:
    """Something that a slide shows: Markdown (of a list, each item), code, text, HTML or a figure, by its kind."""

    kind: str
    content: Any
    note: str = ""  # what the speaker says of it; there are notes without anything to show
    fragment: bool = False  # uncovered at a key

    @property
    def lines(self) -> float:
        """About how many lines it takes on a slide."""
        if self.kind == "figure":  # it takes what is left, and needs so much
            return min(11.0, 18 * self.content["height"] / self.content["width"])
        texts = [self.content] if isinstance(self.content, str) else self.content
        size = {"code": 0.72, "output": 0.72, "table": 0.8, "formula": 1.8, "picture": 8}.get(self.kind, 1)
        if self.kind == "table":
            texts = [" ".join(self.content.split()).replace("</tr>", "\n")]
        rows = [prose.plain(row) for text in texts for row in re.split(r"\n|\\\\", text)]
        return 0.6 + 0.3 * len(texts) + size * sum(1 + int(len(row) * size / 80) for row in rows)


@dataclass
class Deck:
    """The slides of a lecture: stacks side by side, in each a slide and those below it, each of blocks."""

    number: str
    title: str
    stacks: list[list[list[Block]]] = field(default_factory=list)
    full: bool = False  # a cell has been shown: only a remark on it may still join the slide

    @property
    def now(self) -> list[Block]:
        """The slide that is being filled."""
        return self.stacks[-1][-1]

    @property
    def shown(self) -> list[Block]:
        """What it shows, without what is only said."""
        return [block for block in self.now if block.kind != "note"]

    @property
    def figure(self) -> bool:
        """Whether it shows a figure; there is one at most."""
        return any(block.kind == "figure" for block in self.now)

    def begin(self, *blocks: Block, stack: bool = False) -> None:
        """Begin a slide, below the last one or a stack; one that is still empty is taken instead."""
        if stack:
            self.stacks.append([[]])
        elif self.shown:
            self.stacks[-1].append([])
        self.now.extend(blocks)
        self.full = False

    def takes(self, block: Block) -> bool:
        """Whether there is room for a block; a figure follows nothing but words and a little code."""
        long_code = [other.kind == "code" and other.lines > 4.6 for other in self.shown]
        crowded = any(long_code) or any(other.kind not in (*BEFORE, "code") for other in self.shown)
        fits = sum(part.lines for part in [*self.shown, block]) <= ROOM
        return fits and not (block.kind == "figure" and crowded)

    def say(self, note: str) -> None:
        """Something for the speaker alone."""
        self.now.append(Block("note", "", note))

    def add(self, kind: str, content: Any, note: str = "") -> None:
        """Show something: on this slide where there is room, else on a new one, along with the words that introduce it."""
        block, remark = Block(kind, content, note), kind in REMARKS
        begun = [other for other in self.shown if other.kind not in HEADINGS]
        if self.full and not remark:
            self.begin()
        elif begun and not self.takes(block) and not (remark and self.figure):
            introduced = begun[1:] and self.now[-1].kind == "text" and kind not in (*BEFORE, "figure")
            self.begin(*([self.now.pop()] if introduced else []))
        self.now.append(block)


def _opening(deck: Deck, source: str) -> None:
    """The title slide with the opening question, and what one will be able to do."""
    opening, _, goals = BADGES.sub("", source).partition(GOALS)
    opening = opening.partition("\n")[2].strip()
    asked = [each for each in prose.sentences(opening) if each.rstrip("*").endswith("?") and len(each) <= 160]
    text = asked[:1] or prose.lead(" ".join(prose.sentences(opening)[:2]))
    deck.begin(Block("title", deck.title, opening), Block("text", text), stack=True)
    if goals:
        deck.begin(Block("section", GOALS.strip("*")))
        _prose(deck, goals)


def _prose(deck: Deck, source: str, leaving_out: bool = False) -> bool:
    """A Markdown cell: what stands out is shown, and all of it is said. Returns whether the next is left out with it."""
    parts, first = list(prose.chunks(versions.without_folds(source))), True
    for number, (kind, text) in enumerate(parts, start=1):
        marks, _, words = text.partition(" ")
        leaving_out = words == "Glossary" if marks == "##" else leaving_out
        content: Any = text
        if leaving_out or text.startswith("**Your progress.**"):
            continue
        if kind == "heading":
            deck.begin(Block("section" if marks == "##" else kind, words), stack=marks == "##")
            first = True
            continue
        if kind == "paragraph" and text.startswith("**") and text.count(" · ") > 1:  # a list in one line
            words, _, listed = text.partition(":** ")
            deck.add("text", f"{words}:**")
            kind, content = "bullet_list", listed.replace(" · ", "\n- ")
        is_paragraph = kind == "paragraph"
        if kind.endswith("_list"):
            items = re.split(r"(?m)^(?:[-*]|\d+\.) +", content)
            content = [" ".join(item.split()) for item in items if item.strip()]
        elif kind in REMARKS:
            content = prose.lead(text, 230)
        elif re.fullmatch(r"!\[[^\]]*\]\([^)]*\)", text):
            kind = "picture"
        elif text.startswith("**Exercise"):
            kind, deck.full = "task", any(block.kind not in HEADINGS for block in deck.shown)
        elif is_paragraph:
            kind, content = "text", prose.shown(text, first=first, last=number == len(parts))
        elif kind == "fence":
            kind, content = "code", re.sub(r"^```.*\n|\n```\s*$", "", text)
        elif kind == "table":
            content = pages.markdown(text)
        deck.add(kind, content, text) if content else deck.say(text)
        first = not is_paragraph
    return leaving_out


def _code(deck: Deck, cell: NotebookNode) -> None:
    """A code cell: its quiz, or its code and then what it shows."""
    if asked := re.search(r"""(?m)^quiz\(["'](\d\d)["']\)""", cell.source):
        questions = pages.questions(asked[1])
        deck.add("text", f"{len(questions)} questions. Choose first: the slide below each has the answers.")
        for numbered in enumerate(questions, start=1):
            deck.begin(Block("quiz", numbered))
            deck.begin(Block("answers", numbered))
        deck.full = True
        return
    shown, source = [_output(output) for output in cell.outputs], cell.source
    kinds = {kind for kind, content in shown if content}
    printed = "\n".join(content for kind, content in shown if kind == "output")
    on_figure = kinds == {"output"} and deck.full and deck.figure and not re.search("(?m)^(?!✓ )", printed)
    if on_figure or kinds & {"figure", "table"}:  # what was checked beside the figure is for the speaker
        if checks := re.findall(r"(?m)^✓ .*$", printed):
            deck.say("\n".join(["Checked in the notebook:\n\n```", *checks, "```"]))
        if on_figure:
            return
        shown = [
            (kind, re.sub(r"(?m)^✓ .*\n?", "", text) if kind == "output" else text) for kind, text in shown
        ]
        source = prose.essential(source)
    if source.strip() and kinds != {"quiet"}:
        if deck.figure:
            deck.begin()
        deck.add("code", source)
        if named := cell.metadata.get("course", {}).get("source"):
            names = [name.partition(":") for name in ([named] if isinstance(named, str) else named)]
            objects, file = ", ".join(f"`{name}`" for _, _, name in names), names[0][0].replace(".", "/")
            deck.now.insert(-1, Block("quiet", f"{objects} in {file}.py"))
    for kind, content in shown:
        if kind == "quiet" and not deck.takes(Block(kind, content)):
            deck.say(content)
        elif content:
            deck.add(kind, content.rstrip("\n") if kind == "output" else content)
    deck.full = True


def _output(output: NotebookNode) -> tuple[str, Any]:
    """What a slide shows of an output, and its kind."""
    data = output.get("data", {})
    if "image/png" in data:
        picture, alt = "".join(data["image/png"].split()), output.metadata.get("image/png", {}).get("alt", "")
        width, height = struct.unpack(">II", base64.b64decode(picture[:44])[16:24])
        return "figure", {"data": picture, "alt": alt, "width": width, "height": height}
    text = f"{output.ename}: {output.evalue}" if output.output_type == "error" else output.get("text", "")
    text = UNSHOWN.sub("", text or data.get("text/html") or data.get("text/plain", "")).rstrip("\n")
    if set(data) == {"text/plain"} and output.output_type == "display_data":
        return "quiet", html.escape(" ".join(text.split()), quote=False)
    return "table" if "text/html" in data else "output", text


class Slides(Preprocessor):
    """What nbconvert calls before it sets the template, which finds the slides under ``resources["deck"]``."""

    def preprocess(self, notebook: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        """Sort the cells into slides; LectureError if they do not begin with a title, or ask for a quiz that is not there."""
        cells, leaving_out = notebook.cells, False
        if not (title := re.match(r"# (?:(\d\d) · )?(.+)", cells[0].source if cells else "")):
            raise notebooks.LectureError("It does not begin with its title, `# 08 · BERT ...`.")
        resources["deck"] = deck = Deck(title[1] or "", title[2].strip())
        _opening(deck, cells[0].source)
        for cell in cells[1:]:
            wanted = cell.metadata.get("slideshow", {}).get("slide_type", "-")
            if wanted == "skip" or "solution" in cell.metadata.get("tags", []) or cell.cell_type == "raw":
                continue
            if wanted == "notes":
                deck.say(prose.unfolded(cell.source))
                continue
            if wanted in ("slide", "subslide"):
                deck.begin(stack=wanted == "slide" and not cell.source.startswith("## "))
            deck.full &= wanted != "fragment"
            before = [*deck.now]
            if cell.cell_type == "markdown":
                leaving_out = _prose(deck, cell.source, leaving_out)
            elif wanted != "-" or not prose.for_the_machine(cell):
                _code(deck, cell)
            for block in deck.now:
                block.fragment |= wanted == "fragment" and block not in before
        for stack in deck.stacks:
            stack[:] = [slide for slide in stack if any(block.kind != "note" for block in slide)]
        deck.stacks = [stack for stack in deck.stacks if stack]
        return notebook, resources


def page(notebook: NotebookNode) -> tuple[str, Deck]:
    """The slides of a lecture as a page, and as they are; LectureError as :class:`Slides`, or if a formula cannot be set."""
    template = (HERE / "slides.html").read_text(encoding="utf-8")
    exporter = TemplateExporter(raw_template=template, preprocessors=[Slides], filters=FILTERS)
    text, resources = exporter.from_notebook_node(notebook)
    return text, resources["deck"]


def write_slides(paths: list[Path], out: Path) -> list[Deck]:
    """Make ``OUT/NN_name.html`` for each lecture, and ``OUT/index.html``; nothing is written before all are made.

    Raises:
        LectureError: for a lecture that cannot be shown, with its name, or if ``out`` holds something else than slides.
    """
    notebooks.refuse_foreign(out, "*.html", "reveal")
    files = {f"reveal/{Path(name).name}": (REVEAL / name).read_text(encoding="utf-8") for name in FILES}
    files["reveal/slides.css"] = (HERE / "slides.css").read_text(encoding="utf-8")
    decks = {}
    for path in paths:
        with notebooks.named(path):
            files[path.stem + ".html"], decks[path.stem + ".html"] = page(notebooks.read(path))
    index = jinja2.Template((HERE / "slides_index.html").read_text(encoding="utf-8"), autoescape=True)
    files["index.html"] = index.render(decks=decks, inline=pages.inline)
    for name, text in files.items():
        notebooks.write_text(text, out / name)
    return [*decks.values()]
