"""nbval, made fit for this course: a true lecture always passes, a false one never does.

nbval re-executes each cell and compares its outputs with the stored ones. Out of the box it rejects some correct cells
(widgets that capture output, ``expr;``, ``clear_output``, thousands of messages, a last digit that depends on the
processor) and accepts some that check nothing (cells never run, exceptions that do not happen, warnings in cells whose
output is ignored). Its methods are patched in place; nothing here changes how a lecture is written.
"""

from __future__ import annotations

import contextlib
import copy
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import nbval.kernel
import nbval.plugin
import pytest
import zmq
from jupyter_client.manager import KernelManager
from nbformat import NotebookNode, from_dict

from course_tools import PATIENCE
from course_tools.notebooks import LECTURE, LectureError, left_out, normalise_outputs, notebooks_folder
from course_tools.run import kernel_environment

RELATIVE, ABSOLUTE = 0.01, 1e-3
# A number with a decimal point or an exponent, and the spaces that align it; not a version such as 2.13.0.
FLOAT = re.compile(r"( *(?<![\w.])[-+]?(?:\d+\.\d+(?:e[-+]?\d+)?|\d+e[-+]?\d+)(?!\w|\.\d))", re.IGNORECASE)
IMAGES = ("image/png", "image/jpeg", "image/svg+xml")


class Tolerant(str):
    """A text whose floating-point numbers may differ by 1 % or 0.001; integers and words are taken to the letter."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, str):
            return NotImplemented
        if str.__eq__(self, other):
            return True
        mine, theirs = FLOAT.split(str(self)), FLOAT.split(str(other))
        if len(mine) != len(theirs) or mine[::2] != theirs[::2]:
            return False
        pairs = zip(map(float, mine[1::2]), map(float, theirs[1::2]), strict=True)
        return all(abs(a - b) <= max(ABSOLUTE, RELATIVE * max(abs(a), abs(b))) for a, b in pairs)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


class Kernel(KernelManager):
    """A kernel in the environment that the stored outputs were made in, losing no message."""

    def start_kernel(self, **options: Any) -> Any:
        return super().start_kernel(
            **{**options, "env": kernel_environment("ci", os.environ["COURSE_LECTURE"], 1)}
        )

    def client(self, **options: Any) -> Any:
        self.context.setsockopt(zmq.RCVHWM, 0)
        return super().client(**options)


class Front:
    """What a notebook's front end does with messages and nbval does not: Output widgets, clearing, updating."""

    def __init__(self) -> None:
        self.captures: dict[str, str] = {}  # comm id of an Output widget -> the message id that it captures
        self.item: Any = None  # the running cell
        self.displays: dict[str, dict[str, Any]] = {}  # display id -> the data shown under it
        self.clear_next = False

    def takes(self, message: dict[str, Any]) -> bool:
        """Whether the message was dealt with, and nbval must not see it."""
        kind, content = message["msg_type"], message["content"]
        if kind in ("comm_open", "comm_msg"):
            self._widget(content)
            return False
        # Errors and warnings inside an Output widget are seen all the same: they are as wrong there as elsewhere.
        loud = kind == "error" or content.get("name") == "stderr"
        captured = message["parent_header"].get("msg_id") in self.captures.values()
        shown = kind in ("stream", "display_data", "execute_result", "update_display_data", "clear_output")
        if captured and shown and not loud:
            return True
        if kind == "clear_output":
            self.clear_next = bool(content.get("wait"))
            if not self.clear_next:
                self.item.test_outputs.clear()
            return True
        if kind == "update_display_data":
            data = self.displays.get(content.get("transient", {}).get("display_id", ""))
            if data is not None:
                data.clear()
                data.update(from_dict(content["data"]))
            return True
        if shown or kind == "error":
            if self.clear_next:
                self.item.test_outputs.clear()
                self.clear_next = False
            if kind == "display_data":
                content["data"] = from_dict(content["data"])  # nbval keeps this object: an update changes it
                if display := content.get("transient", {}).get("display_id"):
                    self.displays[display] = content["data"]
        return False

    def _widget(self, content: dict[str, Any]) -> None:
        data = content.get("data", {})
        state, comm = data.get("state", {}), content["comm_id"]
        if state.get("_model_name") == "OutputModel" or comm in self.captures:
            self.captures[comm] = state.get("msg_id", self.captures.get(comm, ""))


def _execute(kernel: Any, source: str, allow_stdin: bool | None = None) -> str:
    # With history, as a front end does: without it IPython drops the silence of a closing semicolon.
    return kernel.kc.execute(source, store_history=True, allow_stdin=allow_stdin, stop_on_error=False)


def _get_message(kernel: Any, stream: str, timeout: float | None = None) -> dict[str, Any]:
    front = kernel.__dict__.setdefault("front", Front())
    # Its own five seconds are too few on a busy machine; where it waits for one, it asks again by itself.
    if timeout is not None:
        timeout = max(timeout, PATIENCE) if timeout > 1 else 10 * timeout
    while True:
        message = _nbval_get_message(kernel, stream, timeout=timeout)
        if stream != "iopub" or not front.takes(message):
            return message


