"""Asking a model: words for their neighbours, texts for their pieces, blanks, attention; and training on."""

import html  # noqa: I001
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import ipywidgets as ipw
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from tokenizers import Tokenizer

from course_utils import plotting
from course_utils.session import show_progress
from course_utils.text import WordVectors
from course_utils.training.answers import Answer
from course_utils.widgets.base import (
    LONGEST, ask_panel, at_rest, follow_panel, note, put_picture, show_widget, too_long, trouble, wide,
)  # fmt: skip

Look = Callable[[str], tuple[Sequence[str], np.ndarray]]


def first_contact() -> None:
    """A first widget: type a sentence, see it as words, letters and numbers."""
    start = "Words in, numbers out."
    entry = ipw.Text(value=start, description="sentence", placeholder="Type a sentence", layout=wide())
    panel = follow_panel(entry, lambda text: note(html.escape(describe(text))))
    show_widget(panel, f"Run this cell in a notebook to type here. {describe(start)}")


def describe(text: str) -> str:
    """Words and letters of a text, and why a course on language models begins with counting them."""
    words, letters = re.findall(r"\w+(?:['’]\w+)*", text[:LONGEST]), sum(map(str.isalpha, text[:LONGEST]))
    if not words:
        return "No words yet: type a few. A model, too, can only work with what it is given."
    counts = f"{len(words)} word{'s' * (len(words) != 1)}, {letters} letter{'s' * (letters != 1)}"
    new = len({word.lower() for word in words})
    return (
        f"{counts}, {new} different. A model never sees the sentence, only numbers made from such pieces: how to make "
        "those numbers so that what was learned from other texts helps with this one is what the course is about."
    )


def _ranking(scored: Sequence[tuple[str, float]]) -> str:
    return "<br>".join(f"{score:.2f} &nbsp; {html.escape(word)}" for word, score in scored)


def neighbours_explorer(vectors: WordVectors, word: str = "river", count: int = 8) -> None:
    """Type a word, see its nearest neighbours."""
    panel = ask_panel({"word": word}, lambda w: _ranking(vectors.neighbours(w.lower(), count)), "Neighbours")
    near = ", ".join(name for name, _ in vectors.neighbours(word, count))
    show_widget(panel, f"Run this cell in a notebook to type a word. Nearest to {word}: {near}.")


def analogy_explorer(vectors: WordVectors, example: tuple[str, str, str] = ("had", "has", "was")) -> None:
    """Type three words, see which fourth ones complete "a is to b as c is to"."""
    fields = dict(zip(("a", "is to b", "as c"), example, strict=True))
    panel = ask_panel(fields, lambda *words: _ranking(vectors.analogy(*map(str.lower, words))), "is to …?")  # type: ignore[arg-type]
    best, (a, b, c) = vectors.analogy(*example, count=1)[0][0], example
    best = f"{a} is to {b} as {c} is to: {best}."
    show_widget(panel, f"Run this cell in a notebook to type three words. {best}")


def sentence_explorer(nearest: Callable[[str], Sequence[tuple[str, float]]], sentence: str) -> None:
    """Type a sentence in any language, see the nearest ones: ``nearest`` gives them with their similarities, the best first."""
    panel = ask_panel({"sentence": sentence}, lambda asked: _ranking(nearest(asked)), "Nearest")
    near = " | ".join(found for found, _ in nearest(sentence)[:3])
    show_widget(panel, f"Run this cell in a notebook to type a sentence. Nearest to {sentence} {near}")


def next_word_explorer(suggest: Callable[[str], Sequence[str]], text: str) -> None:
    """Type, and see after every key the words that a keyboard would offer: ``suggest`` gives them for the text so far."""
    entry = ipw.Text(value=text, description="text", placeholder="Type a text", layout=wide())
    panel = follow_panel(entry, lambda typed: suggestions_markup(suggest, typed))
    show_widget(panel, f"Run this cell in a notebook to type. After {text!r}: {', '.join(suggest(text))}.")


def suggestions_markup(suggest: Callable[[str], Sequence[str]], text: str) -> str:
    """The words offered after a text (HTML), and how many keys picking would have saved in the words that are finished."""
    if refusal := too_long(text):
        return note(refusal, good=False)
    saved = sum(
        next((len(word.group()) - k for k in range(len(word.group())) if word.group() in suggest(text[: word.start() + k])), 0)
        for word in re.finditer(r"\S+(?=\s)", text)
    )  # fmt: skip
    offered = " &nbsp;|&nbsp; ".join(f"<b>{html.escape(word)}</b>" for word in suggest(text)) or "nothing"
    return note(f"{offered}<br>keys: {len(text)}, of which {saved} would have been saved")


