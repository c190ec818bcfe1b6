"""Run pytest in forks of one process that has imported the heavy libraries, so that a run takes its test's time alone.

Each line on stdin is ``[folder, tests, log]``; the answer, a line on stdout, is pytest's exit status. The fork sees the packages
and tests of the folder before any others, and this process imports none of them.
"""

import json
import os
import resource
import signal
import sys

import accelerate  # noqa: F401
import hypothesis  # noqa: F401
import ipywidgets  # noqa: F401
import matplotlib.pyplot  # noqa: F401
import pandas  # noqa: F401
import peft  # noqa: F401
import pytest
import scipy.stats  # noqa: F401
import seaborn  # noqa: F401
import sklearn.model_selection  # noqa: F401
import tokenizers  # noqa: F401
import torch  # noqa: F401
import transformers.models.bert.modeling_bert  # noqa: F401

# Seconds of a core, since a mutation may make a loop endless; and by the clock, since it may wait for what never comes.
LONGEST, PATIENCE = 1800, 3600


def run(folder: str, tests: list[str]) -> int:
    """Run some tests of a folder's copy of the course."""
    os.chdir(folder)
    sys.path[:0] = [folder, f"{folder}/tests"]
    plugins = [word for name in ("cacheprovider", "xdist", "nbval") for word in ("-p", f"no:{name}")]
    where = ["--rootdir", folder, "-c", f"{folder}/pytest.ini", *(f"{folder}/tests/{test}" for test in tests)]
    return pytest.main(["-q", "-x", *plugins, *where])


for line in sys.stdin:
    folder, tests, log = json.loads(line)
    if not (child := os.fork()):
        resource.setrlimit(resource.RLIMIT_CPU, (LONGEST, LONGEST))
        signal.alarm(PATIENCE)
        with open(log, "wb", buffering=0) as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        code = run(folder, tests)
        sys.stdout.flush()
        os._exit(int(code))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
