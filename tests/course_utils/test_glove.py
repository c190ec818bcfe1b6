"""GloVe: counts against two loops, the objective against the paper, the gradient by hand against autograd."""

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_utils.models.glove import (
    GloVe,
    count_cooccurrences,
    glove_weight,
)
from course_utils.text import EncodedText, Vocabulary
from course_utils.training import word_vectors
from course_utils.training.word_vectors import GloveVectors, cell_step, train_glove

WORDS = 9
sentences = st.lists(st.lists(st.integers(0, WORDS - 1), max_size=12), min_size=1, max_size=8)


def encoded(lists):
    ids = np.array([word for one in lists for word in one], dtype=np.int64)
    return EncodedText(ids, np.repeat(np.arange(len(lists), dtype=np.int32), [len(one) for one in lists]))


def brute_force(lists, window):
    counts = np.zeros((WORDS, WORDS))
    for one in lists:
        for i in range(len(one)):
            for j in range(len(one)):
                if 0 < abs(i - j) <= window:
                    counts[one[i], one[j]] += 1 / abs(i - j)
    return counts


@given(sentences, st.integers(1, 5))
def test_counts_are_what_loops_count(lists, window):
    found = count_cooccurrences(encoded(lists), WORDS, window)
    np.testing.assert_allclose(found.toarray(), brute_force(lists, window), rtol=1e-5)
    assert (found.data > 0).all() and found.has_canonical_format


def test_a_pair_that_occurs_a_million_times_is_counted_to_the_last():
    found = count_cooccurrences(encoded([[0, 1]] * 300_000), WORDS, 3)
    assert found[0, 1] == found[1, 0] == 300_000
    found = count_cooccurrences(encoded([[0, 2, 3, 1]] * 300_000), WORDS, 3)
    assert found[0, 1] == np.float32(100_000)


def test_a_window_below_one_is_refused():
    with pytest.raises(ValueError, match="window must be 1 or more"):
        count_cooccurrences(encoded([[0, 1]]), WORDS, 0)


def test_the_weight_is_the_papers():
    weights = glove_weight(torch.tensor([1.0, 10.0, 100.0, 1e6]))
    torch.testing.assert_close(weights, torch.tensor([0.01**0.75, 0.1**0.75, 1.0, 1.0]))


def test_the_loss_is_zero_where_the_products_are_the_logarithms():
    model = GloVe(2, 1)
    for table, values in (
        (model.word, [[1.0], [2.0]]), (model.context, [[3.0], [0.5]]),
        (model.word_bias, [[0.1], [0.2]]), (model.context_bias, [[0.0], [-0.3]]),
    ):  # fmt: skip
        table.weight.data = torch.tensor(values)
    rows, columns = torch.tensor([0, 1]), torch.tensor([1, 0])
    said = torch.tensor([1 * 0.5 + 0.1 - 0.3, 2 * 3 + 0.2 + 0.0])
    assert model(rows, columns, said.exp()).item() == pytest.approx(0, abs=1e-10)
    off = model(rows, columns, (said - 2).exp(), x_max=1e-6)  # all weights 1, all errors 2
    assert off.item() == pytest.approx(4, rel=1e-4)


