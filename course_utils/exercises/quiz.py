"""The quiz at the end of a lecture, ``quiz/NN.md``: one choice is right, and every choice is explained."""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ipywidgets as ipw

from course_utils.exercises import progress
from course_utils.widgets import note, show_widget

# ipywidgets gives each choice one line of fixed height; answers in whole sentences need to wrap.
STYLE = (
    "<style>.course-quiz label{white-space:normal!important;height:auto!important;line-height:1.45!important;"
    "margin:3px 0!important}.course-quiz .widget-radio-box,.course-quiz{height:auto!important;max-width:760px}</style>"
)
FOLDER = Path(__file__).with_name("quiz")
LINE = re.compile(r"## (?P<question>\S.*)|- \[(?P<mark>[ xX])\] (?P<choice>\S.*)|  +(?P<why>\S.*)")


@dataclass(frozen=True)
class Choice:
    """One answer of a question, and why it is right or wrong.

    Raises:
        ValueError: if it is not explained.
    """

    text: str
    right: bool
    why: str

    def __post_init__(self) -> None:
        if len(self.why) < 40:
            raise ValueError(f"explain “{self.text}” in 40 characters or more.")


@dataclass(frozen=True)
class Question:
    """A question with two or more choices, exactly one of them right.

    Raises:
        ValueError: if not exactly one choice is right, or two choices are the same.
    """

    text: str
    choices: list[Choice]

    def __post_init__(self) -> None:
        if sum(choice.right for choice in self.choices) != 1 or len(self.choices) < 2:
            raise ValueError(f"“{self.text}” needs two or more choices, exactly one of them right.")
        if len({choice.text for choice in self.choices}) != len(self.choices):
            raise ValueError(f"“{self.text}” has the same choice twice.")

    @property
    def key(self) -> str:
        """A short name that stays when other questions come before this one."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:8]


def questions(lecture: str) -> list[Question]:
    """The questions of a lecture, "10".

    Raises:
        ValueError: if the lecture has no quiz, or its file is not written as :func:`read` wants it.
    """
    try:
        return read(FOLDER / f"{lecture}.md")
    except FileNotFoundError as error:
        raise ValueError(
            f"Lecture {lecture!r} has no quiz; write its number with two digits, as in quiz('10')."
        ) from error


def read(path: Path) -> list[Question]:
    """The questions of a Markdown file: `## question`, below it `- [x] right choice` and `- [ ] wrong choice`, and below
    each choice, indented, why it is right or wrong. Empty lines are for the eye.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is written in another way; the message names file and line.
    """
    blocks: list[tuple[int, str, list[tuple[int, str, bool, list[str]]]]] = []  # first the number of the line
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        part = LINE.fullmatch(line.rstrip())
        if part and part["question"]:
            blocks.append((number, part["question"], []))
        elif part and part["choice"] and blocks:
            blocks[-1][2].append((number, part["choice"], part["mark"] != " ", []))
        elif part and part["why"] and blocks and blocks[-1][2]:
            blocks[-1][2][-1][3].append(part["why"])
        elif line.strip():
            raise ValueError(
                f"{path.name}, line {number}: “{line.strip()}” is no “## question”, no choice of one (“- [x] ” or “- [ ] ”) "
                "and no explanation, indented, of a choice."
            )
    if not blocks:
        raise ValueError(f"{path.name}, line 1: there is no question; one begins with “## ”.")

    def made(kind: Callable[..., Any], line: int, *parts: Any) -> Any:
        try:
            return kind(*parts)
        except ValueError as error:
            raise ValueError(f"{path.name}, line {line}: {error}") from error

    asked = []
    for line, text, drafts in blocks:
        choices = [made(Choice, place, choice, right, " ".join(why)) for place, choice, right, why in drafts]
        asked.append(made(Question, line, text, choices))
    return asked


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

    def box(number: int, question: Question) -> ipw.VBox:
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
            score.value = note(f"{len(solved)} of {len(asked)} questions answered rightly so far.")

        button.on_click(reveal)
        # An explanation must not stand under another choice than its own.
        radio.observe(lambda _: setattr(explanation, "value", ""), names="index")
        heading = ipw.HTML(f"<b>{number}. {html.escape(question.text)}</b>")
        return ipw.VBox([heading, radio, button, explanation], layout=ipw.Layout(margin="0 0 16px 0"))

    boxes = [box(number, question) for number, question in enumerate(asked, start=1)]
    return ipw.VBox([ipw.HTML(STYLE), *boxes, score])
