"""The engine behind the exercises, and every exercise by its own mistakes."""

import importlib
import pkgutil
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch

from course_utils import exercises
from course_utils.exercises.engine import CheckFailed, Part, close, exercise, grade, show, verify

LECTURES = [
    module.name for module in pkgutil.iter_modules(exercises.__path__) if module.name.startswith("lecture_")
]
CHECKS = {
    f"{name}.{check}": run
    for name in LECTURES
    for check, run in vars(importlib.import_module(f"course_utils.exercises.{name}")).items()
    if hasattr(run, "exercise")
}


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_every_named_mistake_gets_its_own_diagnosis_and_the_reference_passes(check):
    assert not list(verify(check))


def promised(right):
    """Functions that only promise an answer, and what is said of them."""

    async def later(*case):
        return right(*case)

    def bit_by_bit(*case):
        yield right(*case)

    return {
        "`async def`": later,
        "`yield`": bit_by_bit,
        "list(...)": lambda *case: map(right, [case]),
        "call it, with brackets": lambda *case: right,
    }


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_an_answer_of_the_wrong_kind_gets_a_diagnosis_in_every_exercise(check):
    """Several things, one in a tuple, a promise, a text, a table, a function of something else: never a crash."""
    task = check.exercise
    one = not task.parts and not isinstance(task._right(task.cases[0])[0], list | tuple)
    for answer in (
        lambda *case: (task.reference(*case), None),
        lambda *case: (task.reference(*case),),
        lambda *case: (task.reference(*case), task.reference(*case), 1),
    ):
        failed = refusal(check, answer)
        assert not one or task.read or "tuple" in task.kinds or "you return several things" in failed
    for why, answer in promised(task.reference).items():
        assert why in refusal(check, answer)
    values = [
        object(),
        "0.5x",
        b"x",
        {"x"},
        {"answer": 1},
        [[1], [1, 2]],
        [],
        (),
        1j,
        True,
        float("nan"),
        ...,
        np.array("x"),
    ]
    for value in values:
        refusal(check, lambda *case, value=value: value)
    for function in (type("Answer", (), {}), int, "def answer(): pass", 0.5, None, [len]):
        assert "Give the check your function itself" in refusal(check, function)


def refusal(check, answer):
    """What a check says of an answer, which it must not let pass."""
    with pytest.raises(CheckFailed) as failed:
        check(answer)
    assert len(str(failed.value)) > 20
    return str(failed.value)


