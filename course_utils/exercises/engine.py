"""One engine behind the checks. An exercise is data; how an answer is called, compared and diagnosed stands here once.

Declare an exercise at the level of its lecture's module, exercises/lecture_NN.py::

    def _share(labels):
        \"""Check a function from labels (a list of 0 and 1) to the share of ones, between 0 and 1.\"""
        return sum(labels) / len(labels)

    check_share = exercise(
        "share: the share of ones among the labels",  # what the ✓ confirms; the part before the colon names the check
        _share,  # the reference: right, by the plainest way; its docstring becomes the check's
        inputs=("the labels",),  # as messages call them
        cases=[([0, 0, 0, 1],), ([1, 1],)],  # one tuple of arguments each; every one may tell two mistakes apart
        mistakes=[(sum, "that counts the ones. Divide by how many labels there are.")],  # wrong functions, and what is wrong
        refused=[(([],), "There is nothing to count: raise ValueError.")],  # where ValueError is wanted, any message or none
    )

Without another word the engine tells the student when the function is still to be written, returns nothing or several things,
returns the wrong type, shape or dtype, changes its inputs, or is not finite; any kind of number is a number. It compares the
values exactly (integers, text) or with the tolerance of their dtype, and blames a mistake only if that explains every answer; if
none does, one that explains the first wrong answer and contradicts no right one. An advice is a text, or a function that makes it.
What else an exercise may say: ``edges`` (inputs at which exp overflows, a mask is empty: whatever goes wrong there gets the
advice beside them), ``parts`` (several values, each with its mistakes; those of the exercise then return all values),
``gradients`` (inputs whose gradient has to be the reference's), ``observe`` (what to compare instead of the value itself: what has
become of a module, which messages a threshold blocks), and ``also``, a function for what is left to check by hand: keep it small.
:func:`verify` runs every mistake as a student's answer and wants its own diagnosis; the tests do so for all exercises.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import linecache
import numbers
import re
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Check = Callable[[Callable[..., Any]], None]
Case = tuple[Any, ...]
Advice = str | Callable[..., str]
Mistake = tuple[
    Callable[..., Any], Advice
]  # a function like the student's, and what is wrong; the advice may be made of the case
SOLUTION = "# One solution"  # so begins a solution's cell
CHECKS: dict[str, list[str]] = {}  # lecture -> the names of its checks, in order, once its module is imported


class CheckFailed(AssertionError):
    """An answer is not right yet; the message says what is probably wrong."""

    def _render_traceback_(self) -> list[str]:
        # IPython asks for this: a student needs the diagnosis, not the inside of the check.
        return [f"✗ {self}"]


# fmt: off
@dataclass(frozen=True)
class Part:
    """One of the values that an answer consists of; its type and shape are the reference's."""

    name: str = ""  # in messages, "your loss is ..."; "" where there is one value only
    _: KW_ONLY
    mistakes: Sequence[Mistake] = ()
    shapes: Sequence[Mistake] = ()  # functions of a case that give a wrong shape, or None for any other
    kinds: Mapping[str, str] = field(default_factory=dict)  # a type, a dtype or its letter ("list", "float64", "b"): the advice
    infinite: str = "Do you divide by 0?"
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
    also: Check | None = None

    def said_of(self, case: Case) -> str:
        """The case in words, to begin a message with."""
        if self.describe:
            return self.describe(*case)
        return "For " + ", ".join(f"{name} {show(value)}" for name, value in zip(self.inputs, case, strict=True))

    def values(self, case: Case, function: Callable[..., Any] | None = None) -> tuple[Any, ...]:
        """What is compared, a value for each part: the right ones, or those of a mistake."""
        given = _copied(self, case)
        with _quietly():
            return _values(self, given, (function or self.reference)(*given))


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
    raws = [_answer(task, function, case) for case in task.cases]
    mine, theirs = [values for _, _, values in raws], [task.values(case) for case in task.cases]
    for number, part in enumerate(task.parts or (task,)):
        right = [close(one[number], other[number], part.rtol) for one, other in zip(mine, theirs, strict=True)]
        if not all(right):
            off = right.index(False)
            said = _said(task, number, task.cases[off], mine[off][number], theirs[off][number])
            raise CheckFailed(said + _diagnosis(task, number, mine, theirs, right))
    for case, (given, raw, _) in zip(task.cases, raws, strict=True):
        _check_gradient(task, case, given, raw)
    for case, advice in task.edges:
        _check_edge(task, function, case, advice)
    for case, advice in task.refused:
        _check_refusal(task, function, case, advice)
    if task.also:
        task.also(function)


