"""A kernel forked from a process that has already imported what lectures import: some seconds of processor time less for each.

Nothing has been computed in that process, so a forked kernel is as fresh as a new one. Linux alone forks safely: macOS's own
libraries do not survive it, and Windows cannot. There, and for a few lectures, kernels start as Jupyter starts them.
"""

import multiprocessing
import os
import signal
import sys
from importlib.metadata import EntryPoint
from multiprocessing import forkserver
from pathlib import Path
from typing import Any
from unittest import mock

from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import KernelProvisionerFactory, LocalProvisioner

NAME = "course-warm"
WORTH_IT = 8  # lectures
IMPORTS = (
    "torch", "pandas", "seaborn", "scipy.stats", "sklearn.pipeline", "sklearn.linear_model",
    "sklearn.feature_extraction.text", "accelerate", "transformers.models.bert.modeling_bert", "ipywidgets",
    "ipykernel.kernelapp", "course_utils.datasets", "course_utils.training", "course_utils.features",
    "course_utils.baselines", "course_utils.plotting", "course_utils.widgets", "course_utils.exercises", "course_tools.cli",
)  # fmt: skip


def start(environment: dict[str, str]) -> bool:
    """Start the process that kernels are forked from; False where this system has none.

    ``environment`` holds what libraries read when they are imported: threads, seeds of hashes, whether the hub may be asked.
    """
    if sys.platform != "linux":
        return False
    multiprocessing.set_forkserver_preload(list(IMPORTS))
    inline = {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}  # what ipykernel itself would set
    with mock.patch.dict(os.environ, environment | inline, clear=True):
        forkserver.ensure_running()
    where = EntryPoint(NAME, f"{__name__}:WarmProvisioner", KernelProvisionerFactory.GROUP_NAME)
    KernelProvisionerFactory.instance().provisioners[NAME] = where
    return True


def use(manager: AsyncKernelManager) -> None:
    """Let ``manager`` fork its kernel, after :func:`start`."""
    assert manager.kernel_spec is not None  # kernel python3 is there wherever ipykernel is
    manager.kernel_spec.metadata["kernel_provisioner"] = {"provisioner_name": NAME}


class _Forked(multiprocessing.get_context("forkserver").Process):  # type: ignore[misc, name-defined]
    """A process with the few methods of ``subprocess.Popen`` that Jupyter asks for."""

    stdin = stdout = stderr = None

    def poll(self) -> int | None:
        return self.exitcode

    def wait(self) -> int | None:
        self.join()
        return self.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)


class WarmProvisioner(LocalProvisioner):
    """Jupyter's own way of starting a kernel, with a fork in place of a new interpreter."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        """Fork a kernel on the connection file that ``cmd`` names; where its ports are."""
        connection, log = cmd[cmd.index("-f") + 1], getattr(kwargs.get("stdout"), "name", os.devnull)
        self.process = _Forked(target=_kernel, args=(connection, kwargs["env"], kwargs["cwd"], log))
        self.process.start()
        self.pid = self.pgid = self.process.pid
        self.cwd = kwargs["cwd"]
        return self.connection_info


def _kernel(connection: str, environment: dict[str, str], folder: str, log: str) -> None:
    """What the forked process does: be a kernel until it is told to stop."""
    os.setsid()  # signals for the kernel and for what it starts, and for nobody else
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    with Path(log).open("a") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    import pandas
    from ipykernel.kernelapp import launch_new_instance

    # What it chooses itself in a kernel; imported outside of one, it cuts tables to the width of a terminal.
    pandas.set_option("display.max_columns", 20)
    # The kernel ends itself when its parent is gone, as one that Jupyter started would.
    launch_new_instance(argv=["-f", connection, f"--IPKernelApp.parent_handle={os.getppid()}"])
