"""Kernels forked from a process that has imported already: as fresh as others, and as well looked after."""

import os
import sys
from importlib.util import find_spec

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from course_tools import run, warm

CELLS = {
    "01_leaves": "import json, os, sys\njson.left_behind = os.environ['LEFT_BEHIND'] = 'here'\nprint('left')",
    "02_looks": "import json, os, sys\nprint(hasattr(json, 'left_behind'), 'LEFT_BEHIND' in os.environ, 'pandas' in sys.modules)\n"
    "print(os.environ['COURSE_LECTURE'], os.environ['PYTHONHASHSEED'], os.path.basename(os.getcwd()), hash('a'))",
    "03_dies": "import os; os._exit(3)",
    "04_raises": "1 / 0",
    "05_draws": "import matplotlib.pyplot as plt\nplt.plot([1, 2]);",
    "06_prints": "import pandas\nprint(pandas.DataFrame([[0.123456] * 18]))",
}


@pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux alone")
def test_a_forked_kernel_is_as_fresh_as_a_new_one(tmp_path, monkeypatch):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    for name, source in CELLS.items():
        nbformat.write(new_notebook(cells=[new_code_cell(source)]), folder / f"{name}.ipynb")
    monkeypatch.setattr(warm, "IMPORTS", ("pandas", "ipykernel.kernelapp"))
    monkeypatch.setattr(warm, "WORTH_IT", 2)
    before = dict(os.environ)
    runs, summary = run.run_all(sorted(folder.glob("*.ipynb")), tmp_path / "out", "ci", jobs=2, threads=1)
    assert dict(os.environ) == before
    statuses = [it["status"] for it in summary["lectures"]]
    assert statuses == ["passed", "passed", "failed", "failed", "passed", "passed"]
    assert [it["error"]["name"] for it in summary["lectures"][2:4]] == ["DeadKernel", "ZeroDivisionError"]
    assert all(it["peak_bytes"] > 1e7 for it in summary["lectures"][:2])
    looked = runs[1].notebook.cells[0].outputs[0].text.split()
    assert looked[:6] == ["False", "False", "True", "02_looks", "0", "notebooks"]
    monkeypatch.setattr(warm, "WORTH_IT", 8)
    some = [folder / "02_looks.ipynb", folder / "06_prints.ipynb"]
    looks, prints = (
        it.notebook.cells[0].outputs[0].text for it in run.run_all(some, tmp_path / "new", "ci", 1, 1)[0]
    )
    assert looks.split()[2:] == ["False", *looked[3:]]  # pandas is not there yet; hashes are the same
    assert prints == runs[5].notebook.cells[0].outputs[0].text and "..." not in prints
    assert "image/png" in runs[4].notebook.cells[0].outputs[-1]["data"]
    kernels = [it.manager.provisioner.pid for it in runs if it.manager.provisioner]
    assert not any(psutil.pid_exists(pid) for pid in kernels)


def test_every_module_that_is_imported_ahead_exists():
    """A process to fork from passes over what it cannot import without a word."""
    assert [name for name in warm.IMPORTS if find_spec(name) is None] == []
