"""What a method scores: intervals over seeds, F1 over names, key figures on real data, and one table for the whole course.

Every method adds its row to that table, the scoreboard, so that lectures can be compared. The rows live in one JSON file,
``COURSE_SCOREBOARD`` or ``scoreboard.json`` in the course's cache folder.

Most people read a lecture as it is stored, and it was stored on stand-in data. So a run on real data keeps its key figures
(``course run 10 --profile laptop --keep``) in ``data/results/10.json``, and the stored lecture shows both.
"""

import json
import math
import re
import string
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock

from course_utils.expectations import record
from course_utils.files import replace_file
from course_utils.session import cache_folder, data_folder, named_path
from course_utils.text import spans

TASKS = {"spam": "spam F1", "reviews": "accuracy on reviews"}  # what is measured on each
FIELDS = {"method", "scores", "trainable", "seconds", "real", "lecture"}
_ARTICLE, _PUNCTUATION = re.compile(r"\b(a|an|the)\b"), str.maketrans("", "", string.punctuation)
_offered: dict[tuple[str, str], dict[str, list[float]]] = {}  # by this kernel, by lecture and name
_unwritten: dict[Path, list[dict[str, Any]]] = {}  # what this kernel could not write, by file


def interval(scores: Sequence[float]) -> tuple[float, float, float]:
    """Mean and 95 % t-interval over seeds: (mean, low, high). One score alone has no interval: NaN.

    The interval is about other seeds on the same data; it says nothing about other data.

    Raises:
        ValueError: if there is no score, or one is not a finite number.
    """
    values = np.asarray(list(scores), dtype=float)
    if not len(values) or not np.isfinite(values).all():
        raise ValueError(f"A mean needs scores, all of them finite numbers; these are {values.tolist()}.")
    mean = float(values.mean())
    if len(values) == 1:
        return mean, math.nan, math.nan
    from scipy.stats import t

    half = float(t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values)))
    return mean, mean - half, mean + half


def summary(scores: Mapping[str, Sequence[float]]) -> pd.DataFrame:
    """Scores of several methods, a list over seeds for each, as rows ``name, mean, low, high, scores``."""
    rows = [(name, *interval(values), list(values)) for name, values in scores.items()]
    return pd.DataFrame(rows, columns=["name", "mean", "low", "high", "scores"])


def unstack(series: pd.Series, level: int | list[int] = -1) -> pd.DataFrame:
    """``series.unstack(level)`` with rows and columns in the order in which they come.

    ``unstack(sort=False)`` asks for that order, too, but before pandas 3 it puts values under other labels (pandas, issue 62816).
    """
    levels = level if isinstance(level, list) else [level]
    others = [i for i in range(series.index.nlevels) if i not in [it % series.index.nlevels for it in levels]]
    return series.unstack(level).reindex(
        index=series.index.droplevel(levels).unique(), columns=series.index.droplevel(others).unique()
    )


def keep(lecture: str, name: str, scores: Mapping[str, Sequence[float]], *, real: bool) -> None:
    """Offer a key figure to the run, which keeps it for :func:`kept` if it was asked to; stand-in data is never kept.

    Args:
        lecture: its number, "10".
        name: what was measured, such as "spam F1"; once in a lecture.
        scores: for each method its scores over the splits.
        real: whether they come from real data, ``frame.attrs["real"]``.

    Raises:
        ValueError: if a method has no score, or one that is not a finite number.
    """
    summary(scores)
    if real:
        _offered[lecture, name] = {method: [float(score) for score in row] for method, row in scores.items()}
        record(name, None, kept=_offered[lecture, name])


def kept(lecture: str, name: str) -> pd.DataFrame:
    """A lecture's key figure on real data, as :func:`summary` gives it: of this very run, or else what a run has kept.

    ``attrs`` hold ``real`` (True) and ``source``: command, machine and date of the run that kept it.

    Raises:
        LookupError: if no run has kept it; with the command that does.
    """
    path = data_folder() / "results" / f"{lecture}.json"
    run = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"figures": {}}
    source = "; ".join(run[key] for key in ("command", "machine", "date")) if path.is_file() else ""
    if (lecture, name) in _offered:
        run, source = {"figures": {name: _offered[lecture, name]}}, "this run"
    if name not in run["figures"]:
        command = f"course run {lecture} --profile laptop --keep"
        raise LookupError(f"No run has kept {name!r} of lecture {lecture} on real data: {command} does.")
    frame = summary(run["figures"][name])
    frame.attrs.update(real=True, source=source)
    return frame


