"""Drawn figures: one unit is one inch and text has fixed sizes, so that it fits its box whatever the style says."""

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Arc, FancyBboxPatch, Rectangle

from course_utils.lectures import LECTURES
from course_utils.plotting.style import COLOURS, GREY, INK, PALE, Style, canvas, finish, plain

# A piece of a word: colour, and what it is called. The pieces' own ## and [ ] say the same without colour.
PIECES = {
    "start": ("#BFDDF0", "begins a word"),
    "inside": ("#BFE6D8", "## goes on with it"),
    "special": ("#F0C77A", "special"),
    "unknown": ("#FFFFFF", "[UNK]: the text is lost"),
}

# What is trained, new or done.
NEW: Style = {"face": "#BFE6D8", "edgecolor": COLOURS["frozen"]}


def _sheet(width: float, height: float) -> tuple[Figure, Axes]:
    figure, ax = canvas(width, height)
    ax.set(xlim=(0, width), ylim=(0, height))
    ax.axis("off")
    return figure, ax


def _box(
    ax: Axes, x: float, y: float, w: float, h: float, text: str = "", face: str = "white", **style: Any
) -> None:
    size = style.pop("size", 9)
    style = {"facecolor": face, "edgecolor": GREY} | style
    ax.add_patch(FancyBboxPatch((x, y), w, h, "round,pad=0,rounding_size=0.07", **style))
    ax.text(x + w / 2, y + h / 2, text, ha="center", va="center", size=size, linespacing=1.35)


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], colour: str = GREY) -> None:
    ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": colour, "shrinkA": 1, "shrinkB": 1})


def piece_kind(piece: str) -> str:
    """Which of PIECES a piece of BERT's vocabulary is."""
    if piece == "[UNK]":
        return "unknown"
    if piece in ("[PAD]", "[CLS]", "[SEP]", "[MASK]"):
        return "special"
    return "inside" if piece.startswith("##") and len(piece) > 2 else "start"


def pieces_picture(
    rows: Sequence[tuple[Sequence[str], Sequence[int], Sequence[tuple[int, int]]]], title: str
) -> Figure:
    """Each text as a row of boxes: piece, id, and the characters that it covers, from and up to (rows are wrapped)."""
    boxes: list[tuple[float, int, float, str, str]] = []  # left, line, width, piece, what stands in it
    line = 0
    for row in rows:
        left = 0.0
        for piece, number, (start, end) in zip(*row, strict=True):
            width = 0.25 + 0.095 * max(len(piece), 5)
            if left + width > 9.2:
                left, line = 0.0, line + 1
            covers = f"{start}–{end}" if end > start else "–"
            boxes.append((left, line, width, piece, f"{piece}\n{number}\n{covers}"))
            left += width
        line += 1
    figure, ax = _sheet(max(6.5, *(left + width for left, _, width, *_ in boxes)), 0.95 * line + 0.4)
    for left, above, width, piece, text in boxes:
        kind = piece_kind(piece)
        style: Style = {"linestyle": "--", "linewidth": 1.8, "edgecolor": INK} if kind == "unknown" else {}
        y = 0.95 * (line - 1 - above) + 0.45
        _box(ax, left + 0.03, y, width - 0.06, 0.8, plain(text), PIECES[kind][0], **style)
    left = 0.03
    for colour, name in PIECES.values():
        dashed = {"linestyle": "--", "edgecolor": INK} if colour == "#FFFFFF" else {}
        _box(ax, left, 0.08, 0.2, 0.2, face=colour, **dashed)
        ax.text(left + 0.27, 0.18, name, va="center", size=8.5, color=GREY)
        left += 0.55 + 0.075 * len(name)
    return finish(figure, title)


def window_picture(words: Sequence[str], centres: Sequence[int], reach: int) -> Figure:
    """A sentence once for every centre word, its window marked: each marked neighbour makes a training pair."""
    widths = np.array([0.35 + 0.095 * len(word) for word in words])
    left = np.concatenate([[0], np.cumsum(widths)])
    figure, ax = _sheet(left[-1] + 2.2, 0.55 * len(centres) + 0.1)
    for row, centre in enumerate(centres):
        y = 0.55 * (len(centres) - 1 - row) + 0.1
        near = [0 < abs(i - centre) <= reach for i in range(len(words))]
        for i, word in enumerate(words):
            face = "#F0C77A" if i == centre else "#BFDDF0" if near[i] else "white"
            _box(ax, left[i] + 0.03, y, widths[i] - 0.06, 0.4, plain(word), face)
        text = plain(f"{sum(near)} pairs with {words[centre]!r}")
        ax.text(left[-1] + 0.15, y + 0.2, text, va="center", size=10)
    title = f"Centre (yellow) and context (blue), up to {reach} words away: the window stops where the sentence stops"
    return finish(figure, title)


