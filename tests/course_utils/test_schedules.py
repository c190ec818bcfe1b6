"""Schedules: what they are at the first, the highest and the last step; straight lines between; rates and order of layers."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from course_utils.training import (
    adamw,
    constant,
    linear_fall,
    slanted_triangular,
    take_step,
    uncorrected,
    warm_up,
)

TABLE = [  # schedule, steps, first step, highest share and where, last step that is taken, and the end of all steps
    (constant, 100, 1.0, (1.0, 0), 1.0, 1.0),
    (warm_up, 100, 0.1, (1.0, 9), 1 / 90, 0.0),
    (warm_up, 10, 1.0, (1.0, 0), 1 / 9, 0.0),
    (warm_up, 1, 1.0, (1.0, 0), 1.0, 0.0),
    (linear_fall, 100, 1.0, (1.0, 0), 1 / 99, 0.0),
    (slanted_triangular, 100, 1 / 32, (1.0, 10), (1 + 31 / 90) / 32, 1 / 32),
    (slanted_triangular, 5, 1 / 32, (1.0, 1), (1 + 31 / 4) / 32, 1 / 32),
]


@pytest.mark.parametrize("schedule, steps, first, highest, last, end", TABLE)
def test_first_highest_and_last_step(schedule, steps, first, highest, last, end):
    shares = [schedule(step, steps) for step in range(steps + 1)]
    assert shares[0] == pytest.approx(first)
    assert (max(shares[:steps]), int(np.argmax(shares[:steps]))) == (pytest.approx(highest[0]), highest[1])
    assert shares[steps - 1] == pytest.approx(last)
    assert shares[steps] == pytest.approx(end, abs=1e-12)


@given(st.integers(1, 500), st.floats(0, 0.9))
def test_a_warm_up_is_two_straight_lines_and_never_leaves_0_to_1(steps, rise):
    shares = np.array([warm_up(step, steps, rise) for step in range(steps + 1)])
    top = max(1, int(rise * steps))
    assert (shares >= 0).all() and (shares <= 1).all() and shares[top - 1] == 1
    np.testing.assert_allclose(np.diff(shares[:top], 2), 0, atol=1e-9)
    np.testing.assert_allclose(np.diff(shares[top:], 2), 0, atol=1e-9)


@given(st.integers(1, 500), st.floats(0.01, 0.99), st.floats(1, 100))
def test_the_triangle_has_one_peak_two_straight_sides_and_stays_above_its_floor(steps, cut, ratio):
    shares = np.array([slanted_triangular(step, steps, cut, ratio) for step in range(steps + 1)])
    peak = max(1, int(steps * cut))
    assert shares[peak] == shares.max() == 1  # with a ratio near 1 it is flat
    assert (shares >= 1 / ratio - 1e-12).all() and shares[0] == pytest.approx(1 / ratio)
    np.testing.assert_allclose(np.diff(shares[: peak + 1], 2), 0, atol=1e-9)
    np.testing.assert_allclose(np.diff(shares[peak:], 2), 0, atol=1e-9)
    if peak < steps:
        assert shares[-1] == pytest.approx(1 / ratio)


@pytest.mark.parametrize("step", range(0, 101, 10))
def test_the_triangle_is_equation_3_where_its_peak_is_at_a_whole_step(step):
    cut = int(100 * 0.1)
    p = step / cut if step < cut else 1 - (step - cut) / (cut * (1 / 0.1 - 1))
    assert slanted_triangular(step, 100) == pytest.approx((1 + p * 31) / 32)


@pytest.mark.parametrize("wrong", [(-1, 10), (11, 10), (1, 10, 0.0), (1, 10, 1.0), (1, 10, 0.1, 0.5)])
def test_a_triangle_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match="0 <= step <= steps"):
        slanted_triangular(*wrong)


def test_a_step_takes_the_share_of_the_highest_rate_each_time_anew():
    optimizer = adamw([{"params": [nn.Parameter(torch.ones(2))], "lr": 0.5}])
    for share in (0.5, 1.0, 0.0):
        take_step(optimizer, share)
        assert optimizer.param_groups[0]["lr"] == 0.5 * share


def test_without_correction_adam_steps_as_one_that_corrects_nothing():
    """Beside Adam by hand: the moments as they are, and no decay. Gradients far above epsilon, which counts for less here."""
    generator = torch.Generator().manual_seed(0)
    gradients = torch.randn(60, 5, generator=generator)
    weight = nn.Parameter(torch.ones(5))
    optimizer = adamw([{"params": [weight], "lr": 0.01}], decay=0.0)
    by_hand, first, second = torch.ones(5), torch.zeros(5), torch.zeros(5)
    for step, gradient in enumerate(gradients):
        share = uncorrected(warm_up)(step, 60)
        weight.grad = gradient.clone()
        take_step(optimizer, share, clip=1e9)
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        by_hand -= 0.01 * warm_up(step, 60) * first / (second.sqrt() + 1e-8)
        torch.testing.assert_close(weight.detach(), by_hand, rtol=1e-5, atol=1e-6)


def test_without_correction_the_first_steps_are_several_times_as_long_and_late_ones_are_not():
    shares = np.array([uncorrected(constant)(step, 10_000) for step in range(10_000)])
    assert shares[0] == pytest.approx(0.1 / 0.001**0.5)
    assert shares.max() == pytest.approx(6.57, abs=0.01) and shares[-1] == pytest.approx(1, abs=1e-4)
    assert [uncorrected(warm_up, (0.0, 0.0))(step, 9) for step in range(9)] == [
        warm_up(step, 9) for step in range(9)
    ]