def _diagnosis(task: Exercise, number: int, mine: list[Any], theirs: list[Any], right: list[bool]) -> str:
    """What explains every answer; or else the first one that is off, without contradicting those that are right."""
    part, off = _parts(task)[number], right.index(False)

    def explains(mistake: Callable[..., Any], whole: bool, i: int) -> bool:
        try:
            guess = _guess(task, task.cases[i], mistake, None if whole else number)
        except Exception:  # a mistake need not have an answer everywhere
            return False
        return all(close(mine[i][place], value, part.rtol) for place, value in guess.items())

    slips = [(*mistake, True) for mistake in task.mistakes] + [(*mistake, False) for mistake in (part.mistakes if task.parts else ())]
    for cases in (range(len(right)), [off] + [i for i, good in enumerate(right) if good]):
        for mistake, why, whole in slips:
            if all(explains(mistake, whole, i) for i in cases):
                return f": {_text(why, *task.cases[off])}"
    one, other = mine[off][number], theirs[off][number]
    why = _too_narrow(one, other) or _text(part.otherwise, one, other, *task.cases[off])
    return f": {why}" if why else "."


def _guess(task: Exercise, case: Case, mistake: Callable[..., Any], number: int | None) -> dict[int, Any]:
    """What a mistake makes of a case, by part; where it belongs to one part, it returns that part alone."""
    given = _copied(task, case)
    with _quietly():
        raw = mistake(*given)
        if number is None:
            return dict(enumerate(_values(task, given, raw)))
        return {number: _values(task, given, raw)[number] if task.observe else raw}


def _parts(task: Exercise) -> Sequence[Part]:
    return task.parts or (task,)


def _values(task: Exercise, given: Case, raw: Any) -> tuple[Any, ...]:
    raw = task.observe(*given, raw) if task.observe else raw
    return tuple(raw) if task.parts else (raw,)


def _copied(task: Exercise, case: Case) -> list[Any]:
    given = copy.deepcopy(list(case))
    for name in task.gradients:
        given[list(task.inputs).index(name)].requires_grad_()
    return given


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy's own, of a mean over nothing
        yield


def _text(advice: Advice, *given: Any) -> str:
    return advice if isinstance(advice, str) else advice(*given)


def _said(task: Exercise, number: int, case: Case, mine: Any, right: Any) -> str:
    part, before = _parts(task)[number], _parts(task)[:number]
    if part.said:
        return part.said(mine, right, *case)
    start = f"The {before[0].name} is right. " if before else ""
    what, verb = (f"your {part.name}", "is") if part.name else ("you return", "")
    if isinstance(right, np.ndarray | Tensor) and right.ndim > 1 and np.size(_array(right)) > 12:
        row = next(i for i in np.ndindex(*right.shape[:-1]) if not close(mine[i], right[i], part.rtol))
        what, verb = f"row {', '.join(map(str, row))} of {f'your {part.name}' if part.name else 'what you return'}", "is"
        mine, right = mine[row], right[row]
    return f"{start}{task.said_of(case)} {what} {verb + ' ' if verb else ''}{show(mine)} and not {show(right)}"