def freeze_diagram(
    encoder_parameters: int, head_parameters: int, *, layers: int, sizes: Sequence[int], name: str
) -> Figure:
    """The model as boxes: a frozen encoder of so many layers under lock, a trained head of these sizes."""
    figure, ax = _sheet(9.6, 2.35)
    names = ["word\npieces", "embed-\ndings"]
    names += [f"layer\n{i}" if layers <= 6 else f"{i}" for i in range(1, layers + 1)]
    names += [f"{sizes[0]}\nnumbers", *(f"layer\n→ {size}" for size in sizes[1:])]
    starts = [0, 0.85, *np.linspace(1.7, 6.0, layers + 1), *np.linspace(6.0, 9.6, len(sizes) + 1)[1:]]
    for i, text in enumerate(names):
        x, gap = starts[i] + 0.05, 0.22 if layers <= 6 or i > layers + 1 else 0.14
        width = starts[i + 1] - starts[i] - gap
        frozen, trained = 0 < i < layers + 2, i > layers + 2
        style = NEW | {"linewidth": 2.5} if trained else {"face": PALE if frozen else "white"}
        _box(ax, x, 0.7, width, 1.1, text, **style)
        if i:
            _arrow(ax, (x - gap, 1.25), (x, 1.25))
        if frozen:  # a lock
            ax.add_patch(Arc((x + width / 2, 2.08), 0.15, 0.22, theta1=0, theta2=180, color=INK, linewidth=2))
            ax.add_patch(Rectangle((x + width / 2 - 0.12, 1.89), 0.24, 0.19, color=INK))
    share = 100 * head_parameters / (head_parameters + encoder_parameters)
    below: Style = {"ha": "center", "va": "top", "linespacing": 1.3}
    ax.text(3.4, 0.52, f"{plain(name)}: frozen\n{encoder_parameters:,} parameters", size=10, **below)
    ax.text(8.3, 0.52, f"head: trained\n{head_parameters:,} parameters", size=10, weight="bold", **below)
    title = f"Only {share:.1f} % of the parameters are trained: the encoder is locked, the head learns"
    return finish(figure, title)


def bilm_diagram() -> Figure:
    """ELMo from the bottom up: letters, the character encoder, two LSTM layers each way, and a task's sum of three layers."""
    words = ("The", "stick", "broke")
    width, right = 2.5, 2.5 * len(words)
    figure, ax = _sheet(right + 2.75, 5.55)
    readers: tuple[tuple[str, float, float, str, Style], ...] = (
        ("forwards", 0.05, 0.47, "ham", {"face": "#DCEBF5", "edgecolor": COLOURS["ham"]}),
        ("backwards", 1.2, 0.0, "spam", {"face": "#FBE3D3", "edgecolor": COLOURS["spam"]}),
    )
    for i, word in enumerate(words):
        left, middle = i * width, i * width + 1.12
        _box(ax, left + 0.2, 0.05, 1.85, 0.4, " ".join(word), size=11)
        _box(ax, left + 0.2, 0.72, 1.85, 0.66, "filters of 1 to 5 letters,\nmaximum over places", size=9)
        _box(ax, left + 0.2, 1.65, 1.85, 0.4, "highway, projection", size=9)
        _box(ax, left + 0.2, 2.3, 1.85, 0.4, "the word's vector", face=PALE, size=9.5)
        for low, high in ((0.45, 0.72), (1.38, 1.65), (2.05, 2.3)):
            _arrow(ax, (middle, low), (middle, high))
        for layer in (1, 2):
            y = 1.9 + 1.2 * layer
            for name, x, up, kind, style in readers:
                _box(ax, left + x, y + up, 1.0, 0.4, f"{name} {layer}", size=9, **style)
                below = (left + x + 0.5, y - 0.8 + up) if layer > 1 else (middle, 2.7)
                _arrow(ax, below, (left + x + 0.5, y + up))
                if i:  # each state goes on to its neighbour, one way only
                    ends = (left + x + 1 - width, y + up + 0.2), (left + x, y + up + 0.2)
                    _arrow(ax, *(ends if up else ends[::-1]), COLOURS[kind])
    for layer, y in enumerate((2.5, 3.53, 4.73)):
        ax.text(right, y, f"layer {layer}   $\\times\\, s_{layer}$", va="center", size=11)
        _arrow(ax, (right + 1.2, y), (right + 1.65, 3.6 + 0.28 * (layer - 1)))
    _box(ax, right + 1.65, 3.1, 1.05, 1.0, "sum × γ:\nELMo", size=11, linewidth=2, **NEW)
    style = {"size": 11, "va": "center"}
    ax.text(0.05, 5.35, "what comes next?  ▸", color=COLOURS["ham"], **style)
    ax.text(right - 0.3, 5.35, "◂  what came before?", color=COLOURS["spam"], ha="right", **style)
    title = "Letters make a word's vector; then one reads from the left, one from the right, each alone"
    return finish(figure, title)


