"""Run lectures, each in a fresh kernel: what happened, how long it took, how much memory it needed."""

import atexit
import contextlib
import functools
import json
import math
import os
import queue
import re
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil
import zmq
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat.v4 import new_notebook

from course_tools import PATIENCE, drift, notebooks, warm
from course_utils.session import QUIET, omp_threads

ASK_AGAIN = 1.0  # seconds between two looks for a message
SAMPLING = 0.2  # seconds between two looks at the memory
ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class Outcome:
    """What one lecture's run gave; one entry of ``run.json``."""

    lecture: str
    status: str = "waiting"  # waiting, running, passed, failed, stopped
    seconds: float = 0.0
    peak_bytes: int = 0
    cells: int = 0
    done: int = 0
    error: dict[str, Any] | None = None  # cell, source, name, message, traceback
    expectations: list[dict[str, Any]] = field(default_factory=list)
    figures: list[dict[str, Any]] = field(default_factory=list)
    kept: dict[str, dict[str, list[float]]] = field(default_factory=dict)  # by name, by method: real scores

    @property
    def passed(self) -> bool:
        """Whether every cell ran as it should."""
        return self.status == "passed"


def kernel_environment(profile: str, lecture: str, threads: int, **more: str) -> dict[str, str]:
    """The environment of a lecture's kernel: the same for storing outputs and for checking them."""
    # A test runner's choice of back end would leave a lecture without figures; the rest are habits.
    left_out = ("MPLBACKEND", "PYTHONSTARTUP", "PYTHONWARNINGS")
    inherited = {name: value for name, value in os.environ.items() if name not in left_out}
    fixed = {
        "COURSE_PROFILE": profile,
        "COURSE_LECTURE": lecture,
        "COURSE_PROGRESS": "off",  # a re-execution is nobody's homework
        "IPYTHONDIR": _bare_ipython().name,
        "OMP_NUM_THREADS": str(omp_threads() or threads),
        "OMP_WAIT_POLICY": "passive",
        "TOKENIZERS_PARALLELISM": "false",
    }
    return {"PYTHONHASHSEED": "0"} | inherited | fixed | more | (QUIET if profile == "ci" else {})


@functools.cache
def _bare_ipython() -> tempfile.TemporaryDirectory[str]:
    """A folder without anybody's configuration, which could change what cells show; it goes when we go."""
    return tempfile.TemporaryDirectory(prefix="course-ipython-", ignore_cleanup_errors=True)


