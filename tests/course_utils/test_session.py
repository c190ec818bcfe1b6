"""Profiles, seeds, and the bounds that lectures state."""

import json
import os
import random
import subprocess
import sys
import tempfile
from fractions import Fraction
from importlib.machinery import ModuleSpec
from types import ModuleType

import matplotlib as mpl
import matplotlib.style
import numpy as np
import pytest
import seaborn as sns
import torch
from cycler import cycler
from torch.optim.optimizer import _global_optimizer_post_hooks as hooks

from course_tools import PATIENCE
from course_utils import expect, expect_kept, plotting, record, session, start
from course_utils.expectations import ExpectationError


@pytest.mark.parametrize(
    ("environment", "accelerator", "profile"),
    [
        ({}, False, "laptop"),
        ({}, True, "gpu"),
        ({"CI": "true"}, True, "ci"),
        ({"CI": "false"}, False, "laptop"),
        ({"CI": "true", "COURSE_PROFILE": "laptop"}, False, "laptop"),
    ],
)
def test_profile_follows_the_environment(monkeypatch, environment, accelerator, profile):
    for name in ("CI", "COURSE_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(session, "has_accelerator", lambda: accelerator)
    assert session.current_profile() == profile


def pretend_torch_xla(monkeypatch, chips):
    """The packages as far as they are asked, on a machine with so many chips of a TPU."""
    torch_xla = ModuleType("torch_xla")
    torch_xla.__spec__ = ModuleSpec("torch_xla", None)
    torch_xla.device, torch_xla.sync = lambda: torch.device("xla:0"), lambda: None
    tpu, runtime = ModuleType("torch_xla._internal.tpu"), ModuleType("torch_xla.runtime")
    tpu.num_available_chips = lambda: chips
    runtime.device_type = lambda: "TPU"
    torch_xla.runtime = runtime
    for module in (torch_xla, ModuleType("torch_xla._internal"), tpu, runtime):
        monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.mark.parametrize(
    ("chips", "named", "found"), [(8, "", "xla"), (0, "", None), (0, "CPU", "xla"), (None, "TPU", None)]
)
def test_a_tpu_is_an_accelerator_and_the_cpu_behind_xla_only_if_it_is_named(monkeypatch, chips, named, found):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    monkeypatch.setenv("PJRT_DEVICE", named)
    monkeypatch.setenv("PJRT_SELECT_DEFAULT_DEVICE", "0")
    if chips is not None:  # else torch_xla is not there
        pretend_torch_xla(monkeypatch, chips)
    device = session.find_accelerator()
    assert (device and device.type) == found and session.has_accelerator() is (found is not None)
    for profile in session.PROFILES:
        monkeypatch.setenv("COURSE_PROFILE", profile)
        assert session.network_device().type == (found if profile == "gpu" and found else "cpu")
    if found:
        assert session.device_name(device) == "TPU through XLA"


def test_on_a_tpu_inference_mode_is_no_grad_and_a_network_that_moves_keeps_its_parameters(monkeypatch):
    """What is made in inference mode has no version counter, and XLA's tensors set one."""
    swap = torch.__future__.get_swap_module_params_on_conversion
    monkeypatch.setattr(torch, "inference_mode", torch.inference_mode)
    monkeypatch.setattr(session, "network_device", lambda: torch.device("cpu"))
    start("ci")
    assert torch.inference_mode is not torch.no_grad and not swap()
    pretend_torch_xla(monkeypatch, 8)
    monkeypatch.setattr(session, "network_device", lambda: torch.device("xla:0"))
    monkeypatch.setattr(session, "_compute_after_each_step", lambda device: None)
    start("ci")
    moves = swap()
    torch.__future__.set_swap_module_params_on_conversion(False)
    assert torch.inference_mode is torch.no_grad and moves


def test_on_a_tpu_each_step_of_training_is_computed_before_the_next(monkeypatch):
    pretend_torch_xla(monkeypatch, 8)
    synced = []
    monkeypatch.setattr(
        sys.modules["torch_xla"], "sync", lambda: synced.append(optimizer.param_groups[0]["lr"])
    )
    monkeypatch.setattr(session, "network_device", lambda: torch.device("xla:0"))
    monkeypatch.setattr(torch, "inference_mode", torch.inference_mode)
    session._compute_after_each_step.cache_clear()
    before = dict(hooks)
    try:
        start("ci")
        start("ci")
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
        for rate in (0.1, 0.2):
            optimizer.param_groups[0]["lr"] = rate
            optimizer.step()
    finally:
        for number in hooks.keys() - before.keys():
            del hooks[number]
        session._compute_after_each_step.cache_clear()
        torch.__future__.set_swap_module_params_on_conversion(False)
    assert synced == [0.1, 0.2]


@pytest.mark.parametrize(
    ("kind", "asked"), [("cpu", []), ("cuda", ["GPU"]), ("mps", ["GPU"]), ("xla", ["XLA"])]
)
def test_a_clock_waits_for_the_device(monkeypatch, kind, asked):
    pretend_torch_xla(monkeypatch, 8)
    waited = []
    monkeypatch.setattr(sys.modules["torch_xla"], "sync", lambda wait: waited.append("XLA" if wait else ""))
    monkeypatch.setattr(torch.accelerator, "synchronize", lambda: waited.append("GPU"))
    session.Session("gpu", 0, torch.device(kind)).wait()
    assert waited == asked


def test_a_text_is_read_on_a_tpu_chunk_by_chunk(monkeypatch):
    """Lecture 03's model and the decoders carry a state from token to token."""
    from course_utils.models import decoders, language_model

    computed = []
    for module in (language_model, decoders):
        monkeypatch.setattr(module, "compute", lambda device: computed.append(device.type))
    language_model.log_probabilities(language_model.LanguageModel(9, 4), np.arange(8), rows=1, length=2)
    assert computed == ["cpu"] * 4
    model = ModuleType("model")
    model.device = torch.device("cpu")
    reader = decoders.Reader(model)
    reader.read = lambda ids, places, real: torch.nn.functional.one_hot(ids[:, -1], 5).float()
    assert decoders.generate(reader, [[1, 2]], 3) == [[2, 2, 2]] and computed == ["cpu"] * 7


@pytest.mark.parametrize("profile", ["CI", "Laptop", "gpu"])
def test_a_profile_may_be_written_in_any_case(monkeypatch, profile):
    monkeypatch.setenv("COURSE_PROFILE", profile)
    assert session.current_profile() == session.current_profile(profile) == profile.lower()


AFTER_CI = """
import os, sys
import torch
torch.set_num_threads(2)
from course_utils import start
start("ci")
from huggingface_hub import is_offline_mode
print(is_offline_mode(), torch.get_num_threads())
start("laptop")
left = [os.environ.get(name) for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_VERBOSITY")]
print(is_offline_mode(), torch.get_num_threads(), *left)
start("ci")
print(os.environ.get("HF_HUB_OFFLINE"), torch.get_num_threads(), is_offline_mode())
"""


@pytest.mark.parametrize(
    ("environment", "printed"),
    [
        ({}, ["True 1", "False 2 None None", "1 1 True"]),
        ({"HF_HUB_OFFLINE": "1"}, ["True 1", "True 2 1 None", "1 1 True"]),
    ],
)
def test_another_profile_takes_back_what_ci_has_set_and_nothing_else(environment, printed):
    """In a fresh process: the hub reads its environment once."""
    unset = ("HF_HUB_OFFLINE", "TRANSFORMERS_VERBOSITY", "OMP_NUM_THREADS", "TRANSFORMERS_OFFLINE")
    inherited = {name: value for name, value in os.environ.items() if name not in unset}
    run = subprocess.run(
        [sys.executable, "-c", AFTER_CI],
        env=inherited | environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    lines = [line for line in run.stdout.splitlines() if not line.startswith("Course ready")]
    assert lines == printed, run.stderr


def test_paths_in_the_environment_are_fixed_once(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.setenv("COURSE_MIRROR", "usb")
    monkeypatch.setenv("COURSE_CACHE", "~/cache")
    monkeypatch.setenv("COURSE_PROGRESS", "OFF")
    monkeypatch.setenv("COURSE_SCOREBOARD", "../board.json")
    start("ci")
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert session.named_path("COURSE_MIRROR") == tmp_path / "usb"
    assert session.cache_folder() == tmp_path / "home" / "cache"
    assert session.named_path("COURSE_SCOREBOARD") == tmp_path.parent / "board.json"
    assert session.named_path("COURSE_PROGRESS") is None and os.environ["COURSE_PROGRESS"] == "OFF"


def test_a_user_without_a_home_has_a_cache_all_the_same(monkeypatch, tmp_path):
    monkeypatch.delenv("COURSE_CACHE")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv(
        "HOME", "~"
    )  # what expanduser answers where there is neither HOME nor an entry among the users
    start("ci")
    assert session.cache_folder().is_relative_to(tempfile.gettempdir()) and not list(tmp_path.iterdir())


def test_unknown_profile_names_the_choices():
    with pytest.raises(ValueError, match="ci, laptop, gpu"):
        start("colab")


def test_start_seeds_everything_and_prints_one_line(capsys, monkeypatch):
    monkeypatch.setenv("COURSE_PROFILE", "laptop")
    draws = []
    for seed in (5, 5, 6):
        course = start("ci", seed=seed)
        draws.append((random.random(), np.random.rand(), torch.rand(()).item()))
    assert draws[0] == draws[1] != draws[2]
    assert capsys.readouterr().out.splitlines()[0] == (
        "Course ready: profile ci (embedded assets, small sizes), seed 5"
    )
    assert course.choose(ci=1, laptop=2, gpu=3) == 1
    assert course.device.type == "cpu"
    assert not session.show_progress()


@pytest.mark.parametrize(
    ("value", "threads"),
    [
        ("", None),
        (" ", None),
        ("2", 2),
        ("2,1", 2),
        (" 02 , 4", 2),
        ("0", None),
        ("-1", None),
        ("many", None),
    ],
)
def test_the_first_number_of_threads_counts_and_else_the_default(monkeypatch, value, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    before = torch.get_num_threads()
    assert session.omp_threads() == threads
    try:
        start("ci")
        assert torch.get_num_threads() == (threads or 1)
        # What other libraries read, and the processes that this one starts.
        assert os.environ.get("OMP_NUM_THREADS") == (str(threads) if threads else None)
    finally:
        torch.set_num_threads(before)


def theme(big):
    """The course's style as it was first made: seaborn's theme "ticks", and changes to it."""
    frame = {"axes.spines.top": False, "axes.spines.right": False}
    sns.set_theme(style="ticks", font="DejaVu Sans", font_scale=1.15 if big else 1.0, rc=frame)
    mpl.rcParams.update(
        {
            "figure.dpi": 150 if big else 110,
            "figure.facecolor": "white",
            "axes.prop_cycle": cycler(color=list(plotting.COLOURS.values())),
            "axes.edgecolor": plotting.style.GREY,
            "axes.titlelocation": "left",
            "axes.titleweight": "bold",
            "axes.titlepad": 12,
            "axes.grid": False,
            "grid.color": plotting.style.PALE,
            "legend.frameon": False,
            "hatch.linewidth": 0.7,
        }
    )


@pytest.mark.parametrize("before", ["default", "ggplot", "dark_background"])
@pytest.mark.parametrize("big", [False, True])
def test_start_sets_the_plot_style_whatever_was_set_before(big, before):
    parameters = []
    for used, set_style in (("default", theme), (before, lambda big: start("ci", big=big))):
        with mpl.rc_context():
            mpl.rcdefaults()
            mpl.style.use(used)
            set_style(big)
            parameters.append(dict(mpl.rcParams))
    wanted, got = parameters
    # The theme's own map is known only where seaborn is imported, which start() need not wait for.
    assert wanted.pop("image.cmap") == "rocket" and got.pop("image.cmap") in mpl.colormaps
    wrong = {
        name: (got[name], value)
        for name, value in wanted.items()
        if got[name] != (pytest.approx(value) if isinstance(value, float) else value)
    }
    assert not wrong


@pytest.mark.parametrize(
    "setting", [{"text.usetex": True}, {"font.size": 30, "axes.grid": True, "savefig.dpi": 7}]
)
def test_a_users_own_matplotlibrc_does_no_harm(setting):
    with mpl.rc_context():
        mpl.rcdefaults()
        start("ci")
        wanted = dict(mpl.rcParams)
        mpl.rcParams.update(setting)
        start("ci")
        assert dict(mpl.rcParams) == wanted


def test_a_projector_gets_a_style_of_its_own_and_a_screen_gets_it_back():
    with mpl.rc_context():
        sizes = []
        for big in (True, False):
            start("ci", big=big)
            sizes.append((mpl.rcParams["font.size"], mpl.rcParams["figure.dpi"]))
    assert sizes == [(13.8, 150), (12, 110)]


@pytest.mark.parametrize(("before", "after"), [(None, "1"), ("0", "0")])
def test_large_tensors_get_huge_pages_unless_somebody_says_no(monkeypatch, before, after):
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", before or "")
    if before is None:
        monkeypatch.delenv("THP_MEM_ALLOC_ENABLE")
    start("ci")
    assert os.environ["THP_MEM_ALLOC_ENABLE"] == after


def test_start_imports_no_figures():
    code = (
        "import sys; from course_utils import start; start('ci')\n"
        "print(*(name for name in ('course_utils.plotting', 'seaborn', 'matplotlib.pyplot', 'pandas') if name in sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE)
    assert run.stdout.splitlines()[1:] == [""], run.stdout + run.stderr


def test_expect_prints_the_bound_not_the_value(capsys):
    expect("spam F1", 0.934567, at_least=0.9)
    expect("rows", 5574, equals=5574)
    expect("share", 0.5, at_least=0.4, at_most=0.6)
    assert capsys.readouterr().out.splitlines() == [
        "✓ spam F1: at least 0.9",
        "✓ rows: 5574",
        "✓ share: at least 0.4 and at most 0.6",
    ]


@pytest.mark.parametrize(
    ("value", "bound"),
    [(0.89, {"at_least": 0.9}), (1.1, {"at_most": 1}), (2, {"equals": 3}), (float("nan"), {"at_least": 0})],
)
def test_expect_fails_outside_its_bound(value, bound):
    with pytest.raises(ExpectationError, match="course doctor"):
        expect("figure", value, **bound)


@pytest.mark.parametrize("value", [0.0289, np.float32(0.0289)])
def test_a_kept_figure_stops_profile_ci_alone(value, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("COURSE_REPORT", str(tmp_path / "report.jsonl"))
    for profile in ("laptop", "gpu"):
        monkeypatch.setenv("COURSE_PROFILE", profile)
        expect_kept("real: lead, lower end", value, at_least=0.03)
        expect_kept("real: lead, lower end", 0.04, at_least=0.03)
        with pytest.raises(ExpectationError):
            expect("lead, lower end", value, at_least=0.03)
    assert capsys.readouterr().out.splitlines() == 2 * [
        "· real: lead, lower end: 0.0289 in this run; what was kept is at least 0.03",
        "✓ real: lead, lower end: at least 0.03",
    ]
    monkeypatch.setenv("COURSE_PROFILE", "ci")
    with pytest.raises(ExpectationError):
        expect_kept("real: lead, lower end", value, at_least=0.03)
    lines = [json.loads(line) for line in (tmp_path / "report.jsonl").read_text().splitlines()]
    assert [line["passed"] for line in lines] == [False, True, False] * 2 + [False]
    assert [line["own"] for line in lines] == [True, True, False] * 2 + [False]


def test_expect_without_a_bound_is_refused():
    with pytest.raises(TypeError, match="needs a bound"):
        expect("figure", 1.0)


def test_figures_are_kept_for_the_report(tmp_path, monkeypatch):
    file = tmp_path / "report.jsonl"
    monkeypatch.setenv("COURSE_REPORT", str(file))
    monkeypatch.setenv("COURSE_LECTURE", "10")
    expect("good", np.float32(0.5), at_least=0.4)
    record("seconds", np.int32(3))
    record("loss", torch.tensor(0.25))
    expect("more", np.float64(0.5), at_least=np.float32(0.5), at_most=np.int64(1))
    expect("rows", np.int64(3), equals=np.int64(3))
    expect("right", np.bool_(True), equals=np.bool_(True))
    expect("shape", (np.int64(2), 3), equals=(2, np.int64(3)))
    expect("words", {"a", "b"}, equals={"b", "a"})
    expect("share", Fraction(1, 2), at_least=Fraction(1, 3))
    expect("counts", {np.int64(0): np.int64(5)}, equals={0: 5})
    with pytest.raises(ExpectationError):
        expect("bad", 0.1, at_least=0.4)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(line["name"], line["value"], line.get("passed")) for line in lines] == [
        ("good", 0.5, True),
        ("seconds", 3, None),
        ("loss", 0.25, None),
        ("more", 0.5, True),
        ("rows", 3, True),
        ("right", True, True),
        ("shape", [2, 3], True),
        ("words", lines[7]["value"], True),
        ("share", "1/2", True),
        ("counts", {}, True),
        ("bad", 0.1, False),
    ]
    assert (lines[3]["at_least"], lines[3]["at_most"], lines[4]["equals"]) == (0.5, 1, 3)
    assert {line["lecture"] for line in lines} == {"10"}