def _answer(
    task: Exercise, function: Callable[..., Any], case: Case, edge: Advice | None = None
) -> tuple[list[Any], Any, tuple[Any, ...]]:
    """The inputs after the call, what the function returned, and its values, each of the type and shape of the right one."""
    right = task.values(case) if not task.observe else (task.reference(*_copied(task, case)),)
    given, said = _copied(task, case), task.said_of(case)
    try:
        with _quietly():
            raw = call(function, *given, may_raise=() if edge is None else (Exception,), nothing=edge is not None)
    except CheckFailed:
        raise
    except Exception as error:  # at an edge only
        raise CheckFailed(f"{said} your function stops with {type(error).__name__}: {_text(edge or '', error, *case)}") from error
    require(edge is None or raw is not None, f"{said} you return nothing. {_text(edge or '', None, *case)}")
    for name, before, after in zip(task.inputs, case, given, strict=True):
        require(name in task.changed or same(before, after), f"Your function changes {name}, {task.only_read}")
    parts: Sequence[Part] = (task,) if task.observe else _parts(task)
    results = [raw]
    if len(parts) > 1:
        order = f"Return {len(parts)} things, in this order: {', '.join(part.name for part in parts)}"
        require(isinstance(raw, tuple | list), f"{order}; you return only one, a {type(raw).__name__}.")
        require(len(raw) == len(parts), f"{order}; you return {len(raw)}.")
        results = list(raw)
    results = [_value(task, part, case, mine, wanted, edge is not None) for part, mine, wanted in zip(parts, results, right, strict=True)]
    return given, raw, _values(task, given, results[0]) if task.observe else tuple(results)


def _value(task: Exercise, part: Part, case: Case, mine: Any, right: Any, edge: bool) -> Any:
    """One value of an answer, once it is of the right type and shape, and finite."""
    name = f"Your {part.name}" if part.name else "Your answer"
    kind = type(mine).__name__
    require(kind not in part.kinds, part.kinds.get(kind))
    if isinstance(mine, tuple) and not isinstance(right, tuple | list):
        raise CheckFailed(f"{name} should be one thing, and you return several: {len(mine)} of them, in a tuple.")
    if isinstance(right, numbers.Real | np.number) and not isinstance(right, bool):
        found, number = np.shape(_array(mine)), f"Return one number: {name[0].lower()}{name[1:]}" if not part.name else name
        require(found == (), f"{number} has shape {found}, and should be one number. {_advice(part, case, found)}")
        mine = mine.item() if isinstance(mine, np.ndarray | np.generic | Tensor) else mine
        real = isinstance(mine, numbers.Real) and not isinstance(mine, bool)
        require(real, f"{number} should be a number, not {type(mine).__name__}: {mine!r}.")
        mine = mine if isinstance(mine, int) else float(mine)
    elif isinstance(right, np.ndarray | Tensor):
        wanted, needed = ("numpy array", np.ndarray) if isinstance(right, np.ndarray) else ("tensor", Tensor)
        require(isinstance(mine, needed), f"{f'{part.name} should be' if part.name else 'Return'} a {wanted}, not {kind}.")
        letter, dtype = _array(mine).dtype.kind, str(mine.dtype).removeprefix("torch.")
        for key in (dtype, letter):
            require(key not in part.kinds, part.kinds.get(key))
        words = {"f": "numbers", "i": "whole numbers", "u": "whole numbers", "b": "true and false"}
        wanted = _array(right).dtype.kind
        fits = letter in {"f": "fiu", "i": "iub", "u": "iub"}.get(wanted, wanted)
        should = f"{part.name} should hold" if part.name else "Return"
        require(fits, f"{should} {words.get(wanted, wanted)}, and not {dtype}.")
        sizes = f"{task.said_of(case)} {part.name or 'your answer'} has shape {tuple(mine.shape)} and not {tuple(right.shape)}"
        require(mine.shape == right.shape, f"{sizes}: {_advice(part, case, tuple(mine.shape)) or 'see which dimension is which.'}")
    elif right is not None:
        kinds = (list, tuple) if isinstance(right, list | tuple) else Mapping if isinstance(right, Mapping) else type(right)
        require(isinstance(mine, kinds), f"{name} should be a {type(right).__name__}, not {kind}: {mine!r}.")
        return mine
    well = edge or np.isfinite(_array(mine)).all() or not np.isfinite(_array(right)).all()
    require(well, f"{task.said_of(case)} {name[0].lower()}{name[1:]} is {show(mine)}. {part.infinite}")
    return mine


