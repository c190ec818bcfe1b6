"""What all widgets share: how they are shown, what they say in words, when they answer."""

import asyncio
import html
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import ipywidgets as ipw
from matplotlib.figure import Figure

from course_utils import plotting

LONGEST = 1_000  # characters
PAUSE = 0.1  # seconds without a change before a figure is drawn


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
    words = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    if not isinstance(error, (KeyError, ValueError)):
        words = f"{type(error).__name__}: {words}. Run the cells above again, then this one."
    return note(html.escape(words), good=False)


def too_long(text: str) -> str:
    """What to say of a text that is too long for a widget; nothing of any other."""
    if len(text) <= LONGEST:
        return ""
    return f"Please keep it under {LONGEST:,} characters: this has {len(text):,}."


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
    picture.value = plotting.png(figure, sharpness=1) if figure else b""
    picture.layout.display = "block" if figure else "none"


def wide(pixels: int = 560) -> ipw.Layout:
    """A width that gives way on a narrow page."""
    return ipw.Layout(width=f"{pixels}px", max_width="100%")


def follow_panel(entry: ipw.DOMWidget, answer: Callable[[str], str]) -> ipw.VBox:
    """A text field, and below it what ``answer`` says (HTML) of what stands in it, while one types."""
    shown = ipw.HTML(answer(entry.value))
    entry.observe(lambda change: setattr(shown, "value", answer(change["new"])), names="value")
    return ipw.VBox([entry, shown])


def ask_panel(fields: Mapping[str, str], answer: Callable[..., str], button: str, rows: int = 1) -> ipw.VBox:
    """Text fields, of one line or several, a button, and below it what ``answer(*contents)`` returns (HTML).

    What the fields hold is stripped; an empty one is asked for, a long one refused, and an error of ``answer`` shown in words.
    """
    field = partial(ipw.Textarea, rows=rows) if rows > 1 else ipw.Text
    entries = [field(value=value, description=name, layout=wide()) for name, value in fields.items()]
    press, shown = ipw.Button(description=button, button_style="primary"), ipw.HTML()

    def ask(_: Any = None) -> None:
        contents = [entry.value.strip() for entry in entries]
        empty = [entry.description for entry, text in zip(entries, contents, strict=True) if not text]
        refusal = f"Please fill in: {', '.join(empty)}." if empty else too_long(max(contents, key=len))
        try:
            shown.value = note(refusal or answer(*contents))
        except Exception as error:
            shown.value = trouble(error)

    press.on_click(ask)
    for entry in entries:  # an answer must not stand beside what it was not given to
        entry.observe(lambda _: setattr(shown, "value", ""), names="value")
    return ipw.VBox([*entries, press, shown])
