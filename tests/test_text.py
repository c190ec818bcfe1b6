import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_utils.text import length_bucketed, pad_rows

LENGTHS = st.lists(st.integers(0, 200), max_size=80)


@given(LENGTHS, st.integers(1, 600))
def test_buckets_are_a_partition_within_the_budget_longest_first(lengths, budget):
    batches = length_bucketed(lengths, budget)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        sizes = [lengths[i] for i in batch]
        assert sizes == sorted(sizes, reverse=True)
        assert len(batch) == 1 or len(batch) * sizes[0] <= budget
    widest = [lengths[batch[0]] for batch in batches]
    assert widest == sorted(widest, reverse=True)


@given(LENGTHS, st.integers(1, 600))
def test_no_batch_could_have_taken_the_next_text(lengths, budget):
    batches = length_bucketed(lengths, budget)
    for batch in batches[:-1]:
        assert (len(batch) + 1) * max(1, lengths[batch[0]]) > budget


def test_equal_lengths_keep_their_order():
    assert np.concatenate(length_bucketed([3, 3, 5, 3], 6)).tolist() == [2, 0, 1, 3]


@pytest.mark.parametrize(
    ("lengths", "budget", "message"), [([1], 0, "at least 1"), ([-1], 9, "from 0"), ([[1]], 9, "shape")]
)
def test_what_buckets_refuse(lengths, budget, message):
    with pytest.raises(ValueError, match=message):
        length_bucketed(lengths, budget)


def test_pad_rows():
    ids, mask = pad_rows([[5, 6, 7], [8]], padding=9)
    assert ids.tolist() == [[5, 6, 7], [8, 9, 9]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert pad_rows([])[0].shape == (0, 0)
