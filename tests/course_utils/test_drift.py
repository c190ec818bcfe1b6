"""Drift: the distances by hand, the alarm's false-alarm rate, and words that lead the list."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, ks_2samp

from course_utils.production.drift import alarm_bound, largest_gap, stability_index, word_drift

SCORES = st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0]) | st.floats(0, 1), min_size=1, max_size=30)


@settings(deadline=None)
@given(SCORES, SCORES)
def test_the_largest_gap_is_that_of_kolmogorov_and_smirnov(one, other):
    expected = ks_2samp(one, other, method="asymp").statistic
    assert largest_gap(np.array(one), np.array(other)) == pytest.approx(expected)


def test_the_largest_gap_by_hand():
    assert largest_gap(np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.1, 0.2])) == pytest.approx(0.5)
    assert largest_gap(np.array([0.1, 0.2]), np.array([0.8])) == 1


def test_the_stability_index_by_hand():
    before, now = np.arange(10) / 10, np.array([0.0, 0.0, 0.0, 0.9])
    # Two bins, 5 and 5 of ten, 3 and 1 of four, half a case more in each.
    p, q = np.array([5.5, 5.5]) / 11, np.array([3.5, 1.5]) / 5
    assert stability_index(before, now, bins=2) == pytest.approx(((q - p) * np.log(q / p)).sum())
    assert stability_index(before, before) == pytest.approx(0)


@pytest.mark.parametrize("rate", [0.05, 0.2])
def test_the_alarm_rings_as_often_as_stated_where_nothing_has_changed(rate):
    random, rung, rounds = np.random.default_rng(0), 0, 300
    for _ in range(rounds):
        before, now = random.beta(0.3, 2, 200), random.beta(0.3, 2, 40)
        rung += largest_gap(before, now) > alarm_bound(before, 40, false_alarms=rate, draws=100)
    low, high = binomtest(rung, rounds).proportion_ci(0.999)
    assert low <= rate <= high


def test_the_alarm_rings_where_scores_moved_and_sees_rows_of_vectors_too():
    random = np.random.default_rng(0)
    before = random.normal(size=(200, 5))
    apart = lambda a, b: float(np.linalg.norm(a.mean(axis=0) - b.mean(axis=0)))  # noqa: E731
    bound = alarm_bound(before, 50, distance=apart)
    assert apart(before, random.normal(size=(50, 5)) + 1) > bound
    assert largest_gap(before[:, 0], before[:50, 0] + 2) > alarm_bound(before[:, 0], 50)


def test_a_rarer_false_alarm_has_a_higher_bound():
    before = np.random.default_rng(0).random(300)
    bounds = [alarm_bound(before, 30, false_alarms=rate) for rate in (0.5, 0.1, 0.01)]
    assert bounds == sorted(bounds) and bounds[0] < bounds[-1]


@pytest.mark.parametrize(
    ("size", "more", "words"), [(100, {}, "smaller"), (0, {}, "smaller"), (10, {"draws": 50}, "take more")]
)
def test_too_few_scores_or_draws_are_refused(size, more, words):
    with pytest.raises(ValueError, match=words):
        alarm_bound(np.arange(100.0), size, **more)


def test_the_word_that_came_leads_and_the_one_that_went_comes_last():
    before = [["win", "prize"]] * 30 + [["hello", "you"]] * 70
    now = [["crypto", "prize"]] * 30 + [["hello", "you"]] * 69 + [["odd"]]
    found = word_drift(before, now)
    assert found.word.iloc[0] == "crypto" and found.word.iloc[-1] == "win"
    assert found.z.iloc[0] > 2.5 and found.set_index("word").z["odd"] < 2
    assert abs(found.set_index("word").z["hello"]) < 0.5
    assert found.set_index("word").loc["crypto", ["before", "now"]].tolist() == [0, 30]


def test_a_word_counts_once_a_text_and_turning_time_round_turns_the_signs():
    before, now = [["a"], ["b"]], [["a"] * 50, ["b"]]
    assert word_drift(before, now).z.abs().max() == pytest.approx(0)
    one = word_drift([["a"], ["b"], ["b"]], [["a"], ["c"]]).set_index("word").z
    other = word_drift([["a"], ["c"]], [["a"], ["b"], ["b"]]).set_index("word").z
    np.testing.assert_allclose(one.sort_index(), -other.sort_index())