def blank_explorer(fill: Callable[[str], Sequence[Sequence[tuple[str, float]]]], text: str) -> None:
    """Fill in the blanks of a text: ``fill`` gives the likeliest pieces, with probabilities, for each [MASK]."""
    panel = ask_panel({"text": text}, lambda asked: blanks_markup(fill(asked)), "Fill in")
    otherwise = "Run this cell in a notebook to type a text with [MASK] and see what the model puts there."
    show_widget(panel, otherwise)


def blanks_markup(guesses: Sequence[Sequence[tuple[str, float]]]) -> str:
    """The guesses for each blank, one below the other."""
    return "<br><br>".join(
        (f"<b>blank {place}</b><br>" if len(guesses) > 1 else "") + _ranking(some)
        for place, some in enumerate(guesses, start=1)
    )


def answer_explorer(find: Callable[[str, str], Answer], text: str, question: str) -> None:
    """Paste a text, ask it a question: what ``find(question, text)`` answers is marked in the text."""
    fields = {"text": text, "question": question}
    panel = ask_panel(fields, lambda text, asked: answer_markup(text, find(asked, text)), "Answer", rows=6)
    panel.children[1].rows = 1
    otherwise = f"Run this cell in a notebook to ask a text of your own. So far: {question}"
    show_widget(panel, f"{otherwise} {answer_words(find(question, text))}")


def answer_words(answer: Answer) -> str:
    """An answer in words, with its probability."""
    said = f"“{answer.text}”" if answer.text else "The text does not answer that"
    return f"{said} (probability {answer.probability:.2f})."


def answer_markup(text: str, answer: Answer) -> str:
    """An answer in words, and below it the text as HTML, line breaks and all, in which it stands bold in a frame."""
    before, found, after = (
        html.escape(part) for part in (text[: answer.start], answer.text, text[answer.end :])
    )
    style = "background:#F7E3A1;color:#222222;border:1px solid #222222;padding:0 2px;font-weight:bold"
    marked = f'<mark style="{style}">{found}</mark>' if found else ""
    shown = f'<div style="white-space:pre-wrap;margin-top:4px">{before}{marked}{after}</div>'
    return html.escape(answer_words(answer)) + shown


def pieces_explorer(tokenizer: Tokenizer, text: str) -> None:
    """Type a text, see its pieces in colour, each with its id and the characters that it covers."""
    encoding = tokenizer.encode(text)
    rows = [(encoding.tokens, encoding.ids, encoding.offsets)]
    pieces = " ".join(encoding.tokens)
    plotting.show(
        plotting.pieces_picture(rows, f"{pieces_summary(tokenizer, text)}: piece, id, characters"),
        f"Boxes in a row for the text {text!r}, each with a piece, its id and the characters covered: {pieces}.",
    )
    entry = ipw.Textarea(value=text, description="text", placeholder="Type a text", rows=2, layout=wide())
    panel = follow_panel(entry, lambda text: pieces_markup(tokenizer, text))
    show_widget(panel, f"Run this cell in a notebook to type a text of your own. So far: {pieces}")


def pieces_summary(tokenizer: Tokenizer, text: str) -> str:
    """How many characters, words and pieces; what became [UNK] is mentioned."""
    tokens = tokenizer.encode(text, add_special_tokens=False).tokens
    counts = [(len(text), "character"), (len(text.split()), "word"), (len(tokens), "piece")]
    words = ", ".join(f"{n:,} {name}{'s' * (n != 1)}" for n, name in counts)
    return words + (f", {tokens.count('[UNK]')} of them [UNK]" if "[UNK]" in tokens else "")


def pieces_markup(tokenizer: Tokenizer, text: str) -> str:
    """The pieces of a text as HTML: coloured boxes that say piece, id and characters in words, too."""
    if not text.strip():
        return note("There is nothing to cut yet: type a text.")
    if refusal := too_long(text):
        return note(refusal)
    encoding = tokenizer.encode(text)
    boxes = []
    for piece, number, (start, end) in zip(encoding.tokens, encoding.ids, encoding.offsets, strict=True):
        kind = plotting.piece_kind(piece)
        covered = f"{start}–{end} “{html.escape(text[start:end])}”" if end > start else "no text"
        border = "2px dashed #222222" if kind == "unknown" else "1px solid #6E6E6E"
        boxes.append(
            f'<span style="display:inline-block;margin:2px;padding:3px 6px;border:{border};border-radius:5px;color:#222222;'
            f'background:{plotting.PIECES[kind][0]};text-align:center;line-height:1.35"><b>{html.escape(piece)}</b><br>'
            f"{number}<br><small>{covered}</small></span>"
        )
    return note(f"{pieces_summary(tokenizer, text)}; piece, id, characters from–to") + "".join(boxes)


