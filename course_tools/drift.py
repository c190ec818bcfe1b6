"""What moved since the last run of the same profile: every figure beside its old value and its bound."""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from course_tools.notebooks import write_text

KEPT = "figures.json"
BOUNDS = {"at_least": "at least", "at_most": "at most", "equals": "exactly"}
NOTABLE = 0.01  # a smaller change of a number, as a share of the old one, is not worth a line


def figures(lecture: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """A lecture's expectations and recorded figures by name; a name that comes again gets a number."""
    by_name: dict[str, dict[str, Any]] = {}
    for entry in [*lecture["expectations"], *lecture["figures"]]:
        name, again = entry["name"], 2
        while name in by_name:
            name, again = f"{entry['name']} ({again})", again + 1
        by_name[name] = {key: entry[key] for key in ("value", *BOUNDS) if entry.get(key) is not None}
    return by_name


def towards_bound(before: float, entry: Mapping[str, Any]) -> float | None:
    """How much of the way from the old value to the nearest bound is gone: 1 at it, below 0 away from it."""
    ways = [
        (entry["value"] - before) / (entry[key] - before)
        for key in ("at_least", "at_most")
        if key in entry and entry[key] != before
    ]
    return max(ways, default=None)


def compare(last: Mapping[str, Any], now: Mapping[str, Any], lecture: str) -> list[dict[str, Any]]:
    """The figures of a lecture that moved by more than ``NOTABLE``: with bound, old value, and since when."""
    moved = []
    for name, entry in now.items():
        old, new = last["figures"].get(name, {}).get("value"), entry.get("value")
        numbers = all(isinstance(value, int | float) and math.isfinite(value) for value in (old, new))
        if old is None or old == new or (numbers and abs(new - old) <= NOTABLE * abs(old)):
            continue
        moved.append({
            "lecture": lecture, "name": name, "last": last["started"], "before": old, **entry,
            "change": (new - old) / abs(old) if numbers and old else None,
            "towards": towards_bound(old, entry) if numbers else None,
        })  # fmt: skip
    return moved


def since_last_run(
    out: Path, profile: str, started: str, lectures: Iterable[Mapping[str, Any]]
) -> dict[str, Any]:
    """Compare with the figures kept in ``OUT/figures.json``, and keep these there; other lectures' stay.

    Returns:
        ``compared`` (how many figures had an old value) and ``moved`` (see :func:`compare`), first those that
        have come nearest to their bounds.
    """
    path, moved, compared = out / KEPT, [], 0
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none yet, or what a run that was broken off left
        kept = {}
    of_profile = kept.setdefault(profile, {})
    for lecture in lectures:
        now, last = figures(lecture), of_profile.get(lecture["lecture"], {"figures": {}, "started": ""})
        compared += len(now.keys() & last["figures"].keys())
        moved += compare(last, now, lecture["lecture"])
        if lecture["status"] == "passed":
            of_profile[lecture["lecture"]] = {"started": started, "figures": now}
    write_text(json.dumps(kept, indent=1) + "\n", path)
    moved.sort(key=lambda line: -math.inf if line["towards"] is None else line["towards"], reverse=True)
    return {"compared": compared, "moved": moved}