Tags = Iterable[Sequence[str]]  # for each sentence its B-, I- and O tags, as `text.spans` reads them


def span_f1(truth: Tags, answers: Tags, *, strict: bool = False) -> float:
    """F1 over the names of all sentences; a name counts if both ends and its kind are right.

    Args:
        truth, answers: the right tags, and those that a model gave.
        strict: a tag I that continues nothing is no name, as in :func:`course_utils.text.spans`.

    Raises:
        ValueError: if the two differ in the number of sentences, or a sentence in its number of tags, or a tag is none.
    """
    wanted, given = _names(truth, answers, strict)
    return 2 * len(wanted & given) / max(len(wanted) + len(given), 1)


def kind_f1(truth: Tags, answers: Tags, *, strict: bool = False) -> dict[str, float]:
    """:func:`span_f1` of each kind of name by itself, of the kinds that either side has."""
    wanted, given = _names(truth, answers, strict)
    right, names = (
        Counter(name[-1] for name in wanted & given),
        Counter(name[-1] for name in [*wanted, *given]),
    )
    return {kind: 2 * right[kind] / names[kind] for kind in sorted(names)}


def token_f1(truth: Tags, answers: Tags) -> float:
    """F1 over single tokens that are no O, each right if its whole tag is; over pieces, if those are given."""
    pairs = [pair for both in zip(truth, answers, strict=True) for pair in zip(*both, strict=True)]
    right = sum(wanted == given != "O" for wanted, given in pairs)
    return 2 * right / max(sum((wanted != "O") + (given != "O") for wanted, given in pairs), 1)


def _names(truth: Tags, answers: Tags, strict: bool) -> tuple[set[tuple], set[tuple]]:
    """The names of both sides: number of the sentence, start, end, kind."""
    sides: tuple[set[tuple], set[tuple]] = set(), set()
    for number, both in enumerate(zip(truth, answers, strict=True)):
        if len(both[0]) != len(both[1]):
            raise ValueError(f"A tag for each token, please: {len(both[0])} tokens, {len(both[1])} tags.")
        for side, tags in zip(sides, both, strict=True):
            side.update((number, *span) for span in spans(tags, strict=strict))
    return sides


def answer_scores(answer: str, right: Sequence[str]) -> tuple[float, float]:
    """Exact match and F1 of an answer, (1, 1) at best, as SQuAD counts them (Rajpurkar et al., 2016, section 6.1; 2018): the best
    over the texts that count as ``right``, without capitals, punctuation and articles; with none, the empty answer is right."""
    said, *wanted = (
        _ARTICLE.sub(" ", text.lower().translate(_PUNCTUATION)).split() for text in (answer, *right)
    )
    exact = f1 = 0.0
    for words in list(filter(None, wanted)) or [[]]:
        shared = (Counter(said) & Counter(words)).total()
        exact = max(exact, float(said == words))
        f1 = max(f1, 2 * shared / (len(said) + len(words)) if said and words else exact)
    return exact, f1


