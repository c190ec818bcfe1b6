"""Bounds on what a lecture claims, checked on every run and kept for the run's report."""

import json
import os
from numbers import Real
from pathlib import Path
from typing import Any

from course_utils.session import current_profile


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
    _check(name, value, kept=False, at_least=at_least, at_most=at_most, equals=equals)


def expect_kept(
    name: str, value: float, *,
    at_least: float | None = None, at_most: float | None = None, equals: Any = None,
) -> None:  # fmt: skip
    """:func:`expect` for a figure of ``results.kept``.

    In profile ``ci`` the figure is that of the run which the text was written from, and has to lie within the bound. In ``laptop`` and
    ``gpu`` it can be the run's own, with other draws: where it lies outside, a line says so, and the lecture goes on.
    """
    _check(name, value, kept=True, at_least=at_least, at_most=at_most, equals=equals)


def _check(name: str, value: Any, *, kept: bool, **bounds: Any) -> None:
    stated = [f"{word.replace('_', ' ')} {bound}" for word, bound in bounds.items() if bound is not None]
    if not stated:
        raise TypeError(f"expect({name!r}) needs a bound: at_least, at_most or equals.")
    at_least, at_most, equals = bounds["at_least"], bounds["at_most"], bounds["equals"]
    passed = True  # a NaN meets no bound
    passed &= at_least is None or value >= at_least
    passed &= at_most is None or value <= at_most
    passed &= equals is None or bool(value == equals)
    words = " and ".join(stated).replace("equals ", "")
    own = kept and current_profile() != "ci"  # a run on real data has figures of its own
    record(name, value, **bounds, own=own, passed=bool(passed))
    if passed:
        print(f"✓ {name}: {words}")
    elif own:
        here = f"{value:.4g}" if isinstance(value, Real) else value
        print(f"· {name}: {here} in this run; what was kept is {words}")
    else:
        raise ExpectationError(
            f"{name} should be {words}, and is {value}. Either the code above was changed, or this machine computes "
            "something that the course has not seen: please report it with the output of `course doctor`."
        )


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
