"""Slides from the lectures, by rule: a lecture is prose, a slide is not, and nobody marks either up by hand.

A heading begins a stack of slides. Of the prose a slide shows what stands out (first sentences, bold terms, formulas,
lists, boxes), and the speaker's notes have all of it. Figures get the room. What is meant for the one who sits at the
notebook (set-up, imports, checks, hints, solutions) is left out. Where an author has set a cell's slide type
(``metadata.slideshow.slide_type``), that counts.

Heights are estimated, in pixels of a frame of 1280 by 720, to decide what still fits onto a slide; what turns out
taller than estimated can be scrolled.
"""

from __future__ import annotations

import ast
import base64
import functools
import html
import importlib.util
import math
import os
import re
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from course_tools import notebooks as lectures
from course_tools import pages, versions
from course_tools.notebooks import LectureError

HERE = Path(__file__).parent
WIDTH, ROOM, GAP = 1140, 590, 18  # what a frame has inside, and what is left free between two blocks
BESIDE, ASIDE = 720, 390  # a figure, and the text beside it
SHARE = 0.64  # of the size that a figure has alone on a slide, it keeps at least so much
LEAD, KEY = 270, 420  # characters of a paragraph that a slide shows; the same with its bold terms
SHORT = 14  # lines of code that can be read in passing
CODE_SIZES = ((8, 23), (14, 20), (21, 18), (math.inf, 16.5))  # lines, pixels
LEFT_OUT = ("Glossary",)
SMALL = ("Further reading",)
DRAWING = ("plotting.", "figure.", "widgets.")  # calls that draw: the figure shows what they did
QUIET = ("expect", "record", "print", "display")  # calls that check or show: what they show is on the slide
OWN_BUSINESS = ("check_", "my_progress")  # calls that answer the one at the notebook
INNER_DETAILS = re.compile(r"\n*<details>(?:(?!<details>).)*?</details>", re.DOTALL)
TRAP = re.compile(r"(?<!\*)\*(Trap: (?:`[^`]*`|\$[^$]*\$|\*\*[^*]+\*\*|[^*`$])+)\*(?!\*)")
SEE = re.compile(r"\*\*What (?:you should see|to look at)[:.]?\*\*")
ABBREVIATED = re.compile(r"(?:\bet al|\be\.g|\bi\.e|\bvs|\bcf|\bfig|\bno|\bapprox|\b[A-Z])\.$", re.IGNORECASE)
BADGES = re.compile(r"(?:\[!\[[^\]]*\]\([^)]*\)\]\([^)]*\)\s*)+$")
ANSI = re.compile(r"\x1b\[[0-9;]*m")
NEEDED = ("jinja2", "latex2mathml", "nbconvert", "pygments", "sphinx_revealjs")
REVEAL = ("LICENSE", "dist/reset.css", "dist/reveal.css", "dist/reveal.js", "plugin/notes/notes.js")


@dataclass
class Block:
    """Something that a slide shows: what it is, its HTML, and the text by which its height is estimated."""

    kind: str
    html: str
    text: str = ""
    size: float = 28
    padding: int = 0
    wide: float = 0.51  # of a letter's height, in the widest of the usual fonts
    picture: tuple[int, int] | None = None

    def height(self, width: int = WIDTH) -> float:
        """Pixels that it takes in a column of this width; for a figure see :func:`arrangements`."""
        letters = max(1.0, (width - 2 * self.padding) / (self.wide * self.size))
        lines = sum(max(1, math.ceil(len(line) / letters)) for line in self.text.split("\n"))
        between = 0.5 * self.size * self.text.count("\n") if self.reads else 0
        return lines * self.size * 1.4 + between + 1.2 * self.padding

    @property
    def reads(self) -> bool:
        """It is text, which can be set in any width."""
        return self.kind in ("text", "box", "quiet")


@dataclass
class Slide:
    """What is shown, top to bottom, and the notes of the one who speaks."""

    kind: str = "plain"
    blocks: list[Block] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def figure(self) -> Block | None:
        """Its figure; there is one at most."""
        return next((block for block in self.blocks if block.picture), None)

    def fits(self, block: Block) -> bool:
        """Whether it can be added without pushing something out or making the figure too small."""
        if block.picture and (self.figure or any(_stands_alone(other) for other in self.blocks)):
            return False
        grown = Slide(blocks=[*self.blocks, block])
        if figure := grown.figure:
            alone = arrangements(Slide(blocks=[figure]))["below"]
            return max(arrangements(grown).values()) >= SHARE * alone
        return stacked(grown.blocks) <= ROOM