def add_to_scoreboard(
    method: str, scores: Mapping[int, float] | Sequence[float], *,
    trainable: int, seconds: float, real: bool, lecture: str = "", task: str = "spam",
) -> None:  # fmt: skip
    """Add a method's row; the same method on the same task and kind of data replaces its row.

    Where the file cannot be written, one line says so, and the row is known to this kernel only.

    Args:
        method: the name that the table and the figure show.
        scores: spam F1, or accuracy on reviews, in 0 .. 1 by seed, or a list of them (seeds 0, 1, ...).
        trainable: how many parameters were trained; 0 for a rule.
        seconds: training time of one seed.
        real: False where the data were written for the course; the table and the figure say so.
        lecture: where the row comes from, "10".
        task: "spam", trained on all training messages (or on as many as the name says), or "reviews", on 1,000 sentences.

    Raises:
        ValueError: if a value is out of its range, the task is unknown, or ``real`` is neither True nor False.
    """
    by_seed = dict(scores) if isinstance(scores, Mapping) else dict(enumerate(scores))
    row = {"method": method.strip(), "scores": {str(seed): score for seed, score in by_seed.items()}}
    row |= {"trainable": trainable, "seconds": seconds, "real": real, "lecture": lecture, "task": task}
    # The numbers of NumPy and PyTorch as Python's own.
    row = json.loads(json.dumps(row, default=lambda it: it.item() if hasattr(it, "item") else float(it)))
    if wrong := _fault(row):
        raise ValueError(f"{method!r}: {wrong}.")
    row["trainable"], path = int(row["trainable"]), _file()

    def table() -> list[dict[str, Any]]:
        key = itemgetter("method", "task", "real")
        return [*(old for old in _read(path) if key(old) != key(row)), row]

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Lectures run side by side: nobody may write between the reading and the writing.
        with FileLock(f"{path}.lock", timeout=60), replace_file(path) as part:
            part.write_text(json.dumps(table(), indent=1, ensure_ascii=False), encoding="utf-8")
        _unwritten.pop(path, None)
    except OSError as error:
        _unwritten[path] = table()
        print(f"The scores of {method} are not kept: {path} cannot be written ({error.strerror or error}).")


def scoreboard(file: Path | None = None) -> pd.DataFrame:
    """All rows of the scoreboard: those on spam, then those on reviews, best mean first.

    Args:
        file: another file than the course's own, such as the one in ``data`` with scores on real data.

    Returns:
        ``task``, ``method``, ``mean``, ``low``, ``high`` (95 % interval), ``seeds``, ``trainable parameters``, ``seconds``, ``data``
        (real or stand-in), ``scores``, ``lecture``; ``attrs["real"]`` is False where any row comes from stand-in data.
        A row whose values are none is left out, and one line says so.
    """
    path = file or _file()
    stored = [(row, _fault(row)) for row in _read(path)]
    for row, wrong in stored:
        if wrong:
            print(f"{path}: {row['method']!r} is left out: {wrong}. Mend it, or run its lecture again.")
    rows = [
        (row["task"], row["method"], *interval(list(row["scores"].values())), len(row["scores"]), row["trainable"], row["seconds"],
         "real" if row["real"] else "stand-in", list(row["scores"].values()), row["lecture"])
        for row, wrong in stored if not wrong
    ]  # fmt: skip
    columns = ["task", "method", "mean", "low", "high", "seeds", "trainable parameters", "seconds", "data", "scores", "lecture"]  # fmt: skip
    frame = pd.DataFrame(rows, columns=columns)
    frame = frame.sort_values(["task", "mean", "method"], ascending=[False, False, True], ignore_index=True)
    frame.attrs["real"] = bool((frame["data"] == "real").all())
    return frame


def _file() -> Path:
    return named_path("COURSE_SCOREBOARD") or cache_folder() / "scoreboard.json"


def _fault(row: Mapping[str, Any]) -> str:
    """What is wrong with the values of a row; "" if nothing is."""
    scores = list(row["scores"].values())
    numbers = [*scores, row["trainable"], row["seconds"]]
    positive = all(isinstance(number, Real) and 0 <= number < math.inf for number in numbers)
    if not (row["method"] and scores and positive and max(scores) <= 1):
        return f"it needs a name, scores from 0 to 1, trainable and seconds from 0 up, and has {numbers}"
    if row["task"] not in TASKS:
        return f"the task must be one of {', '.join(TASKS)}, not {row['task']!r}"
    return "" if isinstance(row["real"], bool) else f"real must be True or False, not {row['real']!r}"


def _read(path: Path) -> list[dict[str, Any]]:
    if path in _unwritten:
        return _unwritten[path]
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        if not all(row.keys() >= FIELDS and row["scores"].values() and row["method"].strip() for row in rows):
            raise ValueError("a row lacks a field")
        return [{"task": "spam", **row} for row in rows]  # rows of older versions have no task
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (ValueError, AttributeError, TypeError) as error:
        names = (path.with_suffix(f".damaged-{number}.json") for number in range(1, 10_000))
        aside = next(name for name in names if not name.exists())
        path.replace(aside)
        print(f"The scoreboard {path} could not be read ({error}), and is called {aside.name} from now on.")
        print("A new one begins: run the lectures whose rows you miss.")
        return []
