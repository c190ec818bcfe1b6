"""One engine behind the checks. An exercise is data; how an answer is called, compared and diagnosed stands here once.

Declare an exercise in its lecture's module, exercises/lecture_NN.py::

    def _share(labels):
        \"""Check a function from labels (a list of 0 and 1) to the share of ones, between 0 and 1.\"""
        return sum(labels) / len(labels)

    check_share = exercise(
        "share: the share of ones among the labels",  # what the ✓ confirms; the part before the colon names the check
        _share,  # the reference: right, in the plainest way; its docstring becomes the check's
        inputs=("the labels",),  # as messages call them
        cases=[([0, 0, 0, 1],), ([1, 1],)],  # a tuple of arguments each
        mistakes=[(sum, "that counts the ones. Divide by how many labels there are.")],  # a wrong function, or several, and the advice
        refused=[(([],), "There is nothing to count: raise ValueError.")],  # where ValueError is wanted, with a message or without
    )

The engine then tells a student when the function is still to be written, returns nothing or several things, returns the wrong type,
shape or dtype, changes its inputs, or is not finite; any kind of number is a number. It compares values exactly (integers, text) or
with the tolerance of their dtype, and blames a mistake only if that explains every answer; if none does, the one that explains the
most, the first wrong answer among them, and contradicts no right one. An advice is a text or a function that makes it. What else may
be declared: ``edges`` (inputs at which exp overflows, a mask is empty: whatever goes wrong there gets the advice beside them),
``parts`` (an answer of several values, each with its mistakes; those of the exercise then return all values), ``of`` (what mistakes
are formulas of: scores, shares), ``gradients`` (inputs whose gradient has to be the reference's), ``observe`` (what to compare instead
of the value: what has become of a module, which messages a threshold blocks), ``read`` (bring an answer into one form, or refuse it),
and ``also``, a function for what is left to check by hand: keep it small.
:func:`verify` runs every mistake as a student's answer and wants its own diagnosis; the tests do so for all exercises.
"""

import contextlib
import copy
import functools
import linecache
import numbers
import re
import textwrap
import traceback
import types
import warnings
from collections.abc import Callable, Coroutine, Generator, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from course_utils.exercises import kept

# fmt: off
Check = Callable[[Callable[..., Any]], None]
Case = tuple[Any, ...]
Advice = str | Callable[..., str]
Mistake = tuple[Any, Advice]  # a function like the student's, or several, and what is wrong; the advice may be made of the case
SOLUTION = "# One solution"  # so begins a solution's cell
CHECKS: dict[str, list[str]] = {}  # lecture -> the names of its checks, in order, once its module is imported
# What an edge may bring about; any other error is a slip of the pen, and told with its line.
_EXPECTED = (ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, UnboundLocalError, ValueError)
# What only promises an answer: the advice.
_UNFINISHED = {
    (Coroutine,): "write `def` instead of `async def`.",
    (Generator, map, filter, zip): "write `return` instead of `yield`, or put it into list(...).",
    (types.FunctionType, types.BuiltinFunctionType, types.MethodType, type): "call it, with brackets behind its name.",
}


class CheckFailed(AssertionError):
    """An answer is not right yet; the message says what is probably wrong."""

    def _render_traceback_(self) -> list[str]:  # IPython asks for this: a student needs the diagnosis, not the inside of the check
        return [f"✗ {self}"]


@dataclass(frozen=True)
class Part:
    """One of the values that an answer consists of; its type and shape are the reference's."""

    name: str = ""  # in messages, "your loss is ..."; "" where there is one value only
    _: KW_ONLY
    mistakes: Sequence[Mistake] = ()
    of: Callable[..., Sequence[Any]] | None = None  # what the mistakes are functions of, if not of the case: sums, shares, shapes
    shapes: Sequence[Mistake] = ()  # functions of a case that give a wrong shape, or None for any other
    kinds: Mapping[str, str] = field(default_factory=dict)  # a type, a dtype or its letter ("list", "float64", "b"): the advice
    infinite: str = "Do you divide by 0?"  # what is said of inf and nan; "" where they are values like others
    otherwise: Advice = ""  # where no mistake explains the value; a function takes (value, right value, *case)
    said: Callable[..., str] | None = None  # of the same, instead of "For ... you return x and not y"
    rtol: float | None = None


