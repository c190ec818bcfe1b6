"""One call at the top of every lecture: profile, seed, threads, device and plot style.

The profile is the course's only knob. ``ci`` runs on the assets that come with the course, in small sizes and
without progress bars; ``laptop`` runs on real data with a small encoder; ``gpu`` on real data in full size.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

PROFILES = ("ci", "laptop", "gpu")
PATHS = ("COURSE_CACHE", "COURSE_MIRROR", "COURSE_PROGRESS", "COURSE_SCOREBOARD")
QUIET = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "TRANSFORMERS_VERBOSITY": "error"}
_of_ci = ExitStack()  # takes back what profile ci has set, when another one is started in the same kernel
T = TypeVar("T")


@dataclass(frozen=True)
class Session:
    """What a lecture knows about the run it is part of."""

    profile: str
    seed: int
    device: torch.device

    def choose(self, *, ci: T, laptop: T, gpu: T) -> T:
        """Return the value that belongs to this run's profile."""
        return {"ci": ci, "laptop": laptop, "gpu": gpu}[self.profile]

    def wait(self) -> None:
        """Wait until the device has computed what was asked of it, before one looks at a clock."""
        import torch

        if self.device.type == "xla":
            import torch_xla

            torch_xla.sync(wait=True)
        elif self.device.type != "cpu":
            torch.accelerator.synchronize()


def find_accelerator() -> torch.device | None:
    """The GPU that PyTorch sees (CUDA or Apple's MPS), or the TPU that torch_xla does; its device ``PJRT_DEVICE=CPU`` counts as one."""
    import torch

    if torch.accelerator.is_available():
        return torch.accelerator.current_accelerator()
    if importlib.util.find_spec("torch_xla") is None:
        return None
    if not os.environ.get("PJRT_DEVICE"):
        os.environ["PJRT_SELECT_DEFAULT_DEVICE"] = (
            "0"  # or torch_xla would take the CPU where there is no TPU
        )
        from torch_xla._internal.tpu import num_available_chips

        if not num_available_chips():
            return None
        os.environ["PJRT_DEVICE"] = "TPU"
    import torch_xla

    return torch_xla.device()


def has_accelerator() -> bool:
    """Whether there is a GPU or a TPU."""
    return find_accelerator() is not None


def network_device() -> torch.device:
    """Where this profile's networks live: in ``gpu`` on the accelerator, if there is one; else on the CPU."""
    import torch

    found = find_accelerator() if current_profile() == "gpu" else None
    return found or torch.device("cpu")


def current_profile(profile: str | None = None) -> str:
    """The profile in force: the argument, else ``COURSE_PROFILE``, else what the machine suggests.

    Raises:
        ValueError: if the name is not one of ``ci``, ``laptop`` and ``gpu``.
    """
    name = (profile or os.environ.get("COURSE_PROFILE") or "").lower()
    if not name:
        if os.environ.get("CI", "").lower() not in ("", "0", "false"):
            return "ci"
        return "gpu" if has_accelerator() else "laptop"
    if name not in PROFILES:
        raise ValueError(f"There is no profile {name!r}; choose one of {', '.join(PROFILES)}.")
    return name


def named_path(variable: str) -> Path | None:
    """The absolute path that an environment variable names; None where it names none, or says "off"."""
    named = os.environ.get(variable, "")
    return None if named.lower() in ("", "off") else Path(os.path.abspath(os.path.expanduser(named)))


def fix_paths() -> None:
    """Make the paths in the environment absolute: a kernel runs in another folder than `course`.

    Who has no home, and no entry among the users, as in some containers, gets one: many libraries ask for it.
    """
    if not os.path.isabs(os.path.expanduser("~")):
        os.environ["HOME"] = tempfile.gettempdir()
    for variable in PATHS:
        if path := named_path(variable):
            os.environ[variable] = str(path)


def cache_folder() -> Path:
    """Where downloads and encoded features are kept: ``COURSE_CACHE``, else the user's cache folder."""
    if folder := named_path("COURSE_CACHE"):
        return folder
    import pooch

    return Path(pooch.os_cache("transfer-learning-course"))


def data_folder() -> Path:
    """The data that the course ships: beside the package in a checkout, inside it in an installed wheel."""
    package = Path(__file__).resolve().parent
    beside = package.parent / "data"
    return beside if (beside / "sms_standin.csv").exists() else package / "data"


def omp_threads() -> int | None:
    """How many threads ``OMP_NUM_THREADS`` asks for: its first number, as in "4,2"; None if that is not above 0."""
    asked = re.match(r"\s*0*([1-9]\d*)", os.environ.get("OMP_NUM_THREADS", ""))
    return int(asked[1]) if asked else None


def show_progress() -> bool:
    """Progress bars are for people: everywhere but in profile ``ci``."""
    return current_profile() != "ci"