def test_a_lecture_can_be_imported_without_drawing_a_random_number():
    code = f"""
import random, numpy as np, torch
before = random.getstate(), str(np.random.get_state()), torch.get_rng_state()
import {", ".join(f"course_utils.exercises.{name}" for name in LECTURES)}
assert (random.getstate(), str(np.random.get_state())) == before[:2] and torch.equal(torch.get_rng_state(), before[2])
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# --- exercises made up for the engine


def declared(reference, cases, inputs=("x",), **data):
    return exercise("answer: as it should be", reference, inputs=inputs, cases=cases, **data)


def said(check, function):
    """What a check answers; nothing if it passes."""
    try:
        grade(check.exercise, function)
    except CheckFailed as failed:
        return str(failed)
    return ""


half = declared(lambda x: x / 2, [(3,), (-1,)])
halves = declared(lambda x: x / 2, [(np.arange(3.0),), (np.array([[1.0, np.nan]]),)], infinite="Whence?")
ids = declared(lambda x: x + 1, [(np.array([1, 2]),), (np.array([299]),)])
tensors = declared(lambda x: x.softmax(-1), [(torch.tensor([1.0, 2, 4]),)], gradients=("x",))
rows = declared(lambda x: [row[::-1] for row in x], [([[1, 2], [3]],)])
flags = declared(lambda x: x > 1, [(1,), (2,)])
two = declared(
    lambda x: (x + 1, [x]),
    [(1,), (5,)],
    parts=(
        Part("sum", mistakes=[(lambda x: x - 1, "that is minus.")]),
        Part("list", mistakes=[((lambda x: [], lambda x: [0]), lambda x: f"where is {x}?")]),
    ),
    mistakes=[(lambda x: (x * 2, [2 * x]), "it is doubled in both.")],
)


@pytest.mark.parametrize("number", [np.float32, np.float64, Fraction, Decimal, torch.tensor, np.array])
def test_any_kind_of_number_is_a_number(number):
    assert not said(half, lambda x: number(x / 2))


@pytest.mark.parametrize(
    ("check", "function", "diagnosis"),
    [
        (half, lambda x: None, "returns nothing yet"),
        (half, lambda x: (x / 2, x), "you return several things: 2"),
        (half, lambda x: [x / 2], "has shape (1,), and should be one number"),
        (half, lambda x: True, "should be a number, not bool"),
        (half, lambda x: str(x / 2), "should be a number, not str"),
        (half, lambda x: x / 0, "stopped"),
        (half, lambda x: 3 / 2 if x == 3 else x.half, "stopped"),
        (
            half,
            lambda x: x if x == 3 else x.half,
            "For x 3 you return 3 and not 1.5.",
        ),  # what is wrong before
        (half, lambda x: round(x / 2 + 0.01, 2), "you return 1.51 and not 1.5"),
        (halves, lambda x: (x / 2).tolist(), "Return a numpy array, not list"),
        (halves, lambda x: torch.tensor(x / 2), "Return a numpy array, not Tensor"),
        (halves, lambda x: (x / 2).astype(str), "Return numbers, and not <U"),
        (halves, lambda x: x[None] / 2, "shape (1, 3) and not (3,)"),
        (halves, lambda x: x / 0, "Whence?"),
        (halves, lambda x: np.divide(x, 2, out=x), "changes x, which it should only read"),
        (ids, lambda x: (x + 1).astype(np.uint8), "of type uint8, which is too small for these numbers"),
        (ids, lambda x: (x + 1).astype(float), "Return whole numbers, and not float64"),
        (tensors, lambda x: x.softmax(-1).detach(), "No gradient flows"),
        (tensors, lambda x: x.exp() / x.exp().sum().item(), "the gradient that flows back is not"),
        (tensors, lambda x: x.softmax(-1) + (x.detach() - x).abs().sqrt(), "the gradient that flows back"),
        (tensors, lambda x: x.softmax(-1).half(), "of type torch.float16, which is too small"),
        (rows, lambda x: [row.reverse() or row for row in x], "changes x"),
        (rows, lambda x: [[2, 1], [3, 3]], "you return [[2, 1], [3, 3]] and not [[2, 1], [3]]"),
        (rows, lambda x: {"rows": x}, "should be a list, not dict"),
        (flags, lambda x: int(x > 1), "should be a bool, not int"),
        (two, lambda x: x + 1, "Return 2 things, in this order: sum, list; you return only one, a int"),
        (two, lambda x: (x + 1, [x], x), "you return 3"),
        (two, lambda x: (x - 1, []), "your sum is 0 and not 2: that is minus."),
        (two, lambda x: (x + 1, [0]), "The sum is right. For x 1 your list is [0] and not [1]: where is 1?"),
        (two, lambda x: (x * 2, [2 * x]), "it is doubled in both"),
    ],
)
def test_what_holds_for_every_answer(check, function, diagnosis):
    assert diagnosis in said(check, function)


def test_right_answers_of_other_types_pass():
    assert not said(halves, lambda x: (x / 2).astype(np.float32))
    assert not said(ids, lambda x: (x + 1).astype(np.uint16))
    assert not said(rows, lambda x: tuple(tuple(reversed(row)) for row in x))
    assert not said(flags, lambda x: np.bool_(x > 1)) and not said(flags, lambda x: torch.tensor(x > 1))
    assert not said(two, lambda x: [np.int64(x + 1), (x,)])


def test_objects_among_the_inputs_must_be_left_alone():
    class Words:
        def __init__(self):
            self.table, self.rows = np.zeros(2), {"a": [1]}

    words = declared(lambda words, layer: 1, [(Words(), torch.nn.Linear(2, 2))], inputs=("words", "layer"))
    assert not said(words, lambda words, layer: 1)
    assert "changes words" in said(words, lambda words, layer: words.rows["a"].append(2) or 1)
    assert "changes layer" in said(words, lambda words, layer: layer.weight.data.zero_() is None or 1)
    assert not said(declared(lambda words: 1, [(Words(),)], changed=("x",)), lambda x: len(vars(x)) and 1)


def test_a_mistake_must_explain_every_answer_and_contradict_no_right_one():
    check = declared(
        lambda n, d: n / d**0.5,
        [(5, 4), (6, 9), (1, 25)],
        inputs=("n", "d"),
        mistakes=[
            (lambda n, d: n / 3 if d == 25 else n / 2, "this fits at d = 4 and 25 by chance."),
            (lambda n, d: n / 2, "you divide by 2, whatever d is."),
            (lambda n, d: n / d, "you divide by d."),
            (lambda n, d: n if d < 10 else 1 // 0, "you forget to divide."),
        ],
    )
    assert said(check, lambda n, d: n / 2).endswith("you divide by 2, whatever d is.")
    assert said(check, lambda n, d: n / d).endswith("you divide by d.")
    # one that has no answer everywhere explains where it has one, if all else is right
    assert said(check, lambda n, d: n if d < 10 else n / 5).endswith("not 2.5.")
    # wrong in every case, and in another way at 25: what explains the most is said
    assert said(check, lambda n, d: n / d if d < 10 else 0).endswith("you divide by d.")
    # right at d = 4 and 9, and at 25 as if divided by d: what is wrong everywhere is not blamed
    assert said(check, lambda n, d: n / d if d == 25 else n / d**0.5).endswith("and not 0.2.")


def test_inputs_that_are_to_be_refused():
    def root(x):
        if x < 0:
            raise ValueError
        return x**0.5

    check = declared(root, [(4,)], refused=[((-1,), "There is no root: raise ValueError.")])
    assert not said(check, root)
    assert (
        said(check, lambda x: abs(x) ** 0.5) == "For x -1 you return 1. There is no root: raise ValueError."
    )
    assert "you return nothing. There is" in said(check, lambda x: x**0.5 if x > 0 else None)
    assert "stops with KeyError: -1. There" in said(check, lambda x: 2 if x > 0 else {}[x])
    assert "stopped" in said(check, lambda x: 2 if x > 0 else x.root)


def test_edges_where_all_that_goes_wrong_has_one_reason():
    def why(answer, x):
        return f"exp({x}) is too large{'' if answer is None or isinstance(answer, Exception) else ', and not ' + show(answer)}."

    check = declared(
        lambda x: np.logaddexp(0, x), [(1.0,), (2.0,)], edges=[((1000.0,), why)], infinite="Infinite!"
    )
    assert not said(check, lambda x: x + np.log1p(np.exp(-x)))
    assert said(check, lambda x: np.log1p(np.exp(x))).endswith("exp(1000.0) is too large, and not inf.")
    assert "stops with OverflowError: exp(1000.0) is too large." in said(
        check, lambda x: np.log(1 + __import__("math").exp(x))
    )
    assert "you return nothing. exp(1000.0)" in said(check, lambda x: np.logaddexp(0, x) if x < 9 else None)


def test_what_is_observed_is_compared_and_not_the_value():
    check = declared(
        lambda x: 2,
        [([1, 2, 3],)],
        observe=lambda x, cut: [i >= cut for i in x],
        mistakes=[(max, "too high.")],
    )
    assert not said(check, lambda x: 1.5) and said(check, lambda x: 3).endswith("too high.")
    assert not list(verify(check))


def test_verify_finds_a_mistake_that_passes_one_with_another_diagnosis_and_a_wrong_reference():
    def found(*mistakes, reference=abs, **data):
        return list(verify(declared(reference, [(2,), (-3,)], mistakes=mistakes, **data)))

    assert not found((lambda x: -x, "a"), (lambda x: x, "b"))
    (passes,) = found((lambda x: max(x, -x), "a"))
    assert "'a' is answered with 'a ✓'" in passes
    (other,) = found((lambda x: -x, "a"), (lambda x: 0 - x, "b"))
    assert other.startswith(
        "answer: as it should be: 'b' is answered with 'For x 2 you return -2 and not 2: a'"
    )
    (wrong,) = found(reference=abs, refused=[((0,), "Refuse.")])
    assert "the reference" in wrong and "Refuse." in wrong


def test_values_are_compared_as_their_dtype_allows():
    third = torch.tensor(1 / 3)
    assert close(third, 1 / 3) and close(third.half().float() * 0 + third, np.float64(1 / 3))
    assert not close(0.33, 1 / 3) and not close(0.3333, 1 / 3)
    assert not close(109_482_241, 109_482_240) and close(3.0, 3)
    assert close({"a": [1, np.float32(0.1)]}, {"a": (1, 0.1)}) and not close({"a": 1}, {"b": 1})
    assert close(np.nan, np.nan) and not close(1 + 1e-9, 1.0, 0) and not close("a", 1) and not close([1], 1)