@dataclass(frozen=True, kw_only=True)
class Exercise(Part):
    """What there is to check; ``reference`` takes a case and returns the right value, or a tuple with one for each part."""

    title: str
    reference: Callable[..., Any]
    inputs: Sequence[str]
    cases: Sequence[Case]
    describe: Callable[..., str] | None = None  # a case in words, "For ..."
    parts: Sequence[Part] = ()
    edges: Sequence[tuple[Case, Advice]] = ()  # the advice may be a function of (value, *case); an error or None is a value here
    refused: Sequence[tuple[Case, str]] = ()
    gradients: Sequence[str] = ()
    uphill: str = "The value is right, but the gradient that flows back is not: do not compute with numbers cut out of the graph."
    observe: Callable[..., Any] | None = None  # of (*case, after the call, the value)
    only_read: str = "which it should only read. Write x = x * y, not x *= y, and work on a copy of a list."
    changed: Sequence[str] = ()  # the inputs that the function is there to change
    read: Callable[..., Any] | None = None  # of (what is returned, *case): the value to check; rows in lists become an array
    stops: Mapping[type[Exception], Advice] = field(default_factory=dict)  # what is said of an error of this type
    judged: Sequence[int] = ()  # the order in which the parts are compared, if it is not that in which they are returned
    also: Check | None = None

    def _parts(self) -> Sequence[Part]:
        return self.parts or (self,)

    def _slips(self, number: int) -> list[tuple[Callable[..., Any], Advice, bool]]:
        """The mistakes that a part may show, and whether they return that part alone."""
        def slip(part: Part, mistake: Callable[..., Any]) -> Callable[..., Any]:
            of = part.of
            return (lambda *case: mistake(*of(*case))) if of else mistake

        parts = [(self, False)] + ([(self.parts[number], True)] if self.parts else [])
        return [(slip(part, mistake), why, alone) for part, alone in parts for some, why in part.mistakes
                for mistake in (some if isinstance(some, tuple) else (some,))]

    def _said(self, case: Case) -> str:
        named = (f"{name} {show(value)}" for name, value in zip(self.inputs, case, strict=False))
        return self.describe(*case) if self.describe else f"For {', '.join(named)}"

    def _copied(self, case: Case) -> list[Any]:
        given = copy.deepcopy(list(case))
        for name in self.gradients:
            given[list(self.inputs).index(name)].requires_grad_()
        return given

    def _values(self, given: Sequence[Any], raw: Any) -> tuple[Any, ...]:
        """What is compared, a value for each part, of an answer."""
        raw = self.observe(*given, raw) if self.observe else raw
        return tuple(raw) if self.parts else (raw,)

    def _right(self, case: Case, function: Callable[..., Any] | None = None) -> tuple[Any, ...]:
        """What is compared of the right answer, or of that of a mistake."""
        given = self._copied(case)
        with _quietly():
            return self._values(given, (function or self.reference)(*given))


def exercise(title: str, reference: Callable[..., Any], *, called: str = "", **data: Any) -> Any:
    """Make the check of an exercise, ``check_NAME`` for a title that begins with "NAME: ", or as it is ``called``."""
    task = Exercise(title=title, reference=reference, **data)

    def body(function: Callable[..., Any]) -> None:
        grade(task, function)

    body.__name__ = body.__qualname__ = called or f"check_{title.partition(':')[0]}"
    body.__module__, body.__doc__ = reference.__module__, reference.__doc__
    run = check(title)(body)
    run.exercise = task  # type: ignore[attr-defined]  # for `verify`
    return run


