"""Profiles, seeds, and the bounds that lectures state."""

import json
import random
import subprocess
import sys

import matplotlib as mpl
import matplotlib.style
import numpy as np
import pytest
import seaborn as sns
import torch
from cycler import cycler

from course_tools import PATIENCE
from course_utils import expect, plotting, record, session, start
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
    for set_style in (theme, lambda big: start("ci", big=big)):
        with mpl.rc_context():
            mpl.rcdefaults()
            mpl.style.use(before)
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


def test_a_projector_gets_a_style_of_its_own_and_a_screen_gets_it_back():
    with mpl.rc_context():
        sizes = []
        for big in (True, False):
            start("ci", big=big)
            sizes.append((mpl.rcParams["font.size"], mpl.rcParams["figure.dpi"]))
    assert sizes == [(13.8, 150), (12, 110)]


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


def test_expect_without_a_bound_is_refused():
    with pytest.raises(TypeError, match="needs a bound"):
        expect("figure", 1.0)


def test_figures_are_kept_for_the_report(tmp_path, monkeypatch):
    file = tmp_path / "report.jsonl"
    monkeypatch.setenv("COURSE_REPORT", str(file))
    monkeypatch.setenv("COURSE_LECTURE", "10")
    expect("good", np.float32(0.5), at_least=0.4)
    record("seconds", 3)
    with pytest.raises(ExpectationError):
        expect("bad", 0.1, at_least=0.4)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(line["name"], line["value"], line.get("passed")) for line in lines] == [
        ("good", 0.5, True),
        ("seconds", 3, None),
        ("bad", 0.1, False),
    ]
    assert {line["lecture"] for line in lines} == {"10"}
