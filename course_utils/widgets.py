"""The interactive pieces of the lectures, on ipywidgets 7.7 and 8.

Each widget is a ``..._panel`` that can be driven in a test, and a function that puts it into the notebook together
with something for readers whose page runs no widgets: a figure, or the same in words. What a widget says goes into
its own :class:`ipywidgets.HTML`, so nothing stale is left behind and nothing is printed into another cell.
"""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets as ipw
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from tokenizers import Tokenizer

from course_utils import plotting
from course_utils.session import show_progress
from course_utils.text import WordVectors

LONGEST = 1_000  # characters
PAUSE = 0.1  # seconds without a change before a figure is drawn
EXAMPLES = (
    "Running late, start dinner without me and keep some for later",
    "You have won two cinema tickets! Call now to claim, the offer ends tonight",
    "Your parcel is waiting. Pay the small customs fee at the link to have it delivered",
)


def show_widget(widget: ipw.DOMWidget, otherwise: str) -> None:
    """Display a widget; pages that cannot run it show the text ``otherwise``, the same on every machine."""
    from IPython.display import display

    # Built by hand: ipywidgets 7 and 8 differ here, and their own text is a long and volatile repr.
    view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    display({"application/vnd.jupyter.widget-view+json": view, "text/plain": otherwise}, raw=True)


def note(text: str, *, good: bool | None = None) -> str:
    """A message as HTML, with a sign before it (✓ right, ✗ wrong), so that colour says nothing alone.

    A coloured one brings its own ground along: the page may be light or dark.
    """
    sign, colour = {
        True: ("✓ ", "color:#00694D;background:#ECF6F2;padding:4px 8px;"),
        False: ("✗ ", "color:#A34700;background:#FCF1E8;padding:4px 8px;"),
        None: ("", ""),
    }[good]
    return f'<div role="status" style="{colour}line-height:1.5;margin:4px 0">{sign}{text}</div>'


def trouble(error: Exception) -> str:
    """What went wrong, in words (HTML): a reader of a widget sees no traceback."""
    # A KeyError as text puts its message into quotation marks.
    said = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    name = "" if isinstance(error, (KeyError, ValueError)) else f"{type(error).__name__}: "
    return note(html.escape(f"{name}{said}"), good=False)


def at_rest(redraw: Callable[[Any], None]) -> Callable[[Any], None]:
    """Call ``redraw`` with the last of several changes that come at once: a key held down sends dozens, and a figure
    drawn for each would follow the slider like a slow film."""
    waiting: asyncio.TimerHandle | None = None

    def changed(change: Any) -> None:
        nonlocal waiting
        if waiting:
            waiting.cancel()
        try:
            waiting = asyncio.get_running_loop().call_later(PAUSE, redraw, change)
        except RuntimeError:  # no kernel, nobody types
            redraw(change)

    return changed


def put_picture(picture: ipw.Image, figure: Figure | None) -> None:
    """Replace a picture as a whole, or hide it. A widget's picture has no alt text (a tooltip breaks ipywidgets' view of it):
    what it shows must stand beside it in words."""
    picture.value = plotting.png(figure) if figure else b""
    picture.layout.display = "block" if figure else "none"


def threshold_explorer(labels: Any, scores: Any, threshold: float = 0.5, *, real: bool = True) -> None:
    """A slider for the decision threshold: who is blocked, and which errors that costs.

    Shows the figure for ``threshold`` first, for readers whose page runs no widgets and to compare with.

    Args:
        labels: 0 (ham) or 1 (spam), (n,).
        scores: spam probabilities, (n,).
        threshold: where the slider starts.
        real: False where the data were written for the course.

    Raises:
        ValueError: if the two do not fit together, or a score is no probability.
    """
    panel = threshold_panel(labels, scores, threshold, real=real)
    figure = plotting.threshold_figure(labels, scores, threshold, real=real)
    plotting.show(
        figure, "Histograms of the spam probability, ham above and spam below. " + figure.get_suptitle()
    )
    show_widget(
        panel,
        "Run this cell in a notebook to move the threshold with a slider; above it stands at its start.",
    )