def grade(task: Exercise, function: Callable[..., Any]) -> None:
    """Raise CheckFailed with a diagnosis unless the function answers every case as the reference does."""
    answers, stopped = [], None
    for case in task.cases:
        try:
            answers.append(_answer(task, function, case))
        except CheckFailed as failed:  # what was wrong before comes first
            stopped = failed
            break
    mine, theirs = [values for *_, values in answers], [task._right(case) for case in task.cases[: len(answers)]]
    for number in (task.judged or range(len(task._parts()))) if answers else ():
        part = task._parts()[number]
        good = [close(one[number], other[number], part.rtol) for one, other in zip(mine, theirs, strict=True)]
        if not all(good):
            off = good.index(False)
            one, other, case = mine[off][number], theirs[off][number], task.cases[off]
            why = _diagnosis(task, number, mine, good) or _too_narrow(one, other) or _text(part.otherwise, one, other, *case)
            raise CheckFailed(_said(task, number, case, one, other) + (f": {why}" if why else "."))
    if stopped:
        raise stopped
    for case, (given, raw, _) in zip(task.cases, answers, strict=True):
        _check_gradient(task, case, given, raw)
    for case, advice in task.edges:
        given, raw, values = _answer(task, function, case, edge=advice)
        for number in task.judged or range(len(values)):
            one, other = values[number], task._right(case)[number]
            said = "" if close(one, other, task._parts()[number].rtol) else _said(task, number, case, one, other)
            require(not said, f"{said}: {_text(advice, one, *case)}" if said else "")
        _check_gradient(task, case, given, raw)
    for case, advice in task.refused:
        with contextlib.suppress(ValueError):
            result = _tried(task, function, case, task._copied(case), advice, refused=(ValueError,))
            raise CheckFailed(f"{task._said(case)} you return {show(result)}. {advice}")
    if task.also:
        task.also(function)


def _diagnosis(task: Exercise, number: int, mine: Sequence[tuple[Any, ...]], good: Sequence[bool]) -> str:
    """What explains every answer; or else the most, the first that is off among them, without contradicting those that are right."""
    part, off = task._parts()[number], good.index(False)

    def explains(mistake: Callable[..., Any], alone: bool, i: int) -> bool:
        try:
            if alone and not task.observe:
                with _quietly():
                    return close(mine[i][number], mistake(*task._copied(task.cases[i])), part.rtol)
            places = slice(number, number + 1) if alone else slice(None)
            return close(mine[i][places], task._right(task.cases[i], mistake)[places], part.rtol)
        except Exception:  # a mistake need not have an answer everywhere
            return False

    known = [off] + [i for i, right in enumerate(good) if right]
    told = [slip for slip in task._slips(number) if all(explains(slip[0], slip[2], i) for i in known)]
    most = max(told, key=lambda slip: sum(explains(slip[0], slip[2], i) for i in range(len(good))), default=None)
    return _text(most[1], *task.cases[off]) if most else ""


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy's own, of a mean over nothing
        yield


def _text(advice: Advice, *given: Any) -> str:
    return advice if isinstance(advice, str) else advice(*given)


def _said(task: Exercise, number: int, case: Case, mine: Any, right: Any) -> str:
    part, order = task._parts()[number], list(task.judged or range(number + 1))
    if part.said:
        return part.said(mine, right, *case)
    said = f"{task._said(case)} {f'your {part.name} is' if part.name else 'you return'}"
    said = f"The {task.parts[order[0]].name} is right. {said}" if number != order[0] else said
    if isinstance(right, np.ndarray | Tensor) and right.ndim > 1 and np.size(_array(right)) > 12:  # the first row that is off
        row = next(i for i in np.ndindex(*right.shape[:-1]) if not close(mine[i], right[i], part.rtol))
        mine, right, said = mine[row], right[row], f"{said}, in row {', '.join(map(str, row))},"
    digits = 0 if show(mine) != show(right) else 8
    return f"{said} {show(mine, digits)} and not {show(right, digits)}"


