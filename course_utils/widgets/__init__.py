"""The interactive pieces of the lectures, on ipywidgets 7.7 and 8.

Each widget is a ``..._panel`` that can be driven in a test, and a function that puts it into the notebook together
with something for readers whose page runs no widgets: a figure, or the same in words. What a widget says goes into
its own :class:`ipywidgets.HTML`, so nothing stale is left behind and nothing is printed into another cell.
"""

from course_utils.widgets.base import PAUSE, ask_panel, note, show_widget, trouble  # noqa: I001
from course_utils.widgets.explorers import (
    analogy_explorer, attention_explorer, attention_panel, blank_explorer, blanks_markup, describe, first_contact,
    first_contact_panel, live_curve, neighbours_explorer, pieces_explorer, pieces_markup, pieces_panel, training_explorer,
    training_panel,
)  # fmt: skip
from course_utils.widgets.messages import (
    EXAMPLES, message_box, message_panel, threshold_explorer, threshold_panel, threshold_text,
)  # fmt: skip

__all__ = [
    "EXAMPLES", "PAUSE", "analogy_explorer", "ask_panel", "attention_explorer", "attention_panel", "blank_explorer",
    "blanks_markup", "describe", "first_contact", "first_contact_panel", "live_curve", "message_box", "message_panel",
    "neighbours_explorer", "note", "pieces_explorer", "pieces_markup", "pieces_panel", "show_widget", "threshold_explorer",
    "threshold_panel", "threshold_text", "training_explorer", "training_panel", "trouble",
]  # fmt: skip