def attention_explorer(look: Look, sentence: str, *, layer: int = 1, head: int = 1) -> None:
    """Sliders for layer and head, and a sentence of one's own: who looks at whom.

    Args:
        look: from a sentence to its n tokens and all attention weights, (layers, heads, n, n).
        sentence: what is read at first.
        layer, head: where the sliders start, from 1.
    """
    look = lru_cache(1)(look)  # a sentence is read once, whatever the sliders do
    tokens, maps = look(sentence)
    entry = ipw.Text(value=sentence, description="sentence", continuous_update=False, layout=wide())
    layers = ipw.IntSlider(value=layer, min=1, max=len(maps), description="layer", continuous_update=False)
    heads = ipw.IntSlider(value=head, min=1, max=maps.shape[1], description="head", continuous_update=False)
    text, picture = ipw.HTML(), ipw.Image(format="png", layout=ipw.Layout(max_width="100%"))

    def answer(asked: str) -> tuple[str, Figure | None]:
        if not asked:
            return note("There is nothing to look at yet: type a sentence."), None
        if refusal := too_long(asked):
            return note(refusal, good=False), None
        tokens, maps = look(asked)
        if len(tokens) > 40:
            return note(f"{len(tokens)} tokens are too many for a picture: 40 at most, please."), None
        weights = maps[layers.value - 1, heads.value - 1]
        frame = pd.DataFrame(weights, index=tokens, columns=tokens)
        title = f"Layer {layers.value}, head {heads.value}: who looks (rows) at whom (columns)"
        words = note(f"Strongest between words: {html.escape(strongest_looks(tokens, weights))}.")
        return words, plotting.heatmap(frame, title, "weight", numbers=False, limit=1)

    def redraw(_: Any = None) -> None:
        try:
            text.value, figure = answer(" ".join(entry.value.split()))
        except Exception as error:
            text.value, figure = trouble(error), None
        put_picture(picture, figure)

    follow = at_rest(redraw)
    for control in (entry, layers, heads):
        control.observe(follow, names="value")
    redraw()
    now = f"Layer {layer}, head {head}: {strongest_looks(tokens, maps[layer - 1, head - 1])}."
    panel = ipw.VBox([entry, layers, heads, text, picture])
    show_widget(panel, f"Run this cell in a notebook to choose layer, head and sentence. {now}")


def strongest_looks(tokens: Sequence[str], weights: np.ndarray, count: int = 3) -> str:
    """The largest weights of a head (n, n) in words, special tokens left out."""
    words = [i for i, token in enumerate(tokens) if not (token.startswith("[") and token.endswith("]"))]
    pairs = sorted((-weights[i, j], i, j) for i in words for j in words)[:count]
    return ", ".join(f"{tokens[i]} looks at {tokens[j]}" for _, i, j in pairs) or "no words"


def training_explorer(train: Callable[[int], Any], look: Callable[[], str]) -> None:
    """A slider and a button: ``train`` so many more epochs, then say what ``look()`` sees, the newest on top."""
    slider = ipw.IntSlider(value=1, min=1, max=10, description="epochs")
    press = ipw.Button(description="Train on", button_style="primary")
    now = look()
    lines = [f"before: {html.escape(now)}"]
    shown = ipw.HTML(note(lines[0]))
    total = 0

    def go(_: Any) -> None:
        nonlocal total
        press.disabled = True  # one click, one training
        try:
            train(slider.value)
            total += slider.value
            lines.insert(0, f"{total} more: {html.escape(look())}")
            shown.value = note("<br>".join(lines))
        except Exception as error:  # what was learned before stays on show
            shown.value = trouble(error) + note("<br>".join(lines))
        finally:
            press.disabled = False

    press.on_click(go)
    show_widget(ipw.VBox([slider, press, shown]), f"Run this cell in a notebook to train on. So far: {now}")


def live_curve(title: str, xlabel: str, ylabel: str) -> Callable[[float], None]:
    """A curve that grows with every value it is given; in profile ``ci``, where nobody watches, nothing is shown."""
    values: list[float] = []
    if not show_progress():
        return values.append
    picture = ipw.Image(format="png", layout=ipw.Layout(max_width="100%"))
    show_widget(picture, "Run this cell in a notebook to watch the curve grow.")

    def add(value: float) -> None:
        values.append(float(value))
        frame = pd.DataFrame({ylabel: values}, index=range(1, len(values) + 1))
        put_picture(picture, plotting.lines(frame, title, xlabel, ylabel))

    return add