def _tried(task: Exercise, function: Callable[..., Any], case: Case, given: list[Any], advice: Advice | None, refused: tuple = ()) -> Any:
    """What the function returns; where there is an advice, an error or nothing is answered with it."""
    try:
        with _quietly():
            raw = call(function, *given, may_raise=tuple(task.stops) if advice is None else _EXPECTED, nothing=advice is not None)
    except (CheckFailed, *refused):
        raise
    except Exception as error:
        expected = (why for kind, why in task.stops.items() if isinstance(error, kind))
        why = _text(next(expected) if advice is None else advice, error, *case)
        raise CheckFailed(f"{task._said(case)} your function stops with {type(error).__name__}: {f'{error}. ' if refused else ''}{why}") from error
    require(raw is not None, "" if raw is not None else f"{task._said(case)} you return nothing. {_text(advice or '', None, *case)}")
    return raw


def _answer(task: Exercise, function: Callable[..., Any], case: Case, edge: Advice | None = None) -> tuple[list[Any], Any, tuple[Any, ...]]:
    """The inputs after the call, what was returned, and what is compared, once it is of the type and shape of the right answer."""
    given = task._copied(case)
    raw = _tried(task, function, case, given, edge)
    raw = task.read(raw, *case) if task.read else raw
    for name, before, after in zip(task.inputs, case, given, strict=False):  # what has a default may be left out
        require(name in task.changed or close(after, before, 0), f"Your function changes {name}, {task.only_read}")
    with _quietly():
        right = task.reference(*task._copied(case))
    if not task.parts or task.observe:
        mine = _value(task, task, case, raw, right, edge is not None)
        return given, raw, task._values(given, mine)
    order = f"Return {len(task.parts)} things, in this order: {', '.join(part.name for part in task.parts)}"
    require(isinstance(raw, tuple | list), f"{order}; you return only one, a {type(raw).__name__}.")
    require(len(raw) == len(task.parts), f"{order}; you return {len(raw)}.")
    return given, raw, tuple(_value(task, *of_one, edge is not None) for of_one in zip(task.parts, [case] * len(raw), raw, right, strict=True))


def _value(task: Exercise, part: Part, case: Case, mine: Any, right: Any, edge: bool) -> Any:
    """One value of an answer, once it is of the right type and shape, and finite."""
    kind, your = type(mine).__name__, f"your {part.name or 'answer'}"
    require(kind not in part.kinds, part.kinds.get(kind))
    several = isinstance(mine, tuple) and not isinstance(right, tuple | list)
    require(not several, f"{your.capitalize()} should be one thing, and you return several things: {len(mine) if several else 0}, in a tuple.")
    if isinstance(right, np.ndarray | Tensor):
        wanted, array = ("a numpy array", np.ndarray) if isinstance(right, np.ndarray) else ("a tensor", Tensor)
        single = [_text(why, *case) for shape, why in part.shapes if isinstance(mine, numbers.Real) and shape(*case) == ()]
        require(not single, f"{your.capitalize()} is a single number. {''.join(single)}")
        require(isinstance(mine, array), f"{f'{part.name} should be' if part.name else 'Return'} {wanted}, not {kind}.")
        letter, dtype, holds = _array(mine).dtype.kind, str(mine.dtype).removeprefix("torch."), _array(right).dtype.kind
        for key in (dtype, letter):
            require(key not in part.kinds, part.kinds.get(key))
        accepted, words = {"f": ("fiu", "numbers"), "b": ("b", "true and false")}.get(holds, ("iub", "whole numbers"))
        require(letter in accepted, f"{f'{part.name} should hold' if part.name else 'Return'} {words}, and not {dtype}.")
        sizes = f"{task._said(case)} {part.name or 'your answer'} has shape {tuple(mine.shape)} and not {tuple(right.shape)}"
        require(mine.shape == right.shape, f"{sizes}: {_shape_advice(part, case, tuple(mine.shape)) or 'see which dimension is which.'}")
    elif isinstance(right, numbers.Real | np.number) and not isinstance(right, bool):
        number, shape = your.capitalize() if part.name else f"Return one number: {your}", np.shape(_array(mine))
        require(shape == (), f"{number} has shape {shape}, and should be one number. {_shape_advice(part, case, shape)}")
        mine = mine.item() if isinstance(mine, np.ndarray | np.generic | Tensor) else mine
        real = isinstance(mine, numbers.Number) and not isinstance(mine, bool | complex)
        require(real, f"{number} should be a number, not {type(mine).__name__}: {show(mine)}.")
        mine = mine if isinstance(mine, int) else float(mine)
    else:
        mine = bool(mine) if isinstance(right, bool) and np.shape(mine) == () and isinstance(mine, np.bool_ | np.ndarray | Tensor) else mine
        class_: Any = (list, tuple) if isinstance(right, list | tuple) else Mapping if isinstance(right, Mapping) else type(right)
        require(isinstance(mine, class_), f"{your.capitalize()} should be a {type(right).__name__}, not {kind}: {show(mine)}.")
        return mine
    odd = np.isfinite(_array(right)).all() and not np.isfinite(_array(mine)).all()
    require(edge or not odd or not part.infinite, f"{task._said(case)} {your} is {show(mine)}. {part.infinite}")
    return mine


