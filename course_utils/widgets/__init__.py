"""The interactive pieces of the lectures, on ipywidgets 7.7 and 8.

A function shows its widget together with something for readers whose page runs no widgets: a figure, or the same
in words. What a widget says goes into its own :class:`ipywidgets.HTML`, so nothing stale is left behind.
"""

from course_utils.widgets.base import PAUSE, ask_panel, note, show_widget, trouble  # noqa: I001
from course_utils.widgets.explorers import (
    analogy_explorer, answer_explorer, answer_markup, attention_explorer, blank_explorer, blanks_markup, describe, first_contact,
    live_curve, neighbours_explorer, next_word_explorer, pieces_explorer, pieces_markup, sentence_explorer, suggestions_markup,
    training_explorer,
)  # fmt: skip
from course_utils.widgets.messages import (
    EXAMPLES, message_box, message_panel, threshold_explorer, threshold_text,
)  # fmt: skip