def _advice(part: Part, case: Case, found: tuple[int, ...]) -> str:
    return next((_text(why, *case) for shape, why in part.shapes if shape(*case) in (found, None)), "")


def _check_gradient(task: Exercise, case: Case, given: list[Any], raw: Any) -> None:
    """Whether what flows back to the inputs is what flows back from the right answer."""
    if not task.gradients:
        return
    require(raw.requires_grad, "No gradient flows: stay in torch, without .detach(), .item() or no_grad.")
    theirs, gradients = _copied(task, case), []
    for arguments, result in ((given, raw), (theirs, task.reference(*theirs))):
        wanted = [arguments[list(task.inputs).index(name)] for name in task.gradients]
        up = torch.linspace(1, 2, result.numel(), dtype=result.dtype).view(result.shape)
        gradients.append(torch.autograd.grad(result, wanted, up, allow_unused=True, materialize_grads=True))
    require(all(close(one, other) for one, other in zip(*gradients, strict=True)), task.uphill)


def _check_edge(task: Exercise, function: Callable[..., Any], case: Case, advice: Advice) -> None:
    """An input at which whatever goes wrong has the same reason."""
    given, raw, mine = _answer(task, function, case, edge=advice)
    for number, (one, other) in enumerate(zip(mine, task.values(case), strict=True)):
        if not close(one, other, _parts(task)[number].rtol):
            raise CheckFailed(f"{_said(task, number, case, one, other)}: {_text(advice, one, *case)}")
    _check_gradient(task, case, given, raw)


def _check_refusal(task: Exercise, function: Callable[..., Any], case: Case, advice: str) -> None:
    said = task.said_of(case)
    try:
        with _quietly():
            result = call(function, *_copied(task, case), may_raise=(Exception,), nothing=True)
    except ValueError:
        return
    except CheckFailed:
        raise
    except Exception as error:
        raise CheckFailed(f"{said} your function stops with {type(error).__name__}: {error}. {advice}") from error
    raise CheckFailed(f"{said} you return {'nothing' if result is None else show(result)}. {advice}")


def same(one: Any, other: Any) -> bool:
    """To the bit, whatever the two are, nan included."""
    if isinstance(one, nn.Module):
        return same(dict(one.state_dict()), dict(other.state_dict()))
    if isinstance(one, Mapping):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, np.ndarray | Tensor):
        one, other = _array(one), _array(other)
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind in "fc")
    return bool(one == other)


def close(one: Any, other: Any, rtol: float | None = None) -> bool:
    """Numbers that are not whole nearly, as their dtype allows; anything else exactly."""
    if isinstance(other, Mapping):
        return isinstance(one, Mapping) and one.keys() == other.keys() and all(close(one[key], other[key], rtol) for key in other)
    if isinstance(other, list | tuple):
        alike = isinstance(one, list | tuple) and len(one) == len(other)
        return alike and all(close(x, y, rtol) for x, y in zip(one, other, strict=True))
    if not isinstance(other, numbers.Real | np.number | np.ndarray | Tensor):
        return bool(one == other)
    one, other = _array(one), _array(other)
    if one.shape != other.shape or one.dtype.kind not in "biufc":
        return False
    if other.dtype.kind not in "fc":
        return np.array_equal(one, other)
    coarse = min(x.dtype.itemsize for x in (one, other) if x.dtype.kind in "fc" or x is other) < 8
    return np.allclose(one, other, rtol=rtol or (1e-4 if coarse else 1e-5), atol=1e-6 if coarse else 1e-8, equal_nan=True)


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
    if not all(isinstance(value, np.ndarray | Tensor) for value in (mine, right)) or mine.dtype == right.dtype:
        return ""
    one, other = _array(mine), _array(right)
    narrow = np.array_equal(one, other.astype(one.dtype))
    return f"they are of type {mine.dtype}, which is too small for these numbers." if narrow else ""


