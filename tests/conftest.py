"""Every test runs in profile ci, with a cache of its own; `mirror` is for tests that need the real data."""

import os
import signal
from pathlib import Path

import hypothesis
import pytest
from exercise_contract import name_of

# A busy machine is slow, not wrong.
hypothesis.settings.register_profile("course", deadline=None)
hypothesis.settings.load_profile("course")

# In the background and under nohup a process has signals ignored, and so have its children, which tests interrupt. A child
# gets back what has a handler here, even one that does nothing.
for name in ("SIGINT", "SIGTERM", "SIGHUP"):
    if (number := getattr(signal, name, None)) and signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, lambda *_: None)

# Read once, before the fixture below hides it from the tests.
MIRROR = os.environ.get("COURSE_MIRROR")
BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def own_environment(tmp_path, monkeypatch):
    """No test sees another one's downloads, scores or report, nor the machine's mirror unless it asks for it."""
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "course-cache"))
    monkeypatch.setenv("COURSE_PROFILE", "ci")
    for name in ("MIRROR", "REPORT", "LECTURE", "PROGRESS", "SCOREBOARD", "TIMEOUT"):
        monkeypatch.delenv(f"COURSE_{name}", raising=False)


@pytest.fixture
def mirror(monkeypatch) -> Path:
    """The folder of real data, set as COURSE_MIRROR (which profiles laptop and gpu read)."""
    folder = Path(MIRROR) if MIRROR else BESIDE
    if not (folder / "sms-spam" / "SMSSpamCollection").is_file():
        pytest.skip(
            "needs the real data: set COURSE_MIRROR to a folder with sms-spam/SMSSpamCollection "
            f"(looked in {folder})"
        )
    monkeypatch.setenv("COURSE_MIRROR", str(folder))
    return folder


def pytest_generate_tests(metafunc):
    """One test for each exercise, each right and each wrong answer of an ExerciseContract."""
    if hasattr(metafunc.cls, "exercises") and "exercise" in metafunc.fixturenames:
        names = [name for name in ("exercise", "answer", "diagnosis") if name in metafunc.fixturenames]
        metafunc.parametrize(names, metafunc.cls.cases(names), ids=name_of)