def asked_again(get_msg: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Wait for a message in pieces of a second: on a busy machine pyzmq's asyncio sockets now and then miss
    that one has come, and a lecture whose last cell is done would wait for ever."""

    async def get(timeout: float | None = None) -> Any:
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while True:
            try:
                return await get_msg(timeout=max(0.0, min(ASK_AGAIN, deadline - time.monotonic())))
            except queue.Empty:
                if time.monotonic() >= deadline:
                    raise

    return get


class _Client(NotebookClient):
    """nbclient that also sees an error which an ``Output`` widget has swallowed."""

    hidden: tuple[int, dict[str, Any]] | None = None

    async def async_start_new_kernel_client(self) -> Any:
        client = await super().async_start_new_kernel_client()
        for channel in (client.shell_channel, client.iopub_channel):
            channel.get_msg = asked_again(channel.get_msg)
        return client

    def output(self, outs: Any, msg: dict[str, Any], display_id: Any, cell_index: int) -> Any:
        captured = self.output_hook_stack[msg["parent_header"].get("msg_id")]
        if msg["msg_type"] == "error" and captured and self.hidden is None:
            self.hidden = (cell_index, msg["content"])
        return super().output(outs, msg, display_id, cell_index)


class LectureRun:
    """One lecture in one kernel."""

    def __init__(self, path: Path, out: Path, profile: str, threads: int) -> None:
        self.path, self.out, self.profile, self.threads = path, out, profile, threads
        self.forks = False  # whether its kernel comes from the process of `warm`
        self.outcome, self.notebook = Outcome(path.stem), new_notebook()
        self.scores: list[dict[str, Any]] = []
        self.stopped, self.before = False, b""
        try:
            self.before, self.notebook = path.read_bytes(), notebooks.read(path)
        except (notebooks.LectureError, OSError) as error:
            self._failed_at(0, type(error).__name__, str(error))
        self.code_cells = [cell for cell in self.notebook.cells if cell.cell_type == "code"]
        self.outcome.cells = sum(bool(cell.source.strip()) for cell in self.code_cells)
        self.manager: AsyncKernelManager | None = None

    def run(self, changed: Callable[[Outcome], None] = lambda outcome: None) -> Outcome:
        """Execute every cell up to the first failure; write what there is to ``OUT/lectures``."""
        outcome, report = self.outcome, self.out / "records" / f"{self.path.stem}.jsonl"
        report.parent.mkdir(parents=True, exist_ok=True)
        for kind in (".jsonl", ".scores.json"):
            report.with_suffix(kind).unlink(missing_ok=True)
        if outcome.error:
            outcome.status = "failed"
            changed(outcome)
            return outcome
        for cell in self.code_cells:
            cell.outputs, cell.execution_count = [], None
        # Kernel python3 is the Python that runs us, whatever other environments have registered so.
        this_python = KernelSpecManager(kernel_dirs=[])
        manager = self.manager = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=this_python)
        if self.forks:
            warm.use(manager)
        manager.context.setsockopt(zmq.RCVHWM, 0)  # a chatty cell must not lose messages

        def cell_done(**_: Any) -> None:
            outcome.done += 1
            changed(outcome)

        client = _Client(
            self.notebook,
            km=manager,
            timeout=PATIENCE if self.profile == "ci" else None,
            startup_timeout=PATIENCE,
            iopub_timeout=PATIENCE,  # what comes later than this after a cell's end is lost without a word
            record_timing=False,
            store_widget_state=True,
            on_cell_executed=cell_done,
            resources={"metadata": {"path": str(self.path.parent)}},
        )
        # Its own scoreboard: what a lecture shows must not depend on which others run beside it.
        files = {"COURSE_REPORT": str(report), "COURSE_SCOREBOARD": str(report.with_suffix(".scores.json"))}
        environment = kernel_environment(self.profile, self.path.stem, self.threads, **files)
        outcome.status = "running"
        changed(outcome)
        began, finished = time.perf_counter(), threading.Event()
        watcher = threading.Thread(target=self._watch, args=(finished,), daemon=True)
        watcher.start()
        try:
            # What native code writes on its way down would otherwise be lost, or spoil the progress display.
            with report.with_suffix(".log").open("w") as log:
                if not self.stopped:
                    client.execute(env=environment, cleanup_kc=True, stdout=log, stderr=log)
        except CellExecutionError as error:
            outputs = self.notebook.cells[self._last_cell()].outputs
            raised = ["\n".join(output.traceback) for output in outputs if "traceback" in output]
            self._failed_at(self._last_cell(), error.ename, error.evalue, [error.traceback, *raised][-1])
        except CellTimeoutError:
            self._failed_at(self._last_cell(), "Timeout", f"no end after {client.timeout} seconds")
        except DeadKernelError:
            why = "the kernel died: out of memory, or a crash in native code"
            last = report.with_suffix(".log").read_text(encoding="utf-8", errors="replace")[-4000:]
            self._failed_at(self._last_cell(), "DeadKernel", why, last)
        except Exception as error:  # a fault of one lecture's kernel must not take the others with it
            self._failed_at(self._last_cell(), type(error).__name__, str(error))
        finally:
            atexit.unregister(client._cleanup_kernel)  # it complains about a kernel that never came up
            finished.set()
            watcher.join()
            outcome.seconds = round(time.perf_counter() - began, 2)
        if client.hidden and not outcome.error:
            number, content = client.hidden
            self._failed_at(number, content["ename"], content["evalue"], "\n".join(content["traceback"]))
        self._demand_exceptions()
        self._read_records(report)
        outcome.status = "stopped" if self.stopped else "failed" if outcome.error else "passed"
        notebooks.write(self.notebook, self.out / "lectures" / self.path.name)
        changed(outcome)
        return outcome

    def stop(self) -> None:
        """End the kernel, even one that is only starting; :meth:`run` then returns."""
        self.stopped = True
        if self.outcome.status == "waiting":
            self.outcome.status = "stopped"

    def edited(self) -> bool:
        """Whether the lecture's file is no longer the one that was run."""
        try:
            return self.path.read_bytes() != self.before
        except OSError:
            return True

    def _processes(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.Error):
            if pid := getattr(getattr(self.manager, "provisioner", None), "pid", None):
                kernel = psutil.Process(pid)
                return [kernel, *kernel.children(recursive=True)]
        return []

    def _watch(self, finished: threading.Event) -> None:
        while not finished.wait(SAMPLING):
            used = 0
            for process in self._processes():
                with contextlib.suppress(psutil.Error):  # it may end while one looks at it
                    used += process.memory_info().rss
                    if self.stopped:
                        process.kill()
            self.outcome.peak_bytes = max(self.outcome.peak_bytes, used)

    def _last_cell(self) -> int:
        """The cell at which a run ended: the last that began."""
        begun = [number for number, cell in enumerate(self.notebook.cells) if cell.get("execution_count")]
        return begun[-1] if begun else 0

    def _failed_at(self, number: int, name: str, message: str, traceback: str = "") -> None:
        self.outcome.error = {
            "cell": number + 1,
            "source": self.notebook.cells[number].source if self.notebook.cells else "",
            "name": name,
            "message": ANSI.sub("", message),
            "traceback": ANSI.sub("", traceback),
        }

    def _demand_exceptions(self) -> None:
        """A cell that is tagged as raising and does not raise teaches the opposite of its text."""
        for number, cell in enumerate(self.notebook.cells):
            tagged = "raises-exception" in cell.metadata.get("tags", []) and not self.outcome.error
            if tagged and not any(output.output_type == "error" for output in cell.outputs):
                why = "this cell is tagged raises-exception, and raised nothing"
                self._failed_at(number, "NothingRaised", why)

    def _read_records(self, report: Path) -> None:
        scores = report.with_suffix(".scores.json")
        try:
            for line in report.read_text(encoding="utf-8").splitlines() if report.exists() else []:
                entry = json.loads(line)
                if "kept" in entry:
                    self.outcome.kept[entry["name"]] = entry["kept"]
                    continue
                (self.outcome.expectations if "passed" in entry else self.outcome.figures).append(entry)
            self.scores = json.loads(scores.read_text(encoding="utf-8")) if scores.exists() else []
        except ValueError as error:
            if not self.outcome.error:
                self._failed_at(self._last_cell(), "Record", f"what it recorded is cut off: {error}")


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt(number)


def run_all(
    paths: list[Path],
    out: Path,
    profile: str,
    jobs: int,
    threads: int,
    changed: Callable[[Outcome], None] = lambda outcome: None,
) -> tuple[list[LectureRun], dict[str, Any]]:
    """Run lectures side by side; the runs, and their summary, which also goes to ``OUT/run.json``.

    One that fails does not stop the others. Ctrl-C, ``kill`` or a closed terminal stop them all: the summary
    then has the signal's number as ``interrupted``, and what had passed by then.
    """
    began, interrupted = time.time(), 0
    runs = [LectureRun(path, out, profile, threads) for path in paths]
    for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        if signal.getsignal(number) == signal.SIG_DFL:  # nohup, for one, has them ignored
            signal.signal(number, _interrupt)
    # A few lectures would wait for imports that they do not need.
    forks = len(runs) >= warm.WORTH_IT and warm.start(kernel_environment(profile, "", threads))
    for run in runs:
        run.forks = forks
    with ThreadPoolExecutor(jobs) as pool:
        # Last first: the shortest is the welcome, and a long one at the end would have a core to itself while the other waits.
        futures = [pool.submit(run.run, changed) for run in reversed(runs)]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException as error:
            for run in runs:
                run.stop()
            pool.shutdown(cancel_futures=True)
            if not isinstance(error, KeyboardInterrupt):
                raise
            (interrupted,) = error.args or (signal.SIGINT,)
    rows = {(row["method"], row["task"], row["real"]): row for run in runs for row in run.scores}
    notebooks.write_text(json.dumps(list(rows.values()), indent=1) + "\n", out / "scoreboard.json")
    summary: dict[str, Any] = {
        "profile": profile,
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began)),
        "seconds": round(time.time() - began, 2),
        "python": sys.version.split()[0],
        "jobs": jobs,
        "threads": omp_threads() or threads,
        "interrupted": interrupted,
        "lectures": [asdict(run.outcome) for run in runs],
    }
    summary["drift"] = drift.since_last_run(out, profile, summary["started"], summary["lectures"])
    notebooks.write_text(json.dumps(summary, indent=1) + "\n", out / "run.json")
    return runs, summary