def _setup_file(file: Any) -> None:
    os.environ["COURSE_LECTURE"] = file.path.stem
    # Each lecture sees the scoreboard that it fills itself, whatever ran before it or beside it.
    os.environ["COURSE_SCOREBOARD"] = str(
        Path(os.environ["COURSE_CACHE"], f"scoreboard-{file.path.stem}.json")
    )
    _nbval_setup_file(file)


def _run_cell(item: Any) -> None:
    """nbval's own run, between the questions that it does not ask."""
    cell, front = item.cell, item.parent.kernel.__dict__.setdefault("front", Front())
    if cell.source.strip() and cell.execution_count is None:
        item.raise_cell_error("The stored cell was never executed: run `course run --update`")
    if any(output.get("name") == "stderr" for output in cell.outputs):
        item.raise_cell_error("The stored cell holds output on stderr")
    front.item, front.clear_next = item, False
    _nbval_run_cell(item)
    outputs = item.test_outputs
    warnings = "".join(output.text for output in outputs if output.get("name") == "stderr")
    if warnings:
        item.raise_cell_error("The cell wrote to stderr", warnings)
    if item.options["check_exception"]:
        raised = [output.ename for output in outputs if output.output_type == "error"]
        stored = [output.ename for output in cell.outputs if output.output_type == "error"]
        if not raised:
            item.raise_cell_error("The cell is tagged raises-exception, and raised nothing")
        if raised != stored:
            item.raise_cell_error(f"The cell raised {raised}; the stored one {stored}")
    if bool(normalise_outputs(outputs)) != bool(cell.outputs):
        item.raise_cell_error(
            "Only one of the stored and the new cell has outputs: run `course run --update`"
        )


def _compare(item: Any, test: list[NotebookNode], ref: list[NotebookNode], skip_compare: Any = None) -> bool:
    # Pixels are not compared, but that there is an image is.
    skip = tuple(key for key in skip_compare or item.parent.skip_compare if key not in IMAGES)
    return _nbval_compare(item, _comparable(test), _comparable(ref), skip)


def _comparable(outputs: list[NotebookNode]) -> list[NotebookNode]:
    outputs = normalise_outputs(copy.deepcopy(outputs))
    for output in outputs:
        for mime in IMAGES:
            if mime in output.get("data", {}):
                output["data"][mime] = "[image]"
        # pandas writes two spaces in a table in another way since version 3: what is compared is the text.
        if "text/html" in output.get("data", {}):
            output["data"]["text/html"] = output["data"]["text/html"].replace("&nbsp;", " ")
    return outputs


def _sanitize(item: Any, text: Any) -> Any:
    text = _nbval_sanitize(item, text)
    return Tolerant(text) if isinstance(text, str) else text


_nbval_get_message = nbval.kernel.RunningKernel.get_message
_nbval_setup_file = nbval.plugin.IPyNbFile.setup
_nbval_run_cell = nbval.plugin.IPyNbCell.runtest
_nbval_compare = nbval.plugin.IPyNbCell.compare_outputs
_nbval_sanitize = nbval.plugin.IPyNbCell.sanitize
nbval.kernel.KernelManager = Kernel
nbval.kernel.RunningKernel.execute_cell_input = _execute
nbval.kernel.RunningKernel.get_message = _get_message
nbval.plugin.IPyNbFile.setup = _setup_file
nbval.plugin.IPyNbCell.runtest = _run_cell
nbval.plugin.IPyNbCell.compare_outputs = _compare
nbval.plugin.IPyNbCell.sanitize = _sanitize


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """The options that every nbval run of the course needs, and one cache for the session, empty at its start."""
    if not hasattr(config, "workerinput"):
        config._course_cache = tempfile.mkdtemp(prefix="course-cache-")  # type: ignore[attr-defined]
        # Shared by the workers, which inherit it: every run meets an empty cache, and two processes filling it at once.
        os.environ["COURSE_CACHE"] = config._course_cache  # type: ignore[attr-defined]
    os.environ.setdefault(
        "OMP_NUM_THREADS", "1"
    )  # one thread for each worker, and for the kernel that it starts
    os.environ["OMP_WAIT_POLICY"] = "passive"
    option = config.option
    option.nbval_current_env = True
    option.nbval_sanitize_with = option.nbval_sanitize_with or str(Path(__file__).with_name("sanitize.cfg"))
    if option.nbval_cell_timeout == 2000:
        option.nbval_cell_timeout = PATIENCE
    option.nbval_kernel_startup_timeout = max(option.nbval_kernel_startup_timeout, PATIENCE)
    if option.nbval and getattr(option, "dist", "no") == "load":
        option.dist = "loadscope"  # the cells of a lecture share a kernel, so they belong to one worker


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """What Jupyter leaves beside the lectures (``10_x-Copy1.ipynb``, ``Untitled.ipynb``) is no lecture."""
    is_notebook = collection_path.suffix == ".ipynb" and collection_path.parent == _lectures()
    return True if is_notebook and not LECTURE.fullmatch(collection_path.name) else None


def pytest_report_header(config: pytest.Config) -> str:
    """The notebooks that are not collected for that reason."""
    return left_out(_lectures()) if config.option.nbval else ""


def _lectures() -> Path:
    with contextlib.suppress(LectureError):
        return notebooks_folder()
    return Path()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the session's cache."""
    if folder := getattr(config, "_course_cache", None):
        shutil.rmtree(folder, ignore_errors=True)
