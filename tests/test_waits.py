"""No test gives up so soon that it fails on a machine ten times slower: `course_tools.PATIENCE` says how long."""

import re
from pathlib import Path

import pytest

from course_tools import PATIENCE

ROOT = Path(__file__).parents[1]
# A wait that is given up after a number of seconds. One that is meant to run out says so in its line.
WAIT = re.compile(
    r"(?:\b(?:timeout|PATIENCE) ?=|_timeout\(|\b(?:wait|join|alarm|dump_traceback_later)\(|monotonic\(\) ?\+) ?(\d[\d_.]*)"
    r"(?!.*# runs out)"
)


def short(text: str) -> list[str]:
    """The lines of a file that give up too soon."""
    found = [(line.strip(), match) for line in text.splitlines() for match in WAIT.finditer(line)]
    return [line for line, match in found if float(match[1].strip(".")) < PATIENCE]


@pytest.mark.parametrize("folder", ["tests", "scripts", "course_tools"])
def test_nothing_gives_up_too_soon(folder):
    files = [path for path in (ROOT / folder).rglob("*.py") if path.name != Path(__file__).name]
    found = [f"{path.name}: {line}" for path in files for line in short(path.read_text(encoding="utf-8"))]
    assert not found, "\n".join(["wait for course_tools.PATIENCE, or say `# runs out`:", *found])


@pytest.mark.parametrize(
    "line",
    ["run(command, timeout=60)", "process.wait(5)", "page.set_default_timeout(30)",
     "end = time.monotonic() + 10", "process.communicate(timeout=0.5)", "thread.join(2.0)", "timeout=12,",
     "signal.alarm(300)", "PATIENCE = 600  # seconds"],
)  # fmt: skip
def test_a_short_wait_is_seen(line):
    assert short(f"x\n    {line}\n") == [line]


@pytest.mark.parametrize(
    "line",
    ["run(command, timeout=PATIENCE)", "sleep(5)", "get(timeout=0.05)  # runs out", "get(timeout=900)"],
)
def test_what_is_long_enough_or_meant_to_run_out_is_not(line):
    assert not short(line)
