"""Profiles, seeds, and the bounds that lectures state."""

import json
import random

import numpy as np
import pytest
import torch

from course_utils import expect, record, session, start
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