def show(value: Any, digits: int = 4) -> str:
    """A value in a message: numbers shortened, brackets for each dimension."""
    if isinstance(value, list | tuple) or (isinstance(value, np.ndarray | Tensor) and value.ndim):
        return "[" + ", ".join(show(row, 3) for row in value) + "]"
    value = value.item() if isinstance(value, np.ndarray | np.generic | Tensor) else value
    return f"{value + 0:.{digits}g}" if isinstance(value, float) else repr(value)


def verify(run: Any) -> Iterator[str]:
    """What is wrong with the exercise of a check: a reference that fails, mistakes that pass or get another's diagnosis."""
    task = run.exercise
    try:
        grade(task, task.reference)
    except CheckFailed as failed:
        yield f"{task.title}: the reference fails: {failed}"
    slips = [(mistake, why, None) for mistake, why in task.mistakes]
    slips += [(mistake, why, number) for number, part in enumerate(task.parts) for mistake, why in part.mistakes]
    for mistake, why, number in slips:

        def answer(*case: Any, mistake: Callable[..., Any] = mistake, number: int | None = number) -> Any:
            if number is None or task.observe:
                return mistake(*case)
            values = list(task.values(case))
            values[number] = mistake(*case)
            return tuple(values)

        try:
            grade(task, answer)
            yield f"{task.title}: a mistake passes: {_text(why, *task.cases[0])}"
        except CheckFailed as failed:
            if not any(_text(why, *case) in str(failed) for case in task.cases):
                yield f"{task.title}: {_text(why, *task.cases[0])!r} is answered with {str(failed)!r}"


# fmt: on
def check(title: str) -> Callable[[Check], Check]:
    """Make a check out of a function that raises :class:`CheckFailed`; ``title`` is what the ✓ confirms."""

    def decorate(body: Check) -> Check:
        lecture = re.fullmatch(r"course_utils\.exercises\.lecture_(\d\d)", body.__module__)
        if lecture:
            CHECKS.setdefault(lecture[1], []).append(body.__name__)

        @functools.wraps(body)
        def run(function: Callable[..., Any]) -> None:
            if not callable(function):
                raise CheckFailed(
                    f"Give the check your function itself, {body.__name__}(name), without calling it: it got "
                    f"{type(function).__name__}."
                )
            body(function)
            print(f"✓ {title}")
            if lecture and not is_folded_solution(function):
                from course_utils.exercises import progress  # which asks this package what there is to do

                progress.record(lecture[1], "exercises", body.__name__)

        return run

    return decorate


def is_folded_solution(function: Callable[..., Any]) -> bool:
    """Whether the cell in which a function was written says that it is the course's solution: no student's progress."""
    code = getattr(function, "__code__", None)
    return code is not None and linecache.getline(code.co_filename, 1).startswith(SOLUTION)


def call(
    function: Callable[..., Any],
    *arguments: Any,
    may_raise: tuple[type[Exception], ...] = (),
    nothing: bool = False,
) -> Any:
    """Call a student's function; what goes wrong inside becomes a :class:`CheckFailed` that says where.

    Exceptions in ``may_raise`` pass through: the check expects them. So does None where ``nothing`` is allowed.
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
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames[1:] if frame.name == name]
        line = (own or frames)[-1].line
        where = f" at `{line}`" if line else ""
        raise CheckFailed(f"{name} stopped{where} with {type(error).__name__}: {error}") from error
    if result is None and not nothing:
        raise CheckFailed(f"{name} returns nothing yet: write it, and end it with `return` and the answer.")
    return result


def require(condition: Any, diagnosis: Any) -> None:
    """Raise :class:`CheckFailed` with the diagnosis unless the condition holds."""
    if not condition:
        raise CheckFailed(diagnosis)
