"""What a student has done: checks passed and quiz questions answered rightly, kept over restarts.

One small file a lecture: in the folder ``COURSE_PROGRESS``, else on Colab in Google Drive where it is mounted (so that a new
machine finds it again), else in the course's cache. ``COURSE_PROGRESS=off`` keeps it in memory only: so lectures are
executed whose outputs are stored or compared.
"""

from __future__ import annotations

import contextlib
import html
import importlib
import json
import os
import pkgutil
import sys
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path

import filelock
import ipywidgets as ipw

from course_utils import exercises
from course_utils.session import cache_folder
from course_utils.widgets import note, show_widget

OFF = "off"
DRIVE = Path("/content/drive/MyDrive")
HOSTS = {"KAGGLE_KERNEL_RUN_TYPE": "Kaggle", "BINDER_REPO_URL": "Binder"}  # a variable that each sets
PATIENCE = 5.0  # seconds to wait for another kernel that is writing
Done = dict[str, list[str]]  # "exercises" or "quiz" -> what is done

_memory: dict[str, Done] = {}  # by lecture
_trouble = ""
_panels: weakref.WeakKeyDictionary[ipw.HTML, str | None] = weakref.WeakKeyDictionary()


def folders() -> list[Path]:
    """Where progress is looked for; it is written to the first of these. None where it lives in memory only."""
    if named := os.environ.get("COURSE_PROGRESS"):
        return [] if named == OFF else [Path(named)]
    if _on_colab() and DRIVE.is_dir():
        # The second holds what was done before Drive was mounted.
        return [DRIVE / "transfer-learning-course", cache_folder()]
    return [cache_folder()]


def _on_colab() -> bool:
    return "google.colab" in sys.modules


def record(lecture: str, kind: str, item: str) -> None:
    """Remember that something is done. What cannot be written is told by :func:`my_progress`, never raised: a check has
    passed all the same.

    Args:
        lecture: its number, "03".
        kind: "exercises" or "quiz".
        item: the name of the check, or the key of the question.
    """
    _memory[lecture] = _merged(_memory.get(lecture, {}), {kind: [item]})
    _save([lecture])
    for panel, shown in list(_panels.items()):
        panel.value = note(_markup(shown))


def _save(numbers: Iterable[str]) -> None:
    global _trouble
    _trouble = ""
    where = folders()
    for number in numbers if where else ():
        try:
            _keep(number, *where)
        except (OSError, filelock.Timeout) as error:
            _trouble = (
                f"It could not be kept in {where[0]} ({error}); it is remembered until the kernel stops."
            )


def _keep(number: str, first: Path, *others: Path) -> None:
    """Write what is known of a lecture, unless it stands there already; two kernels at once lose nothing."""
    global _trouble
    path = _file(first, number)
    locks = cache_folder()  # not beside the file: a mounted drive knows no locks
    locks.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(locks / f"{path.name}.lock", timeout=PATIENCE):
        try:
            before = _read(path)
        except ValueError:
            taken = len(list(first.glob(f"{path.stem}.damaged*")))
            aside = path.with_name(f"{path.stem}.damaged-{taken + 1}.json")
            path.replace(aside)
            _trouble, before = f"{path} could not be read; it is now called {aside.name}.", {}
        together = _merged(before, _memory.get(number, {}), *_readable(others, number))
        if together != before:
            first.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f".{path.name}.{os.getpid()}.part")
            partial.write_text(json.dumps(together, indent=1, sort_keys=True), encoding="utf-8")
            partial.replace(path)


def _file(folder: Path, number: str) -> Path:
    return folder / f"progress-{number}.json"


def _read(path: Path) -> Done:
    """What a file holds, nothing if it is not there; a ValueError if it holds something else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    lists = found.values() if isinstance(found, dict) else [None]
    if not all(isinstance(items, list) and all(isinstance(i, str) for i in items) for items in lists):
        raise ValueError(f"{path} does not hold progress.")
    return found


def _stands(number: str) -> bool:
    return any(_file(folder, number).exists() for folder in folders())


def _readable(places: Iterable[Path], number: str) -> Iterator[Done]:
    for folder in places:
        with contextlib.suppress(
            OSError, ValueError
        ):  # what cannot be read is dealt with where it is written
            yield _read(_file(folder, number))


def _merged(*some: Done) -> Done:
    kinds = sorted({kind for one in some for kind in one})
    return {kind: sorted({item for one in some for item in one.get(kind, [])}) for kind in kinds}


def done(lecture: str) -> Done:
    """Everything that is done in a lecture, in this kernel or before."""
    return _merged(_memory.get(lecture, {}), *_readable(folders(), lecture))


def to_do(lecture: str) -> Done:
    """All there is to do in a lecture: its checks, and its questions.

    Raises:
        ValueError: if the lecture has no exercises.
    """
    from course_utils.exercises import quiz  # which records here what was answered

    asked = quiz.questions(lecture)
    importlib.import_module(f"course_utils.exercises.lecture_{lecture}")  # fills CHECKS
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
    # A drive may have been mounted since the last check.
    _save(number for number in lectures_with_exercises() if done(number) or _stands(number))
    panel = ipw.HTML(note(_markup(lecture)))
    _panels[panel] = lecture
    show_widget(panel, "\n".join(_lines(lecture)))


def _lines(lecture: str | None) -> Iterator[str]:
    """Progress in plain text, a lecture a line, and where it is kept."""
    for number in [lecture] if lecture else lectures_with_exercises():
        every, mine = to_do(number), done(number)
        passed = [name for name in every["exercises"] if name in mine.get("exercises", [])]
        right = sum(key in mine.get("quiz", []) for key in every["quiz"])
        yield (
            f"Lecture {number}: exercises {_count(len(passed), len(every['exercises']))}, "
            f"quiz {_count(right, len(every['quiz']))}"
        )
        if lecture:
            for name in every["exercises"]:
                yield f"  {'✓' if name in passed else '○'} {name.removeprefix('check_')}"
    yield from [_trouble or _where()] if folders() else []


def _where() -> str:
    first, *before = folders()
    if _on_colab() and not before and not os.environ.get("COURSE_PROGRESS"):
        return (
            "Kept until Colab takes this machine back. To keep it longer, mount Google Drive (under the folder symbol on the "
            "left), then run this cell again."
        )
    if host := next((name for variable, name in HOSTS.items() if variable in os.environ), None):
        return f"Kept until this session ends: {host} starts anew each time."
    return f"Kept in {first}"


def _count(mine: int, total: int) -> str:
    return f"{'●' * mine}{'○' * (total - mine)} {mine} of {total}"


def _markup(lecture: str | None) -> str:
    lines = (html.escape(line).replace("  ", "&nbsp;&nbsp;") for line in _lines(lecture))
    return "<br>".join(lines)