def _shape_advice(part: Part, case: Case, found: tuple[int, ...]) -> str:
    return next((_text(why, *case) for shape, why in part.shapes if shape(*case) in (found, None)), "")


def _check_gradient(task: Exercise, case: Case, given: list[Any], raw: Any) -> None:
    """Whether what flows back to the inputs is what flows back from the right answer."""
    if not task.gradients:
        return
    require(raw.requires_grad, "No gradient flows: stay in torch, without .detach(), .item() or no_grad.")
    theirs, gradients = task._copied(case), []
    for arguments, result in ((given, raw), (theirs, task.reference(*theirs))):
        wanted = [arguments[list(task.inputs).index(name)] for name in task.gradients]
        up = torch.linspace(1, 2, result.numel(), dtype=result.dtype).view(result.shape)  # a sum of a softmax would have none
        gradients.append(torch.autograd.grad(result, wanted, up, allow_unused=True, materialize_grads=True))
    require(all(map(close, *gradients)), task.uphill)


def close(one: Any, other: Any, rtol: float | None = None) -> bool:
    """Numbers that are not whole nearly, as their dtype allows, or to the bit with an ``rtol`` of 0; anything else exactly."""
    if isinstance(other, Mapping):
        return isinstance(one, Mapping) and one.keys() == other.keys() and all(close(one[key], other[key], rtol) for key in other)
    if isinstance(other, list | tuple):
        return isinstance(one, list | tuple) and len(one) == len(other) and all(close(*pair, rtol) for pair in zip(one, other, strict=True))
    if not isinstance(other, numbers.Real | np.number | np.ndarray | Tensor):
        alike = type(one) is type(other) and hasattr(other, "__dict__")  # modules, vectors with their words
        return close(vars(one), vars(other), rtol) if alike else bool(one == other)
    one, other = _array(one), _array(other)
    if one.shape != other.shape or one.dtype.kind not in "biufc":
        return False
    if other.dtype.kind not in "fc":
        return np.array_equal(one, other)
    coarse = other.dtype.itemsize < 8 or (one.dtype.kind == "f" and one.dtype.itemsize < 8)
    rtol, atol = (1e-4 if coarse else 1e-5) if rtol is None else rtol, (1e-6 if coarse else 1e-8) if rtol != 0 else 0
    return np.allclose(one, other, rtol=rtol, atol=atol, equal_nan=True)


