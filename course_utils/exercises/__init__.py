"""Exercises: checks that say what is probably wrong, one module per lecture, and the quiz.

A check takes the student's function, calls it on small inputs whose answer is known, and either prints a line with a ✓
or raises :class:`CheckFailed` with a diagnosis.
"""

from __future__ import annotations

import functools
import linecache
import re
import traceback
from collections.abc import Callable, Iterable
from typing import Any

Check = Callable[[Callable[..., Any]], None]
SOLUTION = "# One solution"  # so begins a solution's cell
CHECKS: dict[str, list[str]] = {}  # lecture -> the names of its checks, in order, once its module is imported


class CheckFailed(AssertionError):
    """An answer is not right yet; the message says what is probably wrong."""

    def _render_traceback_(self) -> list[str]:
        # IPython asks for this: a student needs the diagnosis, not the inside of the check.
        return [f"✗ {self}"]


def check(title: str) -> Callable[[Check], Check]:
    """Make a check out of a function that raises :class:`CheckFailed`; ``title`` is what the ✓ confirms."""

    def decorate(body: Check) -> Check:
        found = re.fullmatch(r"course_utils\.exercises\.lecture_(\d\d)", body.__module__)
        if found:
            CHECKS.setdefault(found[1], []).append(body.__name__)

        @functools.wraps(body)
        def run(function: Callable[..., Any]) -> None:
            if not callable(function):
                raise CheckFailed(
                    f"Give the check your function itself, {body.__name__}(name), without calling it: it got "
                    f"{type(function).__name__}."
                )
            body(function)
            print(f"✓ {title}")
            if found and not is_folded_solution(function):
                from course_utils.exercises import progress  # which asks this module what there is to do

                progress.record(found[1], "exercises", body.__name__)

        return run

    return decorate


def is_folded_solution(function: Callable[..., Any]) -> bool:
    """Whether the cell in which a function was written says that it is the course's solution: no student's progress."""
    code = getattr(function, "__code__", None)
    return code is not None and linecache.getline(code.co_filename, 1).startswith(SOLUTION)


def call(function: Callable[..., Any], *arguments: Any, may_raise: tuple[type[Exception], ...] = ()) -> Any:
    """Call a student's function; what goes wrong inside becomes a :class:`CheckFailed` that says where.

    Exceptions in ``may_raise`` pass through: the check expects them.
    """
    name = getattr(function, "__name__", "your function")
    try:
        result = function(*arguments)
    except NotImplementedError as error:
        raise CheckFailed(
            f"{name} is still to be written: put your lines where it says so, then run both cells."
        ) from error
    except may_raise:
        raise
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        own = [line for line in traceback.extract_tb(error.__traceback__)[1:] if line.name == name]
        line = (own[-1] if own else frame).line
        where = f" at `{line}`" if line else ""
        raise CheckFailed(f"{name} stopped{where} with {type(error).__name__}: {error}") from error
    if result is None:
        raise CheckFailed(f"{name} returns nothing yet: write it, and end it with `return` and the answer.")
    return result


def require(condition: Any, diagnosis: str) -> None:
    """Raise :class:`CheckFailed` with the diagnosis unless the condition holds."""
    if not condition:
        raise CheckFailed(diagnosis)


def diagnose(
    found: Any,
    right: Any,
    wrong: Iterable[tuple[Any, str]],
    said: str,
    otherwise: str = "",
    *,
    close: Callable[[Any, Any], bool],
) -> None:
    """Raise with the diagnosis of the first wrong answer that was found, unless it is the same as the right one.

    Args:
        wrong: what else the answer could be, and why; an answer that is none of these gets ``otherwise``, or what was said.
        said: the beginning of each message, without a full stop.
        close: whether two answers count as the same.
    """
    if close(found, right):
        return
    for answer, diagnosis in wrong:
        require(not close(found, answer), f"{said}: {diagnosis}")
    raise CheckFailed(otherwise or f"{said}.")
