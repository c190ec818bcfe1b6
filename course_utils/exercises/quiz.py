"""The quiz at the end of a lecture, ``quiz/NN.md``: one choice is right, and every choice is explained."""

import hashlib
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ipywidgets as ipw

from course_utils.exercises import kept
from course_utils.widgets import note, show_widget

# ipywidgets gives each choice one line of fixed height; answers in whole sentences need to wrap.
STYLE = (
    "<style>.course-quiz label{white-space:normal!important;height:auto!important;line-height:1.45!important;"
    "margin:3px 0!important}.course-quiz .widget-radio-box,.course-quiz{height:auto!important;max-width:760px}</style>"
)
FOLDER = Path(__file__).with_name("quiz")
LINE = re.compile(r"## (?P<question>\S.*)|- \[(?P<mark>[ xX])\] (?P<choice>\S.*)|  +(?P<why>(?!- \[|#)\S.*)")


@dataclass
class Choice:
    """One answer of a question, and why it is right or wrong."""

    text: str
    right: bool
    why: str = ""
    line: int = field(default=0, compare=False)  # where it stands in its file


@dataclass
class Question:
    """A question with two or more choices, exactly one of them right."""

    text: str
    choices: list[Choice]
    line: int = field(default=0, compare=False)

    @property
    def key(self) -> str:
        """A short name that stays when other questions come before this one."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:8]


def questions(lecture: str) -> list[Question]:
    """The questions of a lecture, "10", as its Markdown file has them: `## question`, below it `- [x] right choice` and
    `- [ ] wrong choice`, and below each choice, indented, why it is right or wrong. Empty lines are for the eye.

    Raises:
        ValueError: if the lecture has no quiz, or its file is written in another way: the message names file and line.
    """
    path = FOLDER / f"{lecture}.md"
    if not path.is_file():
        raise ValueError(f"Lecture {lecture!r} has no quiz: write two digits, as in quiz('10').")
    asked: list[Question] = []

    def need(condition: Any, line: int, otherwise: str) -> None:
        if not condition:
            raise ValueError(f"{path.name}, line {line}: {otherwise}")

    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        part = LINE.fullmatch(line.rstrip())
        if part and part["question"]:
            asked.append(Question(part["question"], [], number))
        elif part and part["choice"] and asked:
            asked[-1].choices.append(Choice(part["choice"], part["mark"] != " ", "", number))
        elif part and part["why"] and asked and asked[-1].choices:
            choice = asked[-1].choices[-1]
            choice.why = f"{choice.why} {part['why']}".strip()
        else:
            rule = "is neither “## question”, nor a choice of one (“- [x] ” or “- [ ] ”), nor its explanation, indented."
            need(not line.strip(), number, f"“{line.strip()}” {rule}")
    need(asked, 1, "there is no question; one begins with “## ”.")
    for question in asked:
        choices, texts = question.choices, {choice.text for choice in question.choices}
        one_right = len(choices) > 1 and sum(choice.right for choice in choices) == 1
        need(one_right, question.line, "a question needs two or more choices, exactly one of them right.")
        need(len(texts) == len(choices), question.line, "the question has the same choice twice.")
        for choice in choices:
            need(len(choice.why) >= 40, choice.line, f"explain “{choice.text}” in 40 characters or more.")
    return asked


def quiz(lecture: str) -> None:
    """Show the quiz of a lecture; pages without widgets show the questions as text, to be answered by :func:`answer`."""
    asked = questions(lecture)
    show_widget(quiz_panel(asked, lecture), quiz_text(asked, lecture))


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
        kept.record(lecture, "quiz", asked[question - 1].key)
    print(f"{'✓ Right' if choice.right else '✗ Not quite'}. {choice.why}")


def quiz_text(asked: Sequence[Question], lecture: str) -> str:
    """The quiz as plain text, without its answers."""
    lines = [f"Quiz, {len(asked)} questions."]
    for number, question in enumerate(asked, start=1):
        choices = zip("abcdefgh", question.choices, strict=False)
        lines += ["", f"{number}. {question.text}"]
        lines += [f"   {letter}) {choice.text}" for letter, choice in choices]
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


def quiz_panel(asked: Sequence[Question], lecture: str) -> ipw.VBox:
    """The widget of :func:`quiz`: one box a question (text, choices, button, explanation), the score below."""
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
                kept.record(lecture, "quiz", question.key)
            score.value = note(f"{len(solved)} of {len(asked)} questions answered correctly so far.")

        button.on_click(reveal)
        # An explanation must not stand under another choice than its own.
        radio.observe(lambda _: setattr(explanation, "value", ""), names="index")
        heading = ipw.HTML(f"<b>{number}. {html.escape(question.text)}</b>")
        return ipw.VBox([heading, radio, button, explanation], layout=ipw.Layout(margin="0 0 16px 0"))

    boxes = [box(number, question) for number, question in enumerate(asked, start=1)]
    return ipw.VBox([ipw.HTML(STYLE), *boxes, score])