def _array(value: Any) -> np.ndarray:
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        return (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    try:
        return np.asarray(float(value) if isinstance(value, numbers.Rational) and not isinstance(value, int | np.integer) else value)
    except ValueError:  # rows of different lengths
        return np.asarray(value, dtype=object)


def _too_narrow(mine: Any, right: Any) -> str:
    """What is said of values that would be right if their dtype could hold them."""
    arrays = all(isinstance(value, np.ndarray | Tensor) for value in (mine, right)) and _array(mine).dtype != _array(right).dtype
    narrow = arrays and np.array_equal(_array(mine), _array(right).astype(_array(mine).dtype))
    return f"they are of type {mine.dtype}, which is too small for these numbers." if narrow else ""


def show(value: Any, digits: int = 0) -> str:
    """A value in a message: numbers with four digits, or three in an array, or as many as are asked for; brackets for each dimension."""
    if isinstance(value, list | tuple) or (isinstance(value, np.ndarray | Tensor) and value.ndim):
        return "[" + ", ".join(show(row, digits or 3) for row in value) + "]"
    value = value.item() if isinstance(value, np.ndarray | np.generic | Tensor) else value
    return f"{value + 0:.{digits or 4}g}" if isinstance(value, float) else textwrap.shorten(repr(value), 200, placeholder=" ...")


def verify(run: Any) -> Iterator[str]:
    """What is wrong with the exercise of a check: a reference that fails, mistakes that pass or get another's diagnosis."""
    task = run.exercise
    slips = [(task.reference, "", False, 0)] + [(*slip, number) for number in range(len(task._parts())) for slip in task._slips(number) if slip[2] or not number]
    for mistake, why, alone, number in slips:

        def answer(*case: Any, mistake: Callable[..., Any] = mistake, alone: bool = alone, number: int = number) -> Any:
            if not alone or task.observe:
                return mistake(*case)
            right = task._right(case)
            return (*right[:number], mistake(*case), *right[number + 1 :])

        texts, failed = {_text(why, *case) for case in task.cases}, ""
        try:
            grade(task, answer)
        except CheckFailed as error:
            failed = str(error)
        if bool(failed) != bool(why) or not any(text in failed for text in texts):
            yield f"{task.title}: {'; '.join(texts) or 'the reference'!r} is answered with {failed or 'a ✓'!r}"


def check(title: str) -> Callable[[Check], Check]:
    """Make a check out of a function that raises :class:`CheckFailed`; ``title`` is what the ✓ confirms."""

    def decorate(body: Check) -> Check:
        lecture = re.fullmatch(r"course_utils\.exercises\.lecture_(\d\d[a-z]?)", body.__module__)
        if lecture:
            CHECKS.setdefault(lecture[1], []).append(body.__name__)

        @functools.wraps(body)
        def run(function: Callable[..., Any]) -> None:
            kind = "a class" if isinstance(function, type) else type(function).__name__
            require(callable(function) and kind != "a class", f"Give the check your function itself, {body.__name__}(name), without calling it: it got {kind}.")
            body(function)
            print(f"✓ {title}")
            if lecture and not is_folded_solution(function):
                kept.record(lecture[1], "exercises", body.__name__)

        return run

    return decorate


def is_folded_solution(function: Callable[..., Any]) -> bool:
    """Whether the cell in which a function was written says that it is the course's solution: no student's progress."""
    code = getattr(function, "__code__", None)
    return code is not None and linecache.getline(code.co_filename, 1).startswith(SOLUTION)


def call(function: Callable[..., Any], *arguments: Any, may_raise: tuple[type[Exception], ...] = (), nothing: bool = False) -> Any:
    """Call a student's function; what goes wrong inside becomes a :class:`CheckFailed` that says where.

    Exceptions in ``may_raise`` pass through: the check expects them. So does None where ``nothing`` is allowed.
    """
    name = getattr(function, "__name__", "your function")
    try:
        result = function(*arguments)
    except NotImplementedError as error:
        raise CheckFailed(f"{name} is still to be written: put your lines where it says so, then run both cells.") from error
    except may_raise:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        line = ([frame for frame in frames[1:] if frame.name == name] or frames)[-1].line
        raise CheckFailed(f"{name} stopped{f' at `{line}`' if line else ''} with {type(error).__name__}: {error}") from error
    if isinstance(result, Coroutine):
        result.close()  # it is never awaited, and would say so later
    for kinds, why in _UNFINISHED.items():
        require(not isinstance(result, kinds), f"{name} returns a {type(result).__name__}, and not yet an answer: {why}")
    require(result is not None or nothing, f"{name} returns nothing yet: write it, and end it with `return` and the answer.")
    return result


def require(condition: Any, diagnosis: Any) -> None:
    """Raise :class:`CheckFailed` with the diagnosis unless the condition holds."""
    if not condition:
        raise CheckFailed(diagnosis)
# fmt: on
