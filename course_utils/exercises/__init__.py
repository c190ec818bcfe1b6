"""Exercises: checks that say what is probably wrong, one module per lecture, and the quiz.

A check takes the student's function, calls it on small inputs whose answer is known, and either prints a line with a ✓
or raises :class:`CheckFailed` with a diagnosis. How an exercise is declared stands at the top of ``engine.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from course_utils.exercises.engine import (
    CHECKS,
    SOLUTION,
    CheckFailed,
    call,
    check,
    is_folded_solution,
    require,
)

__all__ = ["CHECKS", "SOLUTION", "CheckFailed", "call", "check", "diagnose", "is_folded_solution", "require"]


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
