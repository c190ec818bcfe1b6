"""Bounds on what a lecture claims, checked on every run and kept for the run's report."""

import json
import os
from pathlib import Path
from typing import Any


class ExpectationError(AssertionError):
    """A figure of a lecture fell outside its bound."""


def expect(
    name: str, value: float, *,
    at_least: float | None = None, at_most: float | None = None, equals: Any = None,
) -> None:  # fmt: skip
    """Check a figure that the lecture's text relies on.

    Prints a line that is the same on every machine (the bound, not the value), and appends the value to the run's
    report where ``COURSE_REPORT`` names a file.

    Raises:
        ExpectationError: if the value lies outside its bound, or is not a number.
        TypeError: if no bound is given: a check that cannot fail is no check.
    """
    bounds = {"at_least": at_least, "at_most": at_most, "equals": equals}
    stated = [f"{word.replace('_', ' ')} {bound}" for word, bound in bounds.items() if bound is not None]
    if not stated:
        raise TypeError(f"expect({name!r}) needs a bound: at_least, at_most or equals.")
    passed = True  # a NaN meets no bound
    passed &= at_least is None or value >= at_least
    passed &= at_most is None or value <= at_most
    passed &= equals is None or bool(value == equals)
    words = " and ".join(stated).replace("equals ", "")
    record(name, value, **bounds, passed=bool(passed))
    if not passed:
        raise ExpectationError(
            f"{name} should be {words}, and is {value}. Either the code above was changed, or this machine computes "
            "something that the course has not seen: please report it with the output of `course doctor`."
        )
    print(f"✓ {name}: {words}")


def record(name: str, value: Any, **facts: Any) -> None:
    """Keep a figure, and facts such as its bounds, for the run's report, to be compared between terms."""
    if path := os.environ.get("COURSE_REPORT"):
        line = {"name": name, "value": value, **facts, "lecture": os.environ.get("COURSE_LECTURE", "")}
        # Numbers of NumPy and PyTorch as Python's; what JSON does not know, in words.
        text = json.dumps(
            line, default=lambda it: it.tolist() if hasattr(it, "tolist") else str(it), skipkeys=True
        )
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text + "\n")