def threshold_panel(labels: Any, scores: Any, threshold: float = 0.5, *, real: bool = True) -> ipw.VBox:
    """The widget of :func:`threshold_explorer`: slider, text, and a picture drawn anew once the slider moves."""
    truth, values = np.asarray(labels), np.asarray(scores, dtype=float)
    if truth.shape != values.shape or truth.ndim != 1 or not len(truth):
        raise ValueError(f"One label for each score, please: labels {truth.shape}, scores {values.shape}.")
    if not set(np.unique(truth)) <= {0, 1} or not ((values >= 0) & (values <= 1)).all():
        raise ValueError(
            "Labels must be 0 or 1, and scores probabilities between 0 and 1 (after softmax or exp)."
        )
    slider = ipw.FloatSlider(
        value=threshold, min=0, max=1, step=0.01, description="threshold", continuous_update=False,
        layout=ipw.Layout(width="480px", max_width="100%"),
    )  # fmt: skip
    text = ipw.HTML(threshold_text(truth, values, threshold))
    picture = ipw.Image(format="png", layout=ipw.Layout(display="none", max_width="100%"))

    def redraw(change: dict[str, Any]) -> None:
        # The image model outlives any redraw: one picture, also where outputs are not kept.
        put_picture(picture, plotting.threshold_figure(labels, scores, change["new"], real=real))
        text.value = threshold_text(truth, values, change["new"])

    slider.observe(at_rest(redraw), names="value")
    return ipw.VBox([slider, text, picture])


def threshold_text(labels: np.ndarray, scores: np.ndarray, threshold: float) -> str:
    """Precision, recall and both errors at a threshold, in words (HTML)."""
    blocked = scores >= threshold
    hits, alarms = int((blocked & (labels == 1)).sum()), int((blocked & (labels == 0)).sum())
    spam, ham = int((labels == 1).sum()), int((labels == 0).sum())
    precision = f"{hits / (hits + alarms):.3f}" if hits + alarms else "undefined (nothing is blocked)"
    recall = f"{hits / spam:.3f}" if spam else "undefined (there is no spam)"
    return note(
        f"threshold <b>{threshold:.2f}</b>: precision <b>{precision}</b>, recall <b>{recall}</b><br>"
        f"<b>{alarms}</b> of {ham} ham wrongly blocked, <b>{spam - hits}</b> of {spam} spam missed"
    )


def message_box(
    predict: Callable[[str], float],
    examples: Sequence[str] = EXAMPLES,
    *,
    threshold: float = 0.5,
    real: bool = True,
) -> None:
    """Type a message and read what the model makes of it.

    Shows the verdicts on ``examples`` first, for readers whose page runs no widgets.

    Args:
        predict: from a text to its spam probability.
        examples: messages for the figure.
        threshold: from which probability on a message is called spam.
        real: False where the model learned from data written for the course.
    """
    probabilities = [float(predict(example)) for example in examples]
    figure = plotting.verdicts(examples, probabilities, threshold=threshold, real=real)
    said = "; ".join(
        f"“{e}”: {'spam' if p >= threshold else 'ham'}" for e, p in zip(examples, probabilities, strict=True)
    )
    plotting.show(figure, f"Spam probability of {len(examples)} example messages. {said}.")
    show_widget(
        message_panel(predict, threshold=threshold),
        "Run this cell in a notebook to type a message of your own.",
    )