@dataclass
class Deck:
    """The slides of a lecture: stacks side by side, in each a slide and those below it."""

    number: str
    title: str
    stacks: list[list[Slide]] = field(default_factory=list)
    headings: list[str] = field(default_factory=list)
    leaving_out: bool = False  # until the next heading
    full: bool = False  # a cell has been shown: only a remark on it may still join the slide

    @property
    def now(self) -> Slide:
        """The slide that is being filled."""
        return self.stacks[-1][-1]

    @property
    def count(self) -> int:
        """How many slides there are."""
        return sum(map(len, self.stacks))

    def stack(self, heading: str, kind: str = "section") -> None:
        """Begin a stack with its first slide."""
        self.stacks.append([Slide(kind)])
        self.headings.append(heading)
        self.full = False

    def slide(self, kind: str = "plain") -> Slide:
        """Begin a slide below the last one; one that is still empty is taken instead."""
        if self.now.blocks:
            self.stacks[-1].append(Slide("small" if self.stacks[-1][0].kind == "small" else kind))
        self.full = False
        return self.now

    def add(self, block: Block, remark: bool = False) -> None:
        """Show a block, where it fits: a remark may join a slide that is full."""
        if self.full and not remark:
            self.slide()
        elif not self.now.fits(block) and not _tighten(self.now, block) and not _shares(self.now, block):
            figure = self.now.figure
            place = self.now.blocks.index(figure) if figure else len(self.now.blocks)
            kept, moved = self.now.blocks[:place], self.now.blocks[place:]
            if remark and kept and Slide(blocks=moved).fits(block):  # a remark stays with its figure
                self._instead(kept, moved)
                self.full = True
            else:
                self.break_before(block)
        self.now.blocks.append(block)

    def break_before(self, block: Block) -> None:
        """Begin a slide for a block, and take along the words that introduce it if more than a heading stays."""
        if not self.now.blocks:
            return
        *kept, last = self.now.blocks
        if block.picture:
            self._instead(self.now.blocks, [])
        elif last.kind == "text" and any(other.kind != "heading" for other in kept) and not block.reads:
            self._instead(kept, [last])
        else:
            self.slide()

    def _instead(self, kept: list[Block], moved: list[Block]) -> None:
        """Begin a slide with what moves; a line or two of code that stay behind alone are for the notes."""
        if kept and all(block.kind == "code" and block.text.count("\n") < 3 for block in kept):
            self.now.notes += [block.html for block in kept]
            self.now.blocks = moved
            return
        self.now.blocks = kept
        self.slide().blocks += moved


def _stands_alone(block: Block) -> bool:
    return not (block.kind in ("text", "heading") or (block.kind == "code" and block.text.count("\n") < 6))


def _shares(slide: Slide, block: Block) -> bool:
    """Long code scrolls in its own box: the words that introduce it and the lines that it prints can stay with it."""
    if block.kind != "code" and (block.picture or block.height() > 0.3 * ROOM):
        return False
    scrolling = [
        other for other in [*slide.blocks, block] if other.kind == "code" and other.text.count("\n") >= SHORT
    ]
    others = [other for other in [*slide.blocks, block] if not any(other is code for code in scrolling)]
    return len(scrolling) == 1 and slide.figure is None and stacked(others) + GAP + 0.45 * ROOM <= ROOM


def _tighten(slide: Slide, block: Block) -> bool:
    """Set the slide's code smaller, so that what it prints can stand below it."""
    code = [place for place, other in enumerate(slide.blocks) if other.kind == "code"]
    if block.kind not in ("output", "table", "box", "quiet") or not code:
        return False
    for size in (18, 16.5):
        tried = list(slide.blocks)
        tried[code[-1]] = code_block(tried[code[-1]].text, size=size)
        if Slide(blocks=tried).fits(block):
            slide.blocks = tried
            return True
    return False


def stacked(blocks: Iterable[Block], width: int = WIDTH) -> float:
    """The height of blocks one below the other, figures not counted."""
    heights = [block.height(width) for block in blocks if not block.picture]
    return sum(heights) + GAP * len(heights)


def arrangements(slide: Slide) -> dict[str, float]:
    """By how much the slide's figure is enlarged with the text above and below it, and with the text beside it."""
    figure = slide.figure
    if not figure or not figure.picture:
        return {}
    width, height = figure.picture
    others = [block for block in slide.blocks if block is not figure]
    found = {"below": max(0.0, min(WIDTH / width, (ROOM - stacked(others)) / height))}
    if others and all(block.reads for block in others) and stacked(others, ASIDE) <= ROOM:
        found["beside"] = min(BESIDE / width, ROOM / height)
    return found


