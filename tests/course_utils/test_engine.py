"""The engine behind the exercises, and every exercise by its own mistakes."""

import importlib
import pkgutil

import pytest

from course_utils import exercises
from course_utils.exercises.engine import verify

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