def message_panel(predict: Callable[[str], float], *, threshold: float = 0.5) -> ipw.VBox:
    """The widget of :func:`message_box`: text, button, verdict, and what ``predict`` prints."""
    entry = ipw.Textarea(
        placeholder="Type a message",
        description="message",
        rows=3,
        layout=ipw.Layout(width="560px", max_width="100%"),
    )
    button = ipw.Button(description="Ham or spam?", button_style="primary")
    answer, printed = ipw.HTML(), ipw.Output()

    def ask(_: Any) -> None:
        printed.outputs = ()
        text = " ".join(entry.value.split())
        if not text:
            answer.value = note("There is nothing to read yet: type a message first.")
            return
        if len(text) > LONGEST:
            answer.value = note(
                f"That is long for a text message: {len(text):,} characters. Please keep it under {LONGEST:,}; the "
                "model has only seen short ones."
            )
            return
        try:
            with printed:
                probability = float(predict(text))
            if not 0 <= probability <= 1:
                raise ValueError(f"{probability} is no probability")
        except Exception as error:
            words = html.escape(f"{type(error).__name__}: {error}")
            answer.value = note(
                f"The model could not answer ({words}). Run the cells above again, then this one.", good=False
            )
            return
        verdict = "spam" if probability >= threshold else "ham"
        answer.value = note(
            f"<b>{verdict}</b>: spam probability {probability:.3f}, threshold {threshold:.2f}<br>"
            f"<i>{html.escape(text[:120])}{'…' if len(text) > 120 else ''}</i>"
        )

    button.on_click(ask)
    # A verdict must not stand beside a text it was not given for.
    entry.observe(lambda _: setattr(answer, "value", ""), names="value")
    return ipw.VBox([entry, button, answer, printed])


def ask_panel(fields: Mapping[str, str], answer: Callable[..., str], button: str) -> ipw.VBox:
    """Text fields, a button, and below it what ``answer(*contents)`` returns (HTML).

    What the fields hold is stripped; an empty one is asked for, a long one refused, and an error of ``answer`` shown in words.
    """
    entries = [
        ipw.Text(value=value, description=name, layout=ipw.Layout(width="320px", max_width="100%"))
        for name, value in fields.items()
    ]
    press, shown = ipw.Button(description=button, button_style="primary"), ipw.HTML()

    def ask(_: Any = None) -> None:
        contents = [entry.value.strip() for entry in entries]
        empty = [entry.description for entry, text in zip(entries, contents, strict=True) if not text]
        if empty:
            shown.value = note(f"Please fill in: {', '.join(empty)}.")
            return
        if max(map(len, contents)) > LONGEST:
            shown.value = note(
                f"Please keep it under {LONGEST:,} characters: this has {max(map(len, contents)):,}."
            )
            return
        try:
            shown.value = answer(*contents)
        except Exception as error:
            shown.value = trouble(error)

    press.on_click(ask)
    for entry in entries:  # an answer must not stand beside a question it was not given to
        entry.observe(lambda _: setattr(shown, "value", ""), names="value")
    return ipw.VBox([*entries, press, shown])


def _ranking(found: Sequence[tuple[str, float]]) -> str:
    return "<br>".join(f"{score:.2f} &nbsp; {html.escape(word)}" for word, score in found)


def neighbours_explorer(vectors: WordVectors, word: str = "river", count: int = 8) -> None:
    """Type a word, see its nearest neighbours."""
    panel = ask_panel(
        {"word": word}, lambda w: note(_ranking(vectors.neighbours(w.lower(), count))), "Neighbours"
    )
    near = ", ".join(name for name, _ in vectors.neighbours(word, count))
    show_widget(panel, f"Run this cell in a notebook to type a word. Nearest to {word}: {near}.")


def analogy_explorer(vectors: WordVectors, example: tuple[str, str, str] = ("had", "has", "was")) -> None:
    """Type three words, see which fourth ones complete "a is to b as c is to"."""

    def answer(a: str, b: str, c: str) -> str:
        return note(_ranking(vectors.analogy(a.lower(), b.lower(), c.lower())))

    panel = ask_panel(dict(zip(("a", "is to b", "as c"), example, strict=True)), answer, "is to …?")
    best = vectors.analogy(*example, count=1)[0][0]
    a, b, c = example
    show_widget(
        panel, f"Run this cell in a notebook to type three words. {a} is to {b} as {c} is to: {best}."
    )


def blank_explorer(fill: Callable[[str], Sequence[Sequence[tuple[str, float]]]], text: str) -> None:
    """Fill in the blanks of a text: ``fill`` gives the likeliest pieces, with probabilities, for each [MASK]."""
    show_widget(
        ask_panel({"text": text}, lambda asked: note(blanks_markup(fill(asked))), "Fill in"),
        "Run this cell in a notebook to type a text with [MASK] and see what the model puts there.",
    )


