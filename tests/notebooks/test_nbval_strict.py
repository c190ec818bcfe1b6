"""nbval with the course's rules accepts what is right and rejects what is wrong: one notebook, one case a cell."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import nbformat
import nbval_strict
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from nbval_strict import Tolerant

from course_tools import PATIENCE

HERE = Path(__file__).parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[1])])}
NBVAL = [sys.executable, "-m", "pytest", "-p", "nbval_strict", "-p", "no:cacheprovider", "-c", os.devnull]
NBVAL += ["--rootdir", ".", "--nbval"]


class Case(NamedTuple):
    """A stored cell, and the words of the failure that it must bring ("" for none)."""

    name: str
    source: str
    outputs: list[Any]
    fails: str = ""
    tags: tuple[str, ...] = ()
    executed: bool = True


def printed(text: str, stream: str = "stdout"):
    return new_output("stream", name=stream, text=text)


def shown(text: str, **more: str):
    return new_output("display_data", data={"text/plain": text, **more})


def raised(name: str, message: str):
    return new_output("error", ename=name, evalue=message, traceback=[])


def result(text: str):
    return new_output("execute_result", data={"text/plain": text}, execution_count=1)


WIDGET = "Interactive widget: run this cell to use it."
IGNORED = ("nbval-ignore-output",)
RAISES = ("raises-exception",)
LATE = """import time
sys.stdout.flush_timeout = sys.stderr.flush_timeout = 0.01
get_ipython().kernel.iopub_thread.schedule(lambda: time.sleep(7))
1 + 1"""
CASES = [
    Case("imports", "import sys, warnings\nimport ipywidgets as w\nfrom IPython.display import clear_output, display", []),
    Case("print", "print('one')\nprint(2)", [printed("one\n2\n")]),
    Case("environment", "import os\nos.environ['COURSE_PROFILE'], os.environ['PYTHONHASHSEED']", [result("('ci', '0')")]),
    Case("last value only", "1\n2", [result("2")]),
    Case("silenced", "1 + 1;", []),
    Case("last digits", "print('loss 0.69315, 3 epochs')", [printed("loss 0.69290, 3 epochs\n")]),
    Case("widget", "w.IntSlider()", [result(WIDGET)]),
    Case("output widget", "o = w.Output()\nwith o:\n    print('inside')\nprint('outside')", [printed("outside\n")]),
    Case("interact", "def f(x): print(x)\n_ = w.interact(f, x=3)", [shown(WIDGET)]),
    Case("cleared", "print('gone'); clear_output(); print('left')", [printed("left\n")]),
    Case("cleared later", "print('gone'); clear_output(wait=True); print('left')", [printed("left\n")]),
    Case("updated", "h = display('a', display_id=True); h.update('b')", [shown("'b'")]),
    Case("5,000 messages", "for i in range(5000): display(0)\nclear_output()\nprint('done')", [printed("done\n")]),
    Case("expected error", "1 / 0", [raised("ZeroDivisionError", "division by zero")], tags=RAISES),
    Case(
        "figure",
        "import matplotlib.pyplot as plt\n_ = plt.figure(figsize=(1, 1)).gca()\nplt.show()",
        [shown("<Figure size 100x100 with 1 Axes>", **{"image/png": "AAAA"})],
    ),
    Case(
        "two spaces in a table",
        "from IPython.display import HTML\ndisplay(HTML('<td>a  b</td>'))",
        [shown("<IPython.core.display.HTML object>", **{"text/html": "<td>a&nbsp;&nbsp;b</td>"})],
    ),
    Case("ignored number", "import random\nprint(random.random())", [printed("0.5\n")], tags=IGNORED),
    # From here on, each cell must fail.
    Case("other text", "print('one')", [printed("two\n")], "Cell outputs differ"),
    Case(
        "another word in a table",
        "display(HTML('<td>a  c</td>'))",
        [shown("<IPython.core.display.HTML object>", **{"text/html": "<td>a&nbsp;&nbsp;b</td>"})],
        "Cell outputs differ",
    ),
    Case("other integer", "print(1000)", [printed("1001\n")], "Cell outputs differ"),
    Case("other float", "print(0.90)", [printed("0.92\n")], "Cell outputs differ"),
    Case("nothing stored", "print('x')", [], "Unexpected output fields"),
    Case("nothing stored, ignored", "print('x')", [], "has outputs", IGNORED),
    Case("nothing printed", "pass", [printed("x\n")], "Missing output fields"),
    Case("nothing printed, ignored", "pass", [printed("x\n")], "has outputs", IGNORED),
    Case("not executed", "print('x')", [], "never executed", executed=False),
    Case("not executed, ignored", "pass", [], "never executed", IGNORED, executed=False),
    Case("not executed, raising", "1 / 0", [], "never executed", RAISES, executed=False),
    Case("raises nothing", "pass", [], "raised nothing", RAISES),
    Case("raises nothing, stored", "pass", [raised("ValueError", "x")], "Missing output fields", RAISES),
    Case("raises nothing, ignored", "pass", [raised("ValueError", "x")], "raised nothing", RAISES + IGNORED),
    Case("raises another", "1 / 0", [raised("ValueError", "x")], "The cell raised", RAISES + IGNORED),
    Case("error", "1 / 0", [], "caused an exception"),
    Case("error, ignored", "1 / 0", [], "caused an exception", IGNORED),
    Case("error in a widget", "with o:\n    1 / 0", [], "caused an exception"),
    Case("error in a widget, ignored", "with o:\n    1 / 0", [], "caused an exception", IGNORED),
    Case("warning", "warnings.warn('old')", [], "stderr"),
    Case("warning, ignored", "warnings.warn('older')", [], "stderr", IGNORED),
    Case("warning in a widget", "with o:\n    warnings.warn('oldest')", [], "stderr", IGNORED),
    Case("stored warning", "print('x', file=sys.stderr)", [printed("x\n", "stderr")], "holds output on stderr"),
    Case("no figure", "print('x')", [printed("x\n"), shown("a", **{"image/png": "AAAA"})], "Missing output fields"),
    Case("figure not stored", "plt.figure(figsize=(1, 1)).gca()\nplt.show()", [shown("<Figure>")], "Cell outputs differ"),
    Case("update to another", "h.update('c'); print(1)", [printed("2\n")], "Cell outputs differ"),
    # The cell is through, and its result comes seven seconds later, as on a busy machine. The last case: it hurries the streams.
    Case("late", LATE, [result("2")]),
]  # fmt: skip


def own_settings(folder: Path) -> dict[str, str]:
    """The settings of somebody who likes to see every value and a greeting: no verdict depends on them."""
    profile = folder / "ipython" / "profile_default"
    (profile / "startup").mkdir(parents=True)
    everything = "c = get_config()\nc.InteractiveShell.ast_node_interactivity = 'all'\n"
    (profile / "ipython_config.py").write_text(everything)
    for greeting in (profile / "startup" / "hello.py", folder / "hello.py"):
        greeting.write_text("import sys\nprint('hello', file=sys.stderr)\nsys = 3\n")
    return {
        "IPYTHONDIR": str(profile.parent),
        "PYTHONSTARTUP": str(folder / "hello.py"),
        "OMP_NUM_THREADS": "",
    }


@pytest.fixture(scope="session")
def verdicts(tmp_path_factory) -> dict[str, str]:
    """What nbval says of each case: "" where it passes, else its message."""
    folder = tmp_path_factory.mktemp("cases")
    cells = [
        new_code_cell(
            case.source,
            outputs=case.outputs,
            metadata={"tags": list(case.tags)},
            execution_count=count if case.executed else None,
        )
        for count, case in enumerate(CASES, start=1)
    ]
    nbformat.write(new_notebook(cells=cells), folder / "cases.ipynb")
    command = [*NBVAL, "--color=no", "-p", "no:xdist", "--junitxml=verdicts.xml", "cases.ipynb"]
    environment = ENVIRONMENT | own_settings(folder)
    ran = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE
    )
    assert ran.returncode == 1, ran.stdout + ran.stderr
    found = {}
    for case, node in zip(CASES, ET.parse(folder / "verdicts.xml").iter("testcase"), strict=True):
        failures = [*node.iter("failure"), *node.iter("error")]
        found[case.name] = "".join(failure.text or "" for failure in failures)
        assert not [*node.iter("skipped")], case.name
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_verdict(case, verdicts):
    if case.fails:
        assert case.fails in verdicts[case.name]
    else:
        assert not verdicts[case.name]


@pytest.mark.parametrize(
    ("asked", "waited"), [(5, PATIENCE), (10, PATIENCE), (2 * PATIENCE, 2 * PATIENCE), (1, 10), (None, None)]
)
def test_nbval_waits_ten_times_as_long_as_it_would(monkeypatch, asked, waited):
    waits = []
    monkeypatch.setattr(
        nbval_strict, "_nbval_get_message", lambda kernel, stream, timeout: waits.append(timeout)
    )
    nbval_strict._get_message(SimpleNamespace(), "shell", asked)
    assert waits == [waited]


def test_what_is_no_lecture_is_not_collected_and_named_once(tmp_path):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    for name in ("01_pipes", "01_pipes-Copy1", "01_pipes (1)", "Untitled"):
        nbformat.write(new_notebook(cells=[new_code_cell("1")]), folder / f"{name}.ipynb")
    command = [*NBVAL, "--collect-only", "notebooks"]
    environment = ENVIRONMENT | {"COURSE_NOTEBOOKS": str(folder)}
    ran = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=PATIENCE
    )
    assert "collected 1 item" in ran.stdout and "01_pipes.ipynb" in ran.stdout, ran.stdout + ran.stderr
    line = (
        "Left out, as their names are no lecture's: 01_pipes (1).ipynb, 01_pipes-Copy1.ipynb, Untitled.ipynb"
    )
    assert ran.stdout.count("Left out") == 1 and line in ran.stdout, ran.stdout


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("accuracy 0.971", "accuracy 0.975", True),
        ("accuracy 0.971", "accuracy 0.991", False),
        ("  0.0004\n -0.0004", " -0.0004\n  0.0004", True),
        ("1,234 words", "1,235 words", False),
        ("torch 2.13.0", "torch 2.14.0", False),
        ("1.5e-05", "1.51e-05", True),
        ("100.0 %", "100.9 %", True),
        ("nan", "0.0", False),
        ("x1.5", "x1.6", False),
        ("0.5 of 10", "0.5 of 11", False),
        ("0.5, 0.5", "0.5", False),
    ],
)
def test_tolerance(one, other, same):
    assert (Tolerant(one) == Tolerant(other)) is same
    assert (Tolerant(one) != Tolerant(other)) is not same
