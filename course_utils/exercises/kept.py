"""What a student has done: checks passed and quiz questions answered correctly, kept over restarts.

One small file a lecture: in the folder ``COURSE_PROGRESS``, else on Colab in Google Drive where it is mounted (so that a new
machine finds it again), else in the course's cache. ``COURSE_PROGRESS=off`` keeps it in memory only: so lectures are
executed whose outputs are stored or compared.
"""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import filelock

from course_utils.files import replace_file
from course_utils.session import cache_folder, named_path

DRIVE = Path("/content/drive/MyDrive")
PATIENCE = 5.0  # seconds to wait for another kernel that is writing
Done = dict[str, list[str]]  # "exercises" or "quiz" -> what is done

followers: list[Callable[[], None]] = []  # called whenever something has been recorded
trouble = ""  # why the last thing done could not be kept, or what was laid aside for it
_memory: dict[str, Done] = {}  # by lecture


def folders() -> list[Path]:
    """Where progress is looked for; it is written to the first of these. None where it lives in memory only."""
    if os.environ.get("COURSE_PROGRESS"):
        named = named_path("COURSE_PROGRESS")
        return [named] if named else []
    # The second holds what was done before Drive was mounted.
    drive = [DRIVE / "transfer-learning-course"] if on_colab() and DRIVE.is_dir() else []
    return [*drive, cache_folder()]


def on_colab() -> bool:
    """Whether this kernel runs on Google Colab."""
    return "google.colab" in sys.modules


def record(lecture: str, kind: str, item: str) -> None:
    """Remember that something is done. What cannot be written is left in ``trouble``, never raised: a check has passed
    all the same.

    Args:
        lecture: its number, "03".
        kind: "exercises" or "quiz".
        item: the name of the check, or the key of the question.
    """
    _memory[lecture] = _merged(_memory.get(lecture, {}), {kind: [item]})
    save([lecture])
    for follow in followers:
        follow()


def done(lecture: str) -> Done:
    """Everything that is done in a lecture, in this kernel or before."""
    return _merged(_memory.get(lecture, {}), *_readable(folders(), lecture))


def save(lectures: Iterable[str]) -> None:
    """Write what is done in these lectures to the first folder, also what stands in another one."""
    global trouble
    trouble = ""
    places = folders()
    for lecture in lectures if places else ():
        try:
            _write(places[0], lecture, _merged(_memory.get(lecture, {}), *_readable(places[1:], lecture)))
        except (OSError, filelock.Timeout) as error:
            why = f"It could not be kept in {places[0]} ({error})"
            trouble = f"{why}; it is remembered until the kernel stops."


def _write(folder: Path, lecture: str, new: Done) -> None:
    """Add to what a file holds, unless it stands there already; two kernels at once lose nothing."""
    global trouble
    path = _file(folder, lecture)
    if not new and not path.exists():
        return
    locks = cache_folder()  # not beside the file: a mounted drive knows no locks
    locks.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(locks / f"{path.name}.lock", timeout=PATIENCE):
        try:
            before = _read(path)
        except ValueError:
            taken = len(list(folder.glob(f"{path.stem}.damaged*")))
            aside = path.with_name(f"{path.stem}.damaged-{taken + 1}.json")
            path.replace(aside)
            trouble, before = f"{path} could not be read; it is now called {aside.name}.", {}
        if (together := _merged(before, new)) != before:
            with replace_file(path) as part:
                part.write_text(json.dumps(together, indent=1, sort_keys=True), encoding="utf-8")


def _file(folder: Path, lecture: str) -> Path:
    return folder / f"progress-{lecture}.json"


def _read(path: Path) -> Done:
    """What a file holds, nothing if it is not there; a ValueError if it holds something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    lists = content.values() if isinstance(content, dict) else [None]
    if not all(isinstance(items, list) and all(isinstance(i, str) for i in items) for items in lists):
        raise ValueError(f"{path} does not hold progress.")
    return content


def _readable(places: Iterable[Path], lecture: str) -> Iterator[Done]:
    for folder in places:
        with contextlib.suppress(OSError, ValueError):  # dealt with where it is written
            yield _read(_file(folder, lecture))


def _merged(*some: Done) -> Done:
    kinds = sorted({kind for one in some for kind in one})
    return {kind: sorted({item for one in some for item in one.get(kind, [])}) for kind in kinds}