def blanks_markup(guesses: Sequence[Sequence[tuple[str, float]]]) -> str:
    """The guesses for each blank, one below the other."""
    return "<br><br>".join(
        (f"<b>blank {place}</b><br>" if len(guesses) > 1 else "") + _ranking(some)
        for place, some in enumerate(guesses, start=1)
    )


def training_explorer(train: Callable[[int], Any], look: Callable[[], str], most: int = 10) -> None:
    """A slider and a button: train for some more epochs, then see once more what ``look()`` says.

    Args:
        train: is given the number of epochs.
        look: what has been learned so far, in words.
        most: the slider's right end.
    """
    now = look()
    show_widget(training_panel(train, look, most), f"Run this cell in a notebook to train on. So far: {now}")


def training_panel(train: Callable[[int], Any], look: Callable[[], str], most: int = 10) -> ipw.VBox:
    """The widget of :func:`training_explorer`: what was learned before stays on show, the newest on top."""
    slider = ipw.IntSlider(value=1, min=1, max=most, description="epochs")
    press = ipw.Button(description="Train on", button_style="primary")
    lines = [f"before: {html.escape(look())}"]
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
    return ipw.VBox([slider, press, shown])


def live_curve(title: str, xlabel: str, ylabel: str) -> Callable[[float], None]:
    """A curve that grows with every value it is given; in profile ``ci``, where nobody watches, nothing is shown."""
    values: list[float] = []
    picture = ipw.Image(format="png", layout=ipw.Layout(max_width="100%"))
    if show_progress():
        show_widget(picture, "Run this cell in a notebook to watch the curve grow.")

    def add(value: float) -> None:
        values.append(float(value))
        if show_progress():
            frame = pd.DataFrame({ylabel: values}, index=range(1, len(values) + 1))
            put_picture(picture, plotting.lines(frame, title, xlabel, ylabel))

    return add


def first_contact() -> None:
    """A first widget: type a sentence, see it as words, letters and numbers."""
    start = "Words in, numbers out."
    show_widget(first_contact_panel(start), f"Run this cell in a notebook to type here. {describe(start)}")


def first_contact_panel(text: str = "") -> ipw.VBox:
    """The widget of :func:`first_contact`: it answers while you type."""
    entry = ipw.Text(
        value=text,
        description="sentence",
        placeholder="Type a sentence",
        layout=ipw.Layout(width="560px", max_width="100%"),
    )
    answer = ipw.HTML(note(html.escape(describe(text))))
    entry.observe(
        lambda change: setattr(answer, "value", note(html.escape(describe(change["new"])))), names="value"
    )
    return ipw.VBox([entry, answer])


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


def pieces_explorer(tokenizer: Tokenizer, text: str) -> None:
    """Type a text, see its pieces in colour, each with its id and the characters that it covers."""
    encoding = tokenizer.encode(text)
    rows = [(encoding.tokens, encoding.ids, encoding.offsets)]
    pieces = " ".join(encoding.tokens)
    plotting.show(
        plotting.pieces_picture(rows, f"{pieces_summary(tokenizer, text)}: piece, id, characters"),
        f"Boxes in a row for the text {text!r}, each with a piece, its id and the characters covered: {pieces}.",
    )
    show_widget(
        pieces_panel(tokenizer, text),
        f"Run this cell in a notebook to type a text of your own. So far: {pieces}",
    )


def pieces_panel(tokenizer: Tokenizer, text: str = "") -> ipw.VBox:
    """The widget of :func:`pieces_explorer`: it answers while you type."""
    entry = ipw.Textarea(
        value=text,
        description="text",
        placeholder="Type a text",
        rows=2,
        layout=ipw.Layout(width="560px", max_width="100%"),
    )
    shown = ipw.HTML(pieces_markup(tokenizer, text))
    entry.observe(
        lambda change: setattr(shown, "value", pieces_markup(tokenizer, change["new"])), names="value"
    )
    return ipw.VBox([entry, shown])


def pieces_summary(tokenizer: Tokenizer, text: str) -> str:
    """How many characters, words and pieces; what became [UNK] is mentioned."""
    tokens = tokenizer.encode(text, add_special_tokens=False).tokens
    counts = [(len(text), "character"), (len(text.split()), "word"), (len(tokens), "piece")]
    said = ", ".join(f"{n:,} {name}{'s' * (n != 1)}" for n, name in counts)
    return said + (f", {tokens.count('[UNK]')} of them [UNK]" if "[UNK]" in tokens else "")


