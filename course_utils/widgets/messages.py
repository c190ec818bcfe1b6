"""A filter at hand: its threshold as a slider, and messages of one's own."""

import contextlib
import html
import io
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as ipw
import numpy as np

from course_utils import plotting
from course_utils.widgets.base import ask_panel, at_rest, note, put_picture, show_widget, wide

EXAMPLES = (
    "Running late, start dinner without me and keep some for later",
    "You have won two cinema tickets! Call now to claim, the offer ends tonight",
    "Your parcel is waiting. Pay the small customs fee at the link to have it delivered",
)


def threshold_explorer(labels: Any, scores: Any, threshold: float = 0.5, *, real: bool = True) -> None:
    """A slider for the decision threshold: who is blocked, and which errors that costs.

    Shows the figure for ``threshold`` first, for readers whose page runs no widgets and to compare with.

    Args:
        labels, scores: 0 (ham) or 1 (spam), (n,), and spam probabilities, (n,).
        threshold: where the slider starts.
        real: False where the data were written for the course.

    Raises:
        ValueError: if the two do not fit together, or a score is no probability.
    """
    truth, values = np.asarray(labels), np.asarray(scores, dtype=float)
    if truth.shape != values.shape or truth.ndim != 1 or not len(truth):
        raise ValueError(f"One label for each score, please: labels {truth.shape}, scores {values.shape}.")
    if not set(np.unique(truth)) <= {0, 1} or not ((values >= 0) & (values <= 1)).all():
        raise ValueError("Labels must be 0 or 1, scores probabilities from 0 to 1 (after softmax or exp).")
    figure = plotting.threshold_figure(labels, scores, threshold, real=real)
    alt = "Histograms of the spam probability, ham above and spam below. "
    plotting.show(figure, alt + figure.get_suptitle())
    style = {"description": "threshold", "continuous_update": False, "layout": wide(480)}
    slider = ipw.FloatSlider(value=threshold, min=0, max=1, step=0.01, **style)
    text = ipw.HTML(threshold_text(truth, values, threshold))
    picture = ipw.Image(format="png", layout=ipw.Layout(display="none", max_width="100%"))

    def redraw(change: dict[str, Any]) -> None:
        # The image model outlives any redraw: one picture, also where outputs are not kept.
        put_picture(picture, plotting.threshold_figure(labels, scores, change["new"], real=real))
        text.value = threshold_text(truth, values, change["new"])

    slider.observe(at_rest(redraw), names="value")
    start = "Run this cell in a notebook to move the threshold with a slider; above it stands at its start."
    show_widget(ipw.VBox([slider, text, picture]), start)


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
    predict: Callable[[str], float], examples: Sequence[str] = EXAMPLES, *,
    threshold: float = 0.5, real: bool = True,
) -> None:  # fmt: skip
    """Type a message and read what the model makes of it.

    Shows the verdicts on ``examples`` first, for readers whose page runs no widgets.

    Args:
        predict: from a text to its spam probability.
        threshold: from which probability on a message is called spam.
        real: False where the model learned from data written for the course.
    """
    probabilities = [float(predict(example)) for example in examples]
    figure = plotting.verdicts(examples, probabilities, threshold=threshold, real=real)
    names = ["spam" if probability >= threshold else "ham" for probability in probabilities]
    verdicts = "; ".join(f"“{example}”: {name}" for example, name in zip(examples, names, strict=True))
    plotting.show(figure, f"Spam probability of {len(examples)} example messages. {verdicts}.")
    panel = message_panel(predict, threshold=threshold)
    show_widget(panel, "Run this cell in a notebook to type a message of your own.")


def message_panel(predict: Callable[[str], float], *, threshold: float = 0.5) -> ipw.VBox:
    """The widget of :func:`message_box`: text, button, verdict, and what ``predict`` prints."""

    def reply(text: str) -> str:
        text = " ".join(text.split())
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            probability = float(predict(text))
        if not 0 <= probability <= 1:
            raise RuntimeError(f"The model says {probability}, which is no probability")
        verdict = "spam" if probability >= threshold else "ham"
        return (
            f"<b>{verdict}</b>: spam probability {probability:.3f}, threshold {threshold:.2f}<br>"
            f"<i>{html.escape(text[:120])}{'…' if len(text) > 120 else ''}</i>"
            f"<pre>{html.escape(printed.getvalue())}</pre>"
        )

    return ask_panel({"message": ""}, reply, "Ham or spam?", rows=3)