def test_the_gradient_by_hand_is_the_one_autograd_finds():
    generator = torch.Generator().manual_seed(0)
    model = GloveVectors(
        torch.randn(WORDS, 5, generator=generator), torch.randn(WORDS, 5, generator=generator),
        torch.zeros(WORDS), torch.zeros(WORDS),
    )  # fmt: skip
    rows, columns = (torch.randint(0, WORDS, (40,), generator=generator) for _ in range(2))
    counts = torch.rand(40, generator=generator) * 200 + 0.1
    plain = GloVe(WORDS, 4)
    plain.word.weight.data, plain.word_bias.weight.data = (
        model.centre[:, :4].clone(),
        model.centre[:, 4:].clone(),
    )
    plain.context.weight.data, plain.context_bias.weight.data = (
        model.context[:, :4].clone(),
        model.context[:, 4:].clone(),
    )
    loss = plain(rows, columns, counts) * 40
    loss.backward()
    gradients = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            word_vectors, "adagrad_rows",
            lambda matrix, squares, at, gradient, rate: gradients.append(torch.zeros_like(matrix).index_add_(0, at, gradient)),
        )  # fmt: skip
        found = cell_step(model, rows, columns, counts.log(), glove_weight(counts), 0.1)
    assert found == pytest.approx(loss.item(), rel=1e-5)
    for by_hand, vectors, bias in zip(
        gradients, (plain.word, plain.context), (plain.word_bias, plain.context_bias), strict=True
    ):
        # The factor 2 of the square is left to the learning rate, as in the published program.
        expected = torch.cat([vectors.weight.grad, bias.weight.grad], 1) / 2
        torch.testing.assert_close(by_hand, expected, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def counts():
    """Words of two topics."""
    random = np.random.default_rng(0)
    lists = [random.choice(np.arange(4) + 4 * (i % 2), 10).tolist() for i in range(300)]
    return count_cooccurrences(encoded(lists), 8, 5)


@pytest.mark.parametrize("threads", [1, 2])
def test_training_learns_the_counts_and_tells_the_topics_apart(counts, threads):
    model = train_glove(counts, dimensions=6, epochs=60, x_max=10, threads=threads)
    assert model.losses[-1] < 0.1 * model.losses[0] and model.epochs == 60
    vectors = torch.from_numpy(model.vectors)
    assert vectors.shape == (8, 6)
    unit = vectors / vectors.norm(dim=1, keepdim=True)
    cosines = unit @ unit.T
    assert cosines[:4, :4].mean() > cosines[:4, 4:].mean() + 0.3


def test_one_thread_repeats_itself_and_training_on_is_training_longer(counts):
    whole, again = (train_glove(counts, dimensions=4, epochs=4, seed=1) for _ in range(2))
    parts = train_glove(counts, dimensions=4, epochs=1, seed=1)
    train_glove(counts, epochs=3, seed=1, model=parts)
    assert torch.equal(whole.centre, again.centre) and torch.equal(whole.centre, parts.centre)
    assert whole.losses == parts.losses


def test_x_max_says_from_where_on_counts_weigh_the_same(counts):
    """The first step's loss is the paper's equation 8 with that x_max: a smaller one weighs rare cells more."""
    losses = {}
    for x_max in (1.0, 10.0, 1000.0):
        start = word_vectors.GloveVectors.new(8, 6, 0)
        cells = counts.tocoo()
        rows, columns = (
            torch.from_numpy(cells.row.astype(np.int64)),
            torch.from_numpy(cells.col.astype(np.int64)),
        )
        data = torch.from_numpy(cells.data)
        product = (start.centre[rows, :-1] * start.context[columns, :-1]).sum(1)
        missed = product + start.centre[rows, -1] + start.context[columns, -1] - data.log()
        losses[x_max] = float(((data / x_max).clamp(max=1) ** 0.75 * missed**2).mean())
        found = train_glove(counts, epochs=1, x_max=x_max, model=start)
        assert found.losses[0] == pytest.approx(losses[x_max], rel=1e-4)
    assert losses[1.0] > 2 * losses[1000.0]


def test_counts_without_a_cell_are_refused():
    with pytest.raises(ValueError, match="hold no cell"):
        train_glove(scipy.sparse.csr_array((4, 4), dtype=np.float32))


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"rate": 0.0}, {"x_max": 0.0}, {"threads": 0}])
def test_a_setting_that_makes_no_sense_is_refused(counts, wrong):
    with pytest.raises(ValueError, match="must be 1 or more"):
        train_glove(counts, **wrong)


def test_ratios_find_what_tells_two_words_apart():
    """The paper's table 1 in small: solid goes with ice, gas with steam, water with both."""
    lists = [["ice", "solid"], ["ice", "water"], ["steam", "gas"], ["steam", "water"]] * 5
    lists += [["ice", "gas"], ["steam", "solid"]]
    vocabulary = Vocabulary(lists)
    table = count_cooccurrences(vocabulary.encode(lists), len(vocabulary), 2).toarray()
    share = table / table.sum(1, keepdims=True)
    at = vocabulary.index
    ratio = {
        word: share[at["ice"], at[word]] / share[at["steam"], at[word]] for word in ("solid", "gas", "water")
    }
    assert ratio == pytest.approx({"solid": 5.0, "gas": 0.2, "water": 1.0})