def pieces_markup(tokenizer: Tokenizer, text: str) -> str:
    """The pieces of a text as HTML: coloured boxes that say piece, id and characters in words, too."""
    if not text.strip():
        return note("There is nothing to cut yet: type a text.")
    if len(text) > LONGEST:
        return note(f"Please keep it under {LONGEST:,} characters: this has {len(text):,}.")
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


def attention_explorer(
    look: Callable[[str], tuple[Sequence[str], np.ndarray]], sentence: str, *, layer: int = 1, head: int = 1
) -> None:
    """Sliders for layer and head, and a sentence of one's own: who looks at whom.

    Args:
        look: from a sentence to its n tokens and all attention weights, (layers, heads, n, n).
        sentence: what is read at first.
        layer, head: where the sliders start, from 1.
    """
    panel = attention_panel(look, sentence, layer=layer, head=head)
    tokens, maps = look(sentence)
    strongest = strongest_looks(tokens, maps[layer - 1, head - 1])
    show_widget(
        panel,
        f"Run this cell in a notebook to choose layer, head and sentence. Layer {layer}, head {head}: {strongest}.",
    )


def strongest_looks(tokens: Sequence[str], weights: np.ndarray, count: int = 3) -> str:
    """The largest weights of a head (n, n) in words, special tokens left out."""
    words = [i for i, token in enumerate(tokens) if not (token.startswith("[") and token.endswith("]"))]
    pairs = sorted((-weights[i, j], i, j) for i in words for j in words)[:count]
    return ", ".join(f"{tokens[i]} looks at {tokens[j]}" for _, i, j in pairs) or "no words"


def attention_panel(
    look: Callable[[str], tuple[Sequence[str], np.ndarray]],
    sentence: str,
    *,
    layer: int = 1,
    head: int = 1,
    longest: int = 40,
) -> ipw.VBox:
    """The widget of :func:`attention_explorer`: sentence, two sliders, a line of text and a picture."""
    tokens, maps = look(sentence)
    entry = ipw.Text(
        value=sentence, description="sentence", continuous_update=False,
        layout=ipw.Layout(width="560px", max_width="100%"),
    )  # fmt: skip
    layers = ipw.IntSlider(value=layer, min=1, max=len(maps), description="layer", continuous_update=False)
    heads = ipw.IntSlider(value=head, min=1, max=maps.shape[1], description="head", continuous_update=False)
    text, picture = ipw.HTML(), ipw.Image(format="png", layout=ipw.Layout(max_width="100%"))
    known = {sentence: (tokens, maps)}  # a sentence is read once, whatever the sliders do

    def redraw(_: Any = None) -> None:
        asked = " ".join(entry.value.split())
        if not asked:
            put_picture(picture, None)
            text.value = note("There is nothing to look at yet: type a sentence.")
            return
        try:
            if len(asked) > LONGEST:
                raise ValueError(f"Please keep it under {LONGEST:,} characters: this has {len(asked):,}.")
            if asked not in known:
                read = look(asked)
                known.clear()
                known[asked] = read
        except Exception as error:
            put_picture(picture, None)
            text.value = trouble(error)
            return
        tokens, maps = known[asked]
        if len(tokens) > longest:
            put_picture(picture, None)
            text.value = note(f"{len(tokens)} tokens are too many for a picture: {longest} at most, please.")
            return
        weights = maps[layers.value - 1, heads.value - 1]
        frame = pd.DataFrame(weights, index=tokens, columns=tokens)
        title = f"Layer {layers.value}, head {heads.value}: who looks (rows) at whom (columns)"
        put_picture(picture, plotting.heatmap(frame, title, "weight", numbers=False, limit=1))
        text.value = note(f"Strongest between words: {html.escape(strongest_looks(tokens, weights))}.")

    follow = at_rest(redraw)
    for control in (entry, layers, heads):
        control.observe(follow, names="value")
    redraw()
    return ipw.VBox([entry, layers, heads, text, picture])