def taxonomy() -> Figure:
    """Four kinds of transfer learning in NLP, by what stays the same and where the labels are."""
    figure, ax = _sheet(10.6, 5.3)
    _box(ax, 3.7, 4.7, 3.2, 0.5, "Transfer learning in NLP", size=12, face=PALE)
    blue = {"edgecolor": COLOURS["ham"], "face": "#DCEBF5"}
    green = {"edgecolor": COLOURS["frozen"], "face": "#D9F0E8"}
    leaves = (
        ("Domain adaptation", "another kind of text", "learn from product reviews,\njudge film reviews"),
        ("Cross-lingual", "another language", "learn from English news,\nsort Swahili news"),
        ("Multi-task", "tasks learned at once", "one encoder tags words\nand finds names together"),
        ("Sequential", "one task after another", "first guess hidden words,\nthen find spam"),
    )
    at: Style = {"ha": "center", "va": "center"}
    branches = (
        (0.1, "Transductive: the same task", "labels in the source domain only", blue),
        (5.4, "Inductive: another task", "labels in the target domain", green),
    )
    for b, (left, name, gloss, style) in enumerate(branches):
        _arrow(ax, (5.3, 4.7), (left + 2.55, 4.1))
        _box(ax, left, 3.2, 5.1, 0.9, f"{name}\n{gloss}", size=11, linewidth=1.5, **style)
        for i, (leaf, short, example) in enumerate(leaves[2 * b : 2 * b + 2]):
            x, here = left + 2.6 * i, leaf == "Sequential"
            _arrow(ax, (left + 2.55, 3.2), (x + 1.25, 2.6))
            _box(ax, x, 0.75, 2.5, 1.85, **(style | ({"linewidth": 3} if here else {"face": "white"})))
            ax.text(x + 1.25, 2.32, leaf, size=11.5, weight="bold", **at)
            ax.text(x + 1.25, 1.96, short, size=9.5, **at)
            text = f"for example:\n{example}"
            ax.text(x + 1.25, 1.27, text, size=9, style="italic", linespacing=1.45, **at)
    ax.text(10.5, 0.52, "▲ most of this course", ha="right", va="center", size=10, weight="bold")
    ax.text(0.1, 0.1, "after Pan and Yang (2010) and Ruder (2019)", size=9, color=GREY)
    return finish(figure, "What stays the same, and where are the labels? Four ways to transfer")


def course_map(done: Iterable[str] = ()) -> Figure:
    """The lectures in their groups, left to right; ``done`` names those finished by number ("00", "10")."""
    done = {str(number)[:2] for number in done}
    rows, width = max(map(len, LECTURES.values())), 1.82
    figure, ax = _sheet(width * len(LECTURES), 0.75 * rows + 0.4)
    top = 0.75 * rows - 0.02
    for i, (group, entries) in enumerate(LECTURES.items()):
        ax.text(i * width + 0.08, top + 0.2, group, size=11, weight="bold")
        if i:
            _arrow(ax, (i * width - 0.22, top - 0.32), (i * width + 0.08, top - 0.32))
        for j, entry in enumerate(entries):
            number, title = entry.split(maxsplit=1)
            text = f"{number}{' ✓' if number in done else ''}\n{textwrap.fill(title, 20, break_on_hyphens=False)}"
            style = NEW | {"linewidth": 2} if number in done else {}
            _box(ax, i * width + 0.08, top - 0.65 - 0.75 * j, width - 0.3, 0.65, text, size=8.5, **style)
    total = sum(map(len, LECTURES.values()))
    title = f"{total} lectures in {len(LECTURES)} groups: from single words to models that serve"
    return finish(figure, f"{len(done)} of {total} lectures are here (✓)" if done else title)
