"""The quiz at the end of a lecture: one choice is right, and every choice is explained."""

from __future__ import annotations

import hashlib
import html
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets as ipw

from course_utils.exercises import progress
from course_utils.widgets import note, show_widget

# ipywidgets gives each choice one line of fixed height; answers in whole sentences need to wrap.
STYLE = (
    "<style>.course-quiz label{white-space:normal!important;height:auto!important;line-height:1.45!important;"
    "margin:3px 0!important}.course-quiz .widget-radio-box,.course-quiz{height:auto!important;max-width:760px}</style>"
)


@dataclass(frozen=True)
class Choice:
    """One answer of a question, and why it is right or wrong."""

    text: str
    right: bool
    why: str


@dataclass(frozen=True)
class Question:
    """A question with two or more choices, exactly one of them right.

    Raises:
        ValueError: if not exactly one choice is right, two choices are the same, or one is not explained.
    """

    text: str
    choices: list[Choice]

    def __post_init__(self) -> None:
        if sum(choice.right for choice in self.choices) != 1 or len(self.choices) < 2:
            raise ValueError(f"“{self.text}” needs two or more choices, exactly one of them right.")
        if len({choice.text for choice in self.choices}) != len(self.choices):
            raise ValueError(f"“{self.text}” has the same choice twice.")
        for choice in self.choices:
            if len(choice.why) < 40:
                raise ValueError(f"“{self.text}”: explain “{choice.text}” in 40 characters or more.")

    @property
    def key(self) -> str:
        """A short name that stays when other questions come before this one."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:8]


def questions(lecture: str) -> list[Question]:
    """The questions of a lecture, "10".

    Raises:
        ValueError: if the lecture has no quiz.
    """
    name = f"course_utils.exercises.lecture_{lecture}"
    try:
        return importlib.import_module(name).QUIZ
    except (ModuleNotFoundError, AttributeError) as error:
        raise ValueError(
            f"Lecture {lecture!r} has no quiz; write its number with two digits, as in quiz('10')."
        ) from error


def quiz(lecture: str) -> None:
    """Show the quiz of a lecture; pages without widgets show the questions as text, to be answered by :func:`answer`."""
    asked = questions(lecture)
    panel = quiz_panel(asked, lambda question: progress.record(lecture, "quiz", question.key))
    show_widget(panel, quiz_text(asked, lecture))


def answer(lecture: str, question: int, letter: str) -> None:
    """Answer a question of the quiz without the widget, and print why: ``answer("10", 1, "b")``.

    Raises:
        ValueError: if there is no such question or choice.
    """
    asked = questions(lecture)
    if not 1 <= question <= len(asked):
        raise ValueError(f"There are questions 1 to {len(asked)}, not {question}.")
    choices = dict(zip("abcdefgh", asked[question - 1].choices, strict=False))
    if letter.lower() not in choices:
        raise ValueError(f"Question {question} has the choices {', '.join(choices)}, not {letter!r}.")
    choice = choices[letter.lower()]
    if choice.right:
        progress.record(lecture, "quiz", asked[question - 1].key)
    print(f"{'✓ Right' if choice.right else '✗ Not quite'}. {choice.why}")


def quiz_text(asked: Sequence[Question], lecture: str) -> str:
    """The quiz as plain text, without its answers."""
    lines = [f"Quiz, {len(asked)} questions."]
    for number, question in enumerate(asked, start=1):
        choices = zip("abcdefgh", question.choices, strict=False)
        lines += [
            "",
            f"{number}. {question.text}",
            *(f"   {letter}) {choice.text}" for letter, choice in choices),
        ]
    lines += ["", "In a notebook without widgets: from course_utils.exercises.quiz import answer"]
    return "\n".join([*lines, f'                                answer("{lecture}", 1, "a")'])


def quiz_markup(asked: Sequence[Question]) -> str:
    """The quiz as HTML that needs neither kernel nor script: each choice unfolds to why it is right or wrong."""
    blocks = []
    for number, question in enumerate(asked, start=1):
        choices = "".join(
            f"<details><summary>{html.escape(choice.text)}</summary>"
            f"{note(html.escape(choice.why), good=choice.right)}</details>"
            for choice in question.choices
        )
        blocks.append(f"<p><b>{number}. {html.escape(question.text)}</b></p>{choices}")
    return f'<div class="course-quiz">{"".join(blocks)}</div>'


def quiz_panel(
    asked: Sequence[Question], answered: Callable[[Question], None] = lambda question: None
) -> ipw.VBox:
    """The widget of :func:`quiz`: one box a question (text, choices, button, explanation), the score below.

    Args:
        answered: is told each question that is answered rightly.
    """
    solved: set[int] = set()
    score = ipw.HTML()
    boxes = [
        _box(number, question, solved, score, len(asked), answered)
        for number, question in enumerate(asked, start=1)
    ]
    return ipw.VBox([ipw.HTML(STYLE), *boxes, score])


def _box(
    number: int,
    question: Question,
    solved: set[int],
    score: ipw.HTML,
    total: int,
    answered: Callable[[Question], None],
) -> ipw.VBox:
    names = [choice.text for choice in question.choices]
    radio = ipw.RadioButtons(options=names, value=None, layout=ipw.Layout(width="100%", height="auto"))
    radio.add_class("course-quiz")
    button = ipw.Button(description=f"Check answer {number}")
    explanation = ipw.HTML()

    def reveal(_: Any) -> None:
        if radio.index is None:
            explanation.value = note("Choose an answer first.")
            return
        choice = question.choices[radio.index]
        verdict = "<b>Right.</b>" if choice.right else "<b>Not quite.</b>"
        explanation.value = note(f"{verdict} {html.escape(choice.why)}", good=choice.right)
        if choice.right:
            solved.add(number)
            answered(question)
        score.value = note(f"{len(solved)} of {total} questions answered rightly so far.")

    button.on_click(reveal)
    # An explanation must not stand under another choice than its own.
    radio.observe(lambda _: setattr(explanation, "value", ""), names="index")
    heading = ipw.HTML(f"<b>{number}. {html.escape(question.text)}</b>")
    return ipw.VBox([heading, radio, button, explanation], layout=ipw.Layout(margin="0 0 16px 0"))
