"""What holds for the exercises of every lecture: a stub fails kindly, a right answer passes, a wrong one gets its diagnosis."""

import re
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from course_utils.exercises import CheckFailed

Check = Callable[[Any], None]


def name_of(value: object) -> str:
    """A short name for a case: that of the function, or the diagnosis itself."""
    return getattr(value, "__name__", "") if callable(value) else str(value)


def not_implemented(*_: object) -> None:
    raise NotImplementedError("your lines here")


class ExerciseContract:
    """Inherit, and set ``exercises``: for each check the right answers, and wrong ones with a piece of their diagnosis.

    ``pytest_generate_tests`` in conftest.py makes a test of each.
    """

    exercises: ClassVar[dict[Check, tuple[list[Any], list[tuple[Any, str]]]]]

    @classmethod
    def cases(cls, names: list[str]) -> list[tuple]:
        """The arguments for a test that takes ``exercise``, or it and ``answer``, or these and ``diagnosis``."""
        if "diagnosis" in names:
            return [(check, *case) for check, (_, wrong) in cls.exercises.items() for case in wrong]
        if "answer" in names:
            return [(check, answer) for check, (right, _) in cls.exercises.items() for answer in right]
        return [(check,) for check in cls.exercises]

    def test_a_right_answer_passes(self, exercise, answer, capsys, recwarn):
        assert exercise(answer) is None
        assert capsys.readouterr().out.startswith("✓ ")
        assert not recwarn

    @pytest.mark.filterwarnings("ignore::RuntimeWarning")
    def test_a_wrong_answer_gets_its_diagnosis(self, exercise, answer, diagnosis, capsys):
        with pytest.raises(CheckFailed, match=re.escape(diagnosis)):
            exercise(answer)
        assert "✓" not in capsys.readouterr().out

    def test_a_stub_is_answered_kindly(self, exercise):
        with pytest.raises(CheckFailed, match="still to be written"):
            exercise(not_implemented)
        with pytest.raises(CheckFailed, match="returns nothing yet"):
            exercise(lambda *_: None)
        with pytest.raises(CheckFailed, match="function itself"):
            exercise(0.5)