def accelerator(precision: str | None = None) -> Accelerator:
    """The kernel's Accelerator: it knows device, precision and processes.

    Accelerate keeps one state for the whole kernel, and refuses an Accelerator of another precision, or on another device.
    So the state is made anew where either changes; a process of ``accelerate launch`` stays in its group.

    Args:
        precision: ``fp32``, ``bf16`` or ``fp16``; by default fp32, or what ``accelerate launch`` says.

    Raises:
        ValueError: for another precision, or fp16 without a GPU.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, PartialState
    from accelerate.utils import parse_flag_from_env

    names = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}
    wanted = names.get(precision) if precision else os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    on_cpu = current_profile() != "gpu" or parse_flag_from_env("ACCELERATE_USE_CPU")
    if wanted is None:
        raise ValueError(f"There is no precision {precision!r}; choose one of {', '.join(names)}.")
    if wanted == "fp16" and (on_cpu or not has_accelerator()):
        raise ValueError("fp16 needs a GPU and profile gpu. On a CPU take bf16, or fp32.")
    device_changes = PartialState._shared_state.get("_cpu", on_cpu) != on_cpu
    if device_changes or AcceleratorState._shared_state.get("_mixed_precision", wanted) != wanted:
        AcceleratorState._reset_state(device_changes)  # accelerate's own way to a fresh start, in its tests
    return Accelerator(cpu=on_cpu, mixed_precision=wanted)


def start(profile: str | None = None, *, seed: int = 0, big: bool = False) -> Session:
    """Prepare a lecture: fix the seeds, settle threads and device, set the plot style, print one line.

    Args:
        profile: ``ci``, ``laptop`` or ``gpu``; by default what :func:`current_profile` finds.
        seed: seeds Python, NumPy and PyTorch.
        big: larger fonts in figures, for a projector.
    """
    name = current_profile(profile)
    os.environ["COURSE_PROFILE"] = name
    fix_paths()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # Idle OpenMP threads that spin take the core away from everybody else; read once, when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # NumPy's own threads gain nothing on the small problems of a lecture, and fight with PyTorch's for the cores.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Tensors of some megabytes in huge pages: in 4,096 bytes at a time, Linux spends a tenth of a step on giving them out. PyTorch
    # asks once, at its first tensor.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    if threads := omp_threads():
        os.environ["OMP_NUM_THREADS"] = str(threads)  # OpenMP can read "4,2", other libraries stop at it
    else:
        os.environ.pop("OMP_NUM_THREADS", None)
    _of_ci.close()
    unset = QUIET.keys() - os.environ.keys() if name == "ci" else set()
    for variable in unset:
        os.environ[variable] = QUIET[variable]
        _of_ci.callback(os.environ.pop, variable, None)

    import torch
    from accelerate.utils import set_seed
    from huggingface_hub import constants
    from threadpoolctl import threadpool_limits

    threadpool_limits(1, user_api="blas")  # where NumPy was imported before this call

    if "HF_HUB_OFFLINE" in unset:
        constants.HF_HUB_OFFLINE = True  # the hub reads its environment once
        _of_ci.callback(setattr, constants, "HF_HUB_OFFLINE", False)
    if name == "ci":
        _of_ci.callback(torch.set_num_threads, torch.get_num_threads())
        torch.set_num_threads(threads or 1)
    accelerator()
    set_seed(seed)
    set_style(big=big)
    session = Session(name, seed, network_device())
    if session.device.type == "xla":
        # Inference mode wants to set a version counter, which XLA's tensors do not have.
        torch.inference_mode = torch.no_grad  # type: ignore[assignment,misc]
        # `to` would give a network new parameters there, and an optimizer would go on with the old ones: nothing would learn.
        torch.__future__.set_swap_module_params_on_conversion(True)
        _compute_after_each_step(session.device)
    details = "embedded assets, small sizes" if name == "ci" else device_name(session.device)
    print(f"Course ready: profile {name} ({details}), seed {seed}")
    return session


def compute(device: torch.device) -> None:
    """On XLA, compute what has been gathered, for a loop that carries a state along: nobody asks for a state by itself, and each round
    would compile all rounds before it, too. Other devices have computed it already."""
    if device.type == "xla":
        import torch_xla

        torch_xla.sync()


@functools.cache
def _compute_after_each_step(device: torch.device) -> None:
    """:func:`compute`, for the weights that an optimizer carries from step to step, in a lecture's own loop as well."""
    from torch.optim.optimizer import register_optimizer_step_post_hook

    register_optimizer_step_post_hook(lambda *_: compute(device))


def set_style(big: bool = False) -> None:
    """Set the course's plot style, ``course.mplstyle``; ``big`` enlarges everything for a projector.

    What it leaves open is Matplotlib's default, whatever a user's own matplotlibrc says (such as ``text.usetex``).
    """
    import matplotlib as mpl

    for name in ("course", "course_big") if big else ("course",):
        mpl.rc_file(Path(__file__).with_name(f"{name}.mplstyle"), use_default_template=name == "course")


def device_name(device: torch.device) -> str:
    """A device in words, for the banner."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "xla":
        import torch_xla.runtime

        return f"{torch_xla.runtime.device_type()} through XLA"
    return f"{device.type}, {torch.get_num_threads()} threads"
