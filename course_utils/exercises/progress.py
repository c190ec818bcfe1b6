"""What a student has done: checks passed and quiz questions answered rightly, kept over restarts.

A check that passes and a right answer are remembered in one small file: in the folder ``COURSE_PROGRESS``, else on Colab in
Google Drive where it is mounted (so that a new runtime finds it again), else in the course's cache.
``COURSE_PROGRESS=off`` keeps it in memory only: so lectures are executed whose outputs are stored or compared.
"""

from __future__ import annotations

import contextlib
import html
import json
import os
import pkgutil
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path

import filelock
import ipywidgets as ipw

from course_utils import exercises
from course_utils.session import cache_folder
from course_utils.widgets import note, show_widget

OFF = "off"
FILE = "progress.json"
DRIVE = Path("/content/drive/MyDrive")
PATIENCE = 5.0  # seconds to wait for another lecture that is writing
Done = dict[str, dict[str, list[str]]]  # lecture -> "exercises" or "quiz" -> what is done

_memory: Done = {}
_trouble = ""
_panels: weakref.WeakKeyDictionary[ipw.HTML, str | None] = weakref.WeakKeyDictionary()


def progress_folder() -> Path | None:
    """Where progress is kept; None where it lives in memory only."""
    if named := os.environ.get("COURSE_PROGRESS"):
        return None if named == OFF else Path(named)
    if "google.colab" in sys.modules:
        # Without Drive a new runtime starts with an empty disk.
        return DRIVE / "transfer-learning-course" if DRIVE.is_dir() else None
    return cache_folder()


def record(lecture: str, kind: str, item: str) -> None:
    """Remember that something is done. What cannot be written is told by :func:`my_progress`, never raised: a check has
    passed all the same.

    Args:
        lecture: its number, "03".
        kind: "exercises" or "quiz".
        item: the name of the check, or the key of the question.
    """
    _merge(_memory, {lecture: {kind: [item]}})
    _save()
    for panel, shown in list(_panels.items()):
        panel.value = note(_markup(shown))


def _save() -> None:
    global _trouble
    _trouble = ""
    if _memory and (folder := progress_folder()):
        try:
            _keep(folder)
        except (OSError, filelock.Timeout) as error:
            _trouble = f"It could not be kept in {folder} ({error}); it is remembered until the kernel stops."


def _keep(folder: Path) -> None:
    """Write what is in memory and what was there before; two lectures at once lose nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    locks = cache_folder()  # not beside the file: a mounted drive knows no locks
    locks.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    with filelock.FileLock(locks / "progress.lock", timeout=PATIENCE):
        _merge(_memory, _load(path))
        partial = path.with_name(f".{FILE}.{os.getpid()}.part")
        partial.write_text(json.dumps(_memory, indent=1, sort_keys=True), encoding="utf-8")
        partial.replace(path)


def _load(path: Path) -> Done:
    """What a file holds; one that cannot be read is laid aside, not overwritten."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        found = None
    if not _is_progress(found):
        path.replace(path.with_name("progress.damaged.json"))
        return {}
    return found


def _is_progress(found: object) -> bool:
    return isinstance(found, dict) and all(
        isinstance(kinds, dict)
        and all(
            isinstance(items, list) and all(isinstance(i, str) for i in items) for items in kinds.values()
        )
        for kinds in found.values()
    )


def _merge(into: Done, more: Done) -> None:
    for lecture, kinds in more.items():
        for kind, items in kinds.items():
            mine = into.setdefault(lecture, {}).setdefault(kind, [])
            mine.extend(item for item in items if item not in mine)


def done() -> Done:
    """Everything that is done, in this kernel or before."""
    together: Done = {}
    folder = progress_folder()
    with contextlib.suppress(OSError):  # what was kept cannot be read: say what this kernel knows
        _merge(together, _load(folder / FILE) if folder else {})
    _merge(together, _memory)
    return together


def to_do(lecture: str) -> dict[str, list[str]]:
    """All there is to do in a lecture: its checks, and its questions.

    Raises:
        ValueError: if the lecture has no exercises.
    """
    from course_utils.exercises import quiz  # which records here what was answered

    asked = quiz.questions(lecture)  # imports the lecture's module, and so fills CHECKS
    return {"exercises": exercises.CHECKS[lecture], "quiz": [question.key for question in asked]}


def lectures_with_exercises() -> list[str]:
    """The numbers of all lectures that have exercises."""
    names = [module.name for module in pkgutil.iter_modules(exercises.__path__)]
    return sorted(name.removeprefix("lecture_") for name in names if name.startswith("lecture_"))


def my_progress(lecture: str | None = None) -> None:
    """Show what is done in a lecture, or in all of them; the display follows what is done later.

    Args:
        lecture: its number, "03".

    Raises:
        ValueError: if the lecture has no exercises.
    """
    _save()  # a drive may have been mounted since the last check
    panel = ipw.HTML(note(_markup(lecture)))
    _panels[panel] = lecture
    show_widget(panel, "\n".join(_lines(lecture)))


def _lines(lecture: str | None) -> Iterator[str]:
    """Progress in plain text, a lecture a line, and where it is kept."""
    so_far = done()
    for number in [lecture] if lecture else lectures_with_exercises():
        every, mine = to_do(number), so_far.get(number, {})
        passed = [name for name in every["exercises"] if name in mine.get("exercises", [])]
        right = sum(key in mine.get("quiz", []) for key in every["quiz"])
        yield (
            f"Lecture {number}: exercises {_count(len(passed), len(every['exercises']))}, "
            f"quiz {_count(right, len(every['quiz']))}"
        )
        if lecture:
            for name in every["exercises"]:
                yield f"  {'✓' if name in passed else '○'} {name.removeprefix('check_')}"
    if _trouble:
        yield _trouble
    elif folder := progress_folder():
        yield f"Kept in {folder / FILE}"
    elif "google.colab" in sys.modules:
        yield (
            "Colab forgets this with the runtime. To keep it, mount Google Drive (under the folder symbol on the left), "
            "then run this cell again."
        )


def _count(mine: int, total: int) -> str:
    return f"{'●' * mine}{'○' * (total - mine)} {mine} of {total}"


def _markup(lecture: str | None) -> str:
    lines = (html.escape(line).replace("  ", "&nbsp;&nbsp;") for line in _lines(lecture))
    return "<br>".join(lines)
