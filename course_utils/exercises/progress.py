"""What a student sees of the work done: :func:`my_progress`, which follows what is done later."""

import html
import importlib
import os
import pkgutil
import weakref
from collections.abc import Iterator

import ipywidgets as ipw

from course_utils import exercises
from course_utils.exercises import kept, quiz
from course_utils.exercises.kept import Done, done, record
from course_utils.widgets import note, show_widget

__all__ = ["done", "lectures_with_exercises", "my_progress", "record", "to_do"]

HOSTS = {"KAGGLE_KERNEL_RUN_TYPE": "Kaggle", "BINDER_REPO_URL": "Binder"}  # a variable that each sets
_panels: weakref.WeakKeyDictionary[ipw.HTML, str | None] = weakref.WeakKeyDictionary()


def lectures_with_exercises() -> list[str]:
    """The numbers of all lectures that have exercises."""
    names = [module.name for module in pkgutil.iter_modules(exercises.__path__)]
    return sorted(name.removeprefix("lecture_") for name in names if name.startswith("lecture_"))


def to_do(lecture: str) -> Done:
    """All there is to do in a lecture: its checks, and its questions.

    Raises:
        ValueError: if the lecture has no exercises.
    """
    keys = [question.key for question in quiz.questions(lecture)]
    importlib.import_module(f"course_utils.exercises.lecture_{lecture}")  # fills CHECKS
    return {"exercises": exercises.CHECKS[lecture], "quiz": keys}


def my_progress(lecture: str | None = None) -> None:
    """Show what is done in a lecture, or in all of them; the display follows what is done later.

    Args:
        lecture: its number, "03".

    Raises:
        ValueError: if the lecture has no exercises.
    """
    kept.save(lectures_with_exercises())  # a drive may have been mounted since the last check
    panel = ipw.HTML(_markup(lecture))
    _panels[panel] = lecture
    show_widget(panel, "\n".join(_lines(lecture)))


def _lines(lecture: str | None) -> Iterator[str]:
    """Progress in plain text, a lecture a line, and where it is kept."""
    for number in [lecture] if lecture else lectures_with_exercises():
        every, mine = to_do(number), done(number)
        passed = [name for name in every["exercises"] if name in mine.get("exercises", [])]
        right = sum(key in mine.get("quiz", []) for key in every["quiz"])
        exercised, asked = _count(len(passed), len(every["exercises"])), _count(right, len(every["quiz"]))
        yield f"Lecture {number}: exercises {exercised}, quiz {asked}"
        for name in every["exercises"] if lecture else ():
            yield f"  {'✓' if name in passed else '○'} {name.removeprefix('check_')}"
    yield from [kept.trouble or _where()] if kept.folders() else []


def _where() -> str:
    first, *before = kept.folders()
    if kept.on_colab() and not before and not os.environ.get("COURSE_PROGRESS"):
        longer = "mount Google Drive (under the folder symbol on the left), then run this cell again"
        return f"Kept until Colab takes this machine back. To keep it longer, {longer}."
    if host := next((name for variable, name in HOSTS.items() if variable in os.environ), None):
        return f"Kept until this session ends: {host} starts anew each time."
    return f"Kept in {first}"


def _count(mine: int, total: int) -> str:
    return f"{'●' * mine}{'○' * (total - mine)} {mine} of {total}"


def _markup(lecture: str | None) -> str:
    return note("<br>".join(html.escape(line).replace("  ", "&nbsp;&nbsp;") for line in _lines(lecture)))


@kept.followers.append
def _follow() -> None:
    for panel, lecture in list(_panels.items()):
        panel.value = _markup(lecture)