# --- words -----------------------------------------------------------------------------------------------------------


def plain(text: str) -> str:
    """Markdown without its marks, to count letters by."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return re.sub(r"[*`$]|\\[a-zA-Z]+|[{}]", "", text)


def sentences(text: str) -> list[str]:
    """The sentences of a paragraph; none ends inside code, a formula, an emphasis, a quotation or brackets."""
    found, start = [], 0
    for match in re.finditer(r"[.!?…][”\"’)*]*\s+(?=[^a-z\s])", text):
        piece = text[start : match.end()].strip()
        if not ABBREVIATED.search(piece.rstrip('”"’)*')) and _whole(piece):
            found.append(piece)
            start = match.end()
    return [*found, rest] if (rest := text[start:].strip()) else found


def _whole(piece: str) -> bool:
    bare = re.sub(r"`[^`]*`|\$[^$]*\$", "", piece)
    return (
        not re.search(r"[`$]", bare)
        and bare.count("(") <= bare.count(")")
        and bare.count("“") <= bare.count("”")
        and bare.count('"') % 2 == 0
        and bare.count("**") % 2 == 0
        and bare.replace("**", "").count("*") % 2 == 0
    )


def lead(text: str, most: int = LEAD) -> list[str]:
    """What a slide shows of a paragraph: its first two sentences or so, and a later one that holds a bold term.

    Sentences in brackets are left out. A sentence that says nothing by itself ("So it does.") takes the next along.
    """
    parts = [part for part in sentences(text) if not re.fullmatch(r"\(.*\)", part, re.DOTALL)]
    if not parts:
        return []
    count = 1
    while count < len(parts) and (
        (count < 2 and len(plain(" ".join(parts[: count + 1]))) <= most)
        or len(plain(" ".join(parts[:count]))) < 60
    ):
        count += 1
    shown = [" ".join(parts[:count])]
    for part in parts[count:]:
        if "**" in part and len(plain(" ".join([*shown, part]))) <= max(most, KEY):
            shown.append(part)
    return shown


def _announces(text: str) -> str | None:
    """The last sentence of a paragraph, where it leads over to what comes next."""
    last = sentences(text)[-1]
    return last if last.rstrip("*").endswith((":", "?")) and len(plain(last)) <= LEAD else None


def unfolded(source: str) -> str:
    """Markdown without what is folded away in it: hints and answers, one inside the other."""
    while (shorter := INNER_DETAILS.sub("", source)) != source:
        source = shorter
    return source


def chunks(source: str) -> Iterator[tuple[str, str]]:
    """The pieces of a Markdown cell in order, as (kind, source); boxes are cut out of their paragraph.

    Kinds: heading, list, table, formula, code, picture, see, trap, text.
    """
    fences = re.split(r"(?ms)(^```.*?^```[ \t]*$)", unfolded(source))
    for number, part in enumerate(fences):
        if number % 2:
            yield "code", part
            continue
        for piece in re.split(r"\n\s*\n|(?=^#{1,6} )|(?<=\n)(?=\$\$)|(?<=\$\$)\n", part, flags=re.MULTILINE):
            if not (piece := piece.strip("\n")).strip():
                continue
            for sign, kind in (
                (r"#{1,6} ", "heading"),
                (r"(?:[-*]|\d+\.) ", "list"),
                (r"\|", "table"),
                (r"\$\$", "formula"),
                (r"!\[[^\]]*\]\([^)]*\)$", "picture"),
            ):
                if re.match(sign, piece):
                    yield kind, piece
                    break
            else:
                yield from _boxes(piece)


def _boxes(paragraph: str) -> Iterator[tuple[str, str]]:
    for number, part in enumerate(TRAP.split(paragraph)):
        if part := part.strip():
            yield ("trap" if number % 2 else "see" if SEE.match(part) else "text"), part


def items(source: str) -> list[str]:
    """The items of a list, without their marks."""
    found = re.split(r"(?m)^(?:[-*]|\d+\.) +", source)
    return [" ".join(line.strip() for line in item.splitlines()) for item in found if item.strip()]


# --- HTML ------------------------------------------------------------------------------------------------------------


@functools.cache
def _renderer(folder: Path) -> Any:
    # For pictures that lie beside the lectures, in this folder.
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    class Renderer(IPythonRenderer):
        def inline_math(self, body: str) -> str:
            return pages.formula(body, display=False)

        def block_math(self, body: str) -> str:
            return pages.formula(body, display=True)

        def image(self, text: str, url: str, title: str | None = None) -> str:
            if re.match(r"(?:https?:)?//", url):  # slides need no network
                return html.escape(text)
            return super().image(text, url, title)

    return MarkdownWithMath(
        renderer=Renderer(escape=False, exclude_anchor_links=True, embed_images=True, path=str(folder))
    )


def markdown(source: str) -> str:
    """Markdown as HTML, formulas as MathML."""
    return _renderer(lectures.notebooks_folder()).render(source).strip()


def _inline(source: str) -> str:
    return re.sub(r"^<p>|</p>$", "", markdown(source))


def _paragraphs(kind: str, parts: list[str], size: float = 28, mark: str = "") -> Block:
    inner = "".join(f"<p>{_inline(part)}</p>" for part in parts)
    padding = 20 if kind == "box" else 0
    shown = f'<div class="{f"{kind} {mark}".strip()}">{inner}</div>'
    return Block(kind, shown, "\n".join(map(plain, parts)), size, padding)


def _formula_block(source: str) -> Block:
    rows = re.sub(r"\\(?:begin|end)\{.*?\}|\\[a-zA-Z]+|[{}_^$]", "", source).split(r"\\")
    longest = max(map(len, rows))
    size = 30 if longest < 50 else 25 if longest < 75 else 21
    shown = f'<div class="formula" tabindex="0" style="font-size:{size}px">{markdown(source)}</div>'
    return Block("formula", shown, "\n" * (len(rows) - 1), 1.4 * size, 16)


def code_block(source: str, language: str = "python", size: float = 99) -> Block:
    """Code in colour; the more lines, the smaller, down to a size that can still be read."""
    from pygments import highlight  # type: ignore[import-untyped]
    from pygments.formatters import HtmlFormatter  # type: ignore[import-untyped]
    from pygments.lexers import get_lexer_by_name  # type: ignore[import-untyped]

    count = source.count("\n") + 1
    fitting = (WIDTH - 44) / 0.602 / max(1, *map(len, source.split("\n")))
    size = min(size, next(size for lines, size in CODE_SIZES if count <= lines), max(16.5, round(fitting, 1)))
    lexer = get_lexer_by_name("python" if language in ("python", "ipython3") else "text")
    marked = highlight(source, lexer, HtmlFormatter(nowrap=True)).rstrip("\n")
    long = " long" if count > SHORT else ""
    shown = f'<pre class="code{long}" tabindex="0" style="font-size:{size}px"><code>{marked}</code></pre>'
    return Block("code", shown, source, size, 20, 0.602)


def output_block(text: str) -> Block:
    """What a cell printed."""
    text = ANSI.sub("", text).rstrip("\n")
    longest = max(map(len, text.split("\n")))
    fitting = round((WIDTH - 40) / 0.602 / max(1, longest), 1)
    size = min(20, fitting) if fitting >= 16 else 20  # columns stay columns; what is far too long is broken
    block = Block("output", "", text, size, 16, 0.602)
    if block.height() > ROOM:
        block.size = min(size, 17)
    long = " long" if block.height() > 0.5 * ROOM else ""
    block.html = (
        f'<pre class="output{long}" tabindex="0" style="font-size:{block.size}px">{html.escape(text)}</pre>'
    )
    return block


def table_block(source: str, prose: bool = False) -> Block:
    """A table, its letters as large as its columns allow; one that holds ``prose`` is broken into lines instead."""
    source = re.sub(r"(?s)<style.*?</style>|<script.*?</script>| style=\"[^\"]*\"| border=\"\d\"", "", source)
    cells = [
        [
            html.unescape(re.sub(r"<[^>]*>", "", cell))
            for cell in re.findall(r"(?s)<t[hd].*?>(.*?)</t[hd]>", row)
        ]
        for row in re.findall(r"(?s)<tr.*?</tr>", source)
    ]
    head, rows = (
        [max(map(len, [*cell.split(), ""])) for cell in (cells or [[]])[0]],
        cells[1:],
    )  # it may be broken
    widths = [max(map(len, column)) for column in zip(*rows, strict=False)]
    letters = sum(map(max, head, widths)) if widths else sum(head)
    dense = len(head) > 12
    fitting = int(WIDTH / max(1, 0.58 * letters + (0.7 if dense else 1.25) * len(head)))
    prose = prose or fitting < 12
    size = min(24, max(20, fitting)) if prose else min(24, fitting)
    lines = math.ceil(letters * 0.57 * size / WIDTH) if prose else 1
    mark = " prose" * prose + " dense" * dense + " long" * (len(cells) > 12)
    shown = f'<div class="table{mark}" tabindex="0" style="font-size:{size}px">{source.strip()}</div>'
    return Block("table", shown, "\n" * max(0, lines * len(cells) - 1), size * 1.25, 8)


def figure_block(data: str, alt: str) -> Block:
    """A picture (PNG, base64), never enlarged so far that it blurs."""
    data = "".join(data.split())
    width, height = struct.unpack(">II", base64.b64decode(data[:44])[16:24])
    limits = f"max-width:{1.6 * width:.0f}px;max-height:{1.6 * height:.0f}px"
    shown = (
        f'<figure><img src="data:image/png;base64,{data}" alt="{html.escape(alt)}" style="{limits}"></figure>'
    )
    return Block("figure", shown, picture=(width, height))


# --- cells -----------------------------------------------------------------------------------------------------------


def deck(notebook: NotebookNode) -> Deck:
    """The slides of a lecture.

    Raises:
        LectureError: if it does not begin with its title, or a formula in it cannot be set.
    """
    cells = notebook.cells
    title = re.match(r"# (?:(\d\d) · )?(.+)", cells[0].source if cells else "")
    if not title:
        raise LectureError("It does not begin with its title, `# 08 · BERT ...`.")
    made = Deck(title[1] or "", title[2].strip())
    _opening(made, cells[0].source)
    for cell in cells[1:]:
        wanted = cell.metadata.get("slideshow", {}).get("slide_type", "-")
        if wanted == "skip" or _tagged(cell, "solution") or cell.cell_type == "raw":
            continue
        if wanted == "notes":
            made.now.notes.append(markdown(unfolded(cell.source)))
            continue
        before = [*made.now.blocks]
        if wanted == "slide" and not re.match(r"## ", cell.source):
            made.stack(made.headings[-1], "plain")
        elif wanted == "subslide":
            made.slide()
        elif wanted == "fragment":
            made.full = False
        if cell.cell_type == "markdown":
            _prose(made, cell.source)
        elif wanted != "-" or not _for_the_machine(cell):
            _code(made, cell)
        if wanted == "fragment":
            for block in made.now.blocks:
                if not any(block is other for other in before):
                    # into the first tag: a list item stays the child of its list
                    block.html = re.sub(
                        r'^<(\w+)(?: class="([^"]*)")?', r'<\1 class="fragment \2"', block.html
                    )
    filled = [[slide for slide in stack if slide.blocks] for stack in made.stacks]
    made.headings = [heading for heading, stack in zip(made.headings, filled, strict=True) if stack]
    made.stacks = [stack for stack in filled if stack]
    return made


def _tagged(cell: NotebookNode | None, tag: str) -> bool:
    return cell is not None and tag in cell.metadata.get("tags", [])


def _opening(made: Deck, source: str) -> None:
    """The title slide with the opening question, and what one will be able to do."""
    made.stack("", "title")
    name, _, rest = made.title.partition(": ")
    head = f'<p class="number">{made.number}</p>' if made.number else ""
    head += f"<h1>{_inline(name)}</h1>" + (f'<p class="subtitle">{_inline(rest)}</p>' if rest else "")
    made.now.blocks.append(Block("heading", head, f"{name}\n{rest}", 60))
    found = [(kind, text) for kind, text in chunks(source) if kind != "heading" and not BADGES.match(text)]
    goals = next((i for i, (_, text) in enumerate(found) if text.startswith("**What you will")), len(found))
    made.now.notes += [markdown(text) for _, text in found[:goals]]
    opening = [sentence for kind, text in found[:goals] if kind == "text" for sentence in sentences(text)]
    asked = [sentence for sentence in opening if sentence.rstrip("*").endswith("?") and len(sentence) <= 160]
    if opening:
        made.now.blocks.append(_paragraphs("text", asked[:1] or lead(" ".join(opening[:2])), 30))
    if goals < len(found):
        made.slide().blocks.append(
            Block("heading", f"<h2>{_inline(found[goals][1].strip('*'))}</h2>", " ", 44)
        )
        for kind, text in found[goals + 1 :]:
            if kind == "text":
                made.now.blocks.append(_paragraphs("quiet", [text], 20))
                made.now.notes.append(markdown(text))
            else:
                _chunk(made, kind, text, first=True, last=False)


def _prose(made: Deck, source: str) -> None:
    """A Markdown cell: what stands out is shown, and all of it is said in the notes."""
    for told, left in versions.FOLDED.items():
        source = source.replace(told, left)
    parts, first = list(chunks(source)), True
    for number, (kind, text) in enumerate(parts):
        last = number == len(parts) - 1
        if kind == "heading" and text.startswith("## "):
            made.leaving_out = text[3:].strip() in LEFT_OUT
        if made.leaving_out or text.startswith("**Your progress.**"):
            continue
        if kind == "heading":
            _heading(made, text)
        elif kind == "text" and text.startswith("**Exercise"):
            if any(block.kind != "heading" for block in made.now.blocks):
                made.slide()
            made.add(_paragraphs("text", [text], 23, "task"))
            made.now.notes.append(markdown(text))
        else:
            _chunk(made, kind, text, first, last)
        first = kind != "text"


def _heading(made: Deck, source: str) -> None:
    marks, _, words = source.partition(" ")
    if len(marks) > 2:
        made.slide()
        made.add(Block("heading", f"<h3>{_inline(words)}</h3>", plain(words), 34))
        return
    made.stack(words, "small" if words.strip() in SMALL else "section")
    number, dot, name = words.partition(" · ")
    shown = f'<span class="number">{number}</span> {_inline(name)}' if dot else _inline(words)
    made.add(Block("heading", f"<h2>{shown}</h2>", plain(words), 46, 10))


def _chunk(made: Deck, kind: str, text: str, first: bool, last: bool) -> None:
    """One piece of prose: ``first`` of a run of paragraphs, ``last`` of its cell."""
    small = made.stacks[-1][0].kind == "small"
    blocks, remark = [], False
    if kind == "list":
        blocks = _list(made, items(text), re.match(r"\d", text) is not None)
    elif kind == "text" and text.startswith("**") and text.count(" · ") > 1:  # a list in one line
        begun, _, rest = text.partition(":** ")
        made.add(_paragraphs("text", [f"{begun}:**"]))
        blocks = _list(made, rest.split(" · "), False)
    elif kind == "table":
        blocks = [table_block(markdown(text), prose=True)]
    elif kind == "formula":
        blocks = [_formula_block(text)]
    elif kind == "code":
        language = (re.match(r"```(\w+)", text) or ["", "text"])[1]
        blocks = [code_block(re.sub(r"^```.*\n|\n```\s*$", "", text), language)]
    elif kind == "picture":
        blocks = [Block("picture", f'<div class="picture">{_inline(text)}</div>', "\n" * 7, 30)]
    elif kind in ("see", "trap"):
        blocks, remark = [_paragraphs("box", lead(text, 230), 24, kind)], True
    else:
        told = lead(text) if first or text.startswith("**") else [s for s in sentences(text) if "**" in s]
        over = _announces(text) if last else None
        if over and not any(over in part for part in told):
            told = [*told, over]
        blocks = [_paragraphs("text", told)] if told else []
    for block in blocks:
        made.add(block, remark)
    if not small:
        made.now.notes.append(markdown(text))


def _list(made: Deck, listed: list[str], numbered: bool) -> list[Block]:
    """The items of a list, as large as lets them stand on the slide together, or else on one of their own."""
    small = made.stacks[-1][0].kind == "small"
    shown = [item if small or len(plain(item)) <= 200 else " ".join(lead(item, 160)[:1]) for item in listed]

    mark = ' value="{}"' if numbered else ""

    def blocks(size: float) -> list[Block]:
        return [
            Block(
                "item",
                f'<li{mark.format(number)} style="font-size:{size}px">{_inline(item)}</li>',
                plain(item),
                size,
                4,
            )
            for number, item in enumerate(shown, start=1)
        ]

    sizes = (20, 18, 16) if small else (28, 26, 24, 22)
    if made.full:
        made.slide()

    def fitting() -> float | None:
        return next((size for size in sizes if stacked([*made.now.blocks, *blocks(size)]) <= ROOM), None)

    if not fitting() and any(block.kind != "heading" for block in made.now.blocks):
        made.break_before(blocks(22)[0])
    return blocks(fitting() or sizes[-1])


def _for_the_machine(cell: NotebookNode) -> bool:
    """Set-up, imports, the table of sizes, and the checks of exercises: nothing to look at."""
    if cell.metadata.get("course", {}).get("role") == "setup" or cell.source.startswith("# @title"):
        return True
    if re.search(r"(?m)^size = course\.choose\(", cell.source):
        return True
    try:
        statements = ast.parse(cell.source).body
    except SyntaxError:
        return False
    checks = [node for node in statements if _called(node).startswith(OWN_BUSINESS)]
    return all(isinstance(node, ast.Import | ast.ImportFrom) or node in checks for node in statements)


def _called(node: ast.stmt) -> str:
    """The function that a statement calls, with dots; empty if it does something else."""
    value = getattr(node, "value", None) if isinstance(node, ast.Expr | ast.Assign) else None
    return ast.unparse(value.func) if isinstance(value, ast.Call) else ""


def _names(nodes: list[ast.stmt], context: type = ast.Load) -> set[str]:
    names = (part for node in nodes for part in ast.walk(node) if isinstance(part, ast.Name))
    return {name.id for name in names if isinstance(name.ctx, context)}


def _constant(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and all(
        isinstance(part, ast.Constant | ast.Tuple | ast.Load) for part in ast.walk(node.value)
    )


def essential(source: str) -> str:
    """Code for a slide beside a figure or a table: without what only sets a constant, draws, prints or checks."""
    try:
        statements = ast.parse(source).body
    except SyntaxError:
        return source
    checks = [node for node in statements if _called(node) == "expect"]
    for_checks = _names(checks) - _names([node for node in statements if node not in checks])
    dropped: set[int] = set()
    for node in statements:
        called, set_here = _called(node), _names([node], ast.Store)
        only_checked = isinstance(node, ast.Assign) and set_here and set_here <= for_checks
        if called.startswith(DRAWING) or called in QUIET or _constant(node) or only_checked:
            dropped.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = [line for number, line in enumerate(source.split("\n"), start=1) if number not in dropped]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")


def _code(made: Deck, cell: NotebookNode) -> None:
    """A code cell: its quiz, or its code and then what it shows."""
    if asked := re.search(r"""(?m)^quiz\(["'](\d\d)["']\)""", cell.source):
        _quiz(made, asked[1])
        return
    shown = list(_outputs(cell))
    seen = any(block.kind in ("figure", "table") for block in shown)
    source = essential(cell.source) if seen else cell.source
    only_widget = shown and all(block.kind == "quiet" for block in shown)
    checks = shown and all(line.startswith("✓ ") for block in shown for line in block.text.split("\n"))
    if checks and made.now.figure and made.full:  # they are about that figure
        for block in shown:
            _without_checks(made, block)
        return
    if seen:  # what was checked beside the figure is for the speaker
        shown = [block for block in (_without_checks(made, block) for block in shown) if block]
    if source and not only_widget:
        if made.now.figure:
            made.slide()
        made.add(code_block(source))
        if named := cell.metadata.get("course", {}).get("source"):
            names = [named] if isinstance(named, str) else named
            said = ", ".join(f"<code>{html.escape(name.partition(':')[2])}</code>" for name in names)
            module = html.escape(names[0].partition(":")[0].replace(".", "/"))
            made.now.blocks.insert(-1, Block("quiet", f'<p class="quiet">{said} in {module}.py</p>', " ", 18))
    for block in shown:
        if block.kind == "quiet" and not made.now.fits(block):
            made.now.notes.append(block.html)
        else:
            made.add(block, remark=block.kind == "quiet")
    made.full = True


def _without_checks(made: Deck, block: Block) -> Block | None:
    if block.kind != "output":
        return block
    lines = block.text.split("\n")
    if checks := [line for line in lines if line.startswith("✓ ")]:
        listed = "".join(f"<li>{html.escape(line[2:])}</li>" for line in checks)
        made.now.notes.append(f"<p>Checked in the notebook:</p><ul>{listed}</ul>")
    rest = "\n".join(line for line in lines if not line.startswith("✓ "))
    return output_block(rest) if rest.strip() else None


def _outputs(cell: NotebookNode) -> Iterator[Block]:
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        if output.output_type == "stream" and output.text.strip():
            yield output_block(output.text)
        elif output.output_type == "error":
            yield output_block(f"{output.ename}: {output.evalue}")
        elif "image/png" in data:
            yield figure_block(data["image/png"], output.metadata.get("image/png", {}).get("alt", ""))
        elif "text/html" in data:
            yield table_block(data["text/html"])
        elif "text/plain" in data and output.output_type == "display_data":
            said = html.escape(" ".join(data["text/plain"].split()), quote=False)
            told = " ".join(lead(said)[:1])
            yield Block("quiet", f'<div class="quiet"><p>{told}</p></div>', told, 20)
        elif "text/plain" in data:
            yield output_block(data["text/plain"])


def _quiz(made: Deck, lecture: str) -> None:
    """A slide for each question, and one below it with the answers."""
    from course_utils.exercises.quiz import questions

    try:
        asked = questions(lecture)
    except ValueError as error:
        raise LectureError(str(error)) from error
    made.add(
        _paragraphs("text", [f"{len(asked)} questions. Choose first: the slide below each has the answers."])
    )
    for number, question in enumerate(asked, start=1):
        head = f"<h3>{number}. {html.escape(question.text, quote=False)}</h3>"
        for answered in (False, True):
            rows = []
            for letter, choice in zip("abcdefgh", question.choices, strict=False):
                text = html.escape(choice.text, quote=False)
                if answered:
                    sign, mark = ("✓", "right") if choice.right else ("✗", "wrong")
                    why = html.escape(choice.why, quote=False)
                    rows.append(
                        f'<li class="{mark}"><b>{sign} {letter})</b> {text}<p class="why">{why}</p></li>'
                    )
                else:
                    rows.append(f"<li><b>{letter})</b> {text}</li>")
            length = sum(len(choice.text) + answered * len(choice.why) for choice in question.choices)
            size = (23 if length < 500 else 21 if length < 800 else 19) if answered else 26
            made.slide("answers" if answered else "quiz").blocks += [
                Block("heading", head, question.text, 30),
                Block("choices", f'<ul class="choices" style="font-size:{size}px">{"".join(rows)}</ul>'),
            ]
    made.full = True


# --- pages -----------------------------------------------------------------------------------------------------------


def body(slide: Slide) -> str:
    """The inside of a slide's frame: list items gathered into lists, a figure beside its text where that shows more."""
    sizes = arrangements(slide)
    figure = slide.figure
    if figure and sizes.get("beside", 0) > 0.95 * sizes["below"]:
        texts = "".join(block.html for block in slide.blocks if block is not figure)
        return f'<div class="beside">{figure.html}<div class="aside">{texts}</div></div>'
    listed = "".join(
        block.html if block.kind != "item" else f"\x00{block.html}\x01" for block in slide.blocks
    )
    wrap: Callable[[re.Match[str]], str] = lambda found: (  # noqa: E731
        f"<ol>{found[0]}</ol>" if "<li value" in found[0] else f"<ul>{found[0]}</ul>"
    )
    return re.sub(r"(?:\x00[^\x01]*\x01)+", wrap, listed).replace("\x00", "").replace("\x01", "")


def style(slide: Slide) -> str:
    """The classes of a slide: its kind, and whether a few words are all there is."""
    words = ("text", "box", "heading") if slide.kind == "section" else ("text", "box")
    few = slide.kind in ("plain", "section") and all(block.kind in words for block in slide.blocks)
    return f"{slide.kind} alone" if few and stacked(slide.blocks) < 0.55 * ROOM else slide.kind


def _environment() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals.update(body=body, style=style, inline=_inline, plain=plain)
    return environment


def page(made: Deck) -> str:
    """The slides of a lecture as a page."""
    return _environment().get_template("slides.html").render(deck=made)


def _reveal_files() -> dict[str, bytes]:
    """reveal.js, as it comes with sphinx-revealjs: the few files that the slides need."""
    found = importlib.util.find_spec("sphinx_revealjs")
    folder = Path((found and found.origin) or "").parent / "_static" / "revealjs"
    return {f"reveal/{Path(name).name}": (folder / name).read_bytes() for name in REVEAL}


def write_slides(paths: list[Path], out: Path) -> list[Deck]:
    """Make ``OUT/NN_name.html`` for each lecture, and ``OUT/index.html``; nothing is written before all are made.

    Raises:
        LectureError: for a lecture that cannot be shown, with its name, if packages are missing, or if ``out`` holds
            something else than slides.
    """
    if absent := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise LectureError(
            f'Slides need {", ".join(absent)}: pip install -e ".[site]" in a checkout of the course.'
        )
    lectures.refuse_foreign(out, "*.html", "reveal")
    files, decks = {**_reveal_files(), "reveal/slides.css": (HERE / "slides.css").read_bytes()}, []
    for path in paths:
        try:
            decks.append(deck(lectures.read(path)))
        except LectureError as error:
            raise LectureError(f"{path.name}: {error}") from error
        files[f"{path.stem}.html"] = page(decks[-1]).encode()
    listed = list(zip((f"{path.stem}.html" for path in paths), decks, strict=True))
    files["index.html"] = _environment().get_template("slides_index.html").render(listed=listed).encode()
    for name, content in files.items():
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.{os.getpid()}.part")
        partial.write_bytes(content)
        partial.replace(target)
    return decks
