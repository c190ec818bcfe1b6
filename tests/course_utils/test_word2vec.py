"""Word2vec: pairs, noise, subsampling; and that the fast way descends the very objective of the plain one."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.models.word2vec import (
    SkipGram,
    draw_noise,
    keep_probability,
    noise_distribution,
    skip_gram_pairs,
)
from course_utils.text import EncodedText, Vocabulary
from course_utils.training import word_vectors
from course_utils.training.word_vectors import (
    Word2Vec,
    block_step,
    block_weights,
    cut_blocks,
    train_word2vec,
)

WORDS, WIDTH = 12, 6
sentences = st.lists(st.lists(st.integers(0, WORDS - 1), min_size=0, max_size=9), min_size=1, max_size=7)


def encoded(lists):
    ids = np.array([word for one in lists for word in one], dtype=np.int64)
    return EncodedText(ids, np.repeat(np.arange(len(lists), dtype=np.int32), [len(one) for one in lists]))


def brute_force_pairs(lists, reach):
    pairs, at = [], 0
    for one in lists:
        for i, word in enumerate(one):
            pairs += [(word, one[j]) for j in range(len(one)) if 0 < abs(i - j) <= reach[at + i]]
        at += len(one)
    return sorted(pairs)


@given(sentences, st.randoms(use_true_random=False))
def test_pairs_are_what_two_loops_find_and_never_cross_a_sentence(lists, random):
    text = encoded(lists)
    reach = np.array([random.randint(1, 4) for _ in range(len(text))], dtype=np.int64)
    found = sorted(map(tuple, skip_gram_pairs(text, reach).tolist()))
    assert found == brute_force_pairs(lists, reach)


def test_no_window_reaches_into_the_next_sentence():
    text = encoded([[0, 1], [2, 3]])
    assert sorted(map(tuple, skip_gram_pairs(text, np.full(4, 5)).tolist())) == [
        (0, 1),
        (1, 0),
        (2, 3),
        (3, 2),
    ]


def random_vectors(seed=0):
    generator = torch.Generator().manual_seed(seed)
    centre, context = (torch.randn(WORDS, WIDTH, generator=generator) for _ in range(2))
    return Word2Vec(centre, context, torch.zeros(WORDS), torch.zeros(WORDS))


def plain(model):
    module = SkipGram(WORDS, WIDTH)
    module.centre.weight.data, module.context.weight.data = model.centre.clone(), model.context.clone()
    return module


@settings(max_examples=30, deadline=None)
@given(sentences.filter(lambda lists: any(len(one) > 1 for one in lists)), st.integers(0, 9))
def test_blocks_have_the_loss_and_the_gradient_of_the_plain_model(lists, seed):
    """Against autograd on single pairs, each with all of its block's noise words, weighted k / (number of them)."""
    random = np.random.default_rng(seed)
    text, model, k = encoded(lists), random_vectors(seed), 5
    ids, left, right = cut_blocks(text, 3, random)
    shared = torch.from_numpy(random.integers(0, WORDS, size=(len(ids), 16)).astype(np.int32))
    weights = block_weights(ids, left, right, shared, k)
    module, total, count = plain(model), torch.zeros(()), 0
    for i, (word, number) in enumerate(zip(text.ids, text.sentences, strict=True)):
        block, row = divmod(i, word_vectors.CENTRES)
        near = [j for j in range(i - int(left[block, row]), i + int(right[block, row]) + 1) if j != i]
        assert all(text.sentences[j] == number for j in near) and len(near) <= 6
        for j in near:
            pair = torch.tensor([word]), torch.tensor([text.ids[j]])
            alone = module(*pair, torch.zeros(1, 0, dtype=torch.int64))
            total = total + alone + (module(*pair, shared[block][None]) - alone) * k / 16
            count += 1
    total.backward()
    gradients = {}

    def keep(matrix, squares, rows, gradient, rate):
        summed = torch.zeros_like(matrix).index_add_(0, rows, gradient.flatten(0, 1))
        gradients["centre" if matrix is model.centre else "context"] = summed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(word_vectors, "adagrad_rows", keep)
        loss, pairs = block_step(model, ids, weights, shared, 0.1, measure=True)
    assert pairs == count and loss == pytest.approx(float(total.detach()), rel=1e-4)
    torch.testing.assert_close(gradients["centre"], module.centre.weight.grad, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(gradients["context"], module.context.weight.grad, rtol=1e-3, atol=1e-4)


@given(sentences.filter(any), st.integers(1, 4), st.integers(0, 9))
def test_windows_of_blocks_reach_as_far_as_drawn_and_stop_with_the_sentence(lists, window, seed):
    text = encoded(lists)
    ids, left, right = cut_blocks(text, window, np.random.default_rng(seed))
    reach = np.random.default_rng(seed).integers(1, window + 1, size=len(text))
    middle = ids[:, window : window + word_vectors.CENTRES].flatten()
    assert middle[: len(text)].tolist() == text.ids.tolist()
    sides = [side.flatten().tolist() for side in (left, right)]
    assert not any(any(side[len(text) :]) for side in sides)
    at = 0
    for one in lists:
        for i in range(len(one)):
            assert sides[0][at + i] == min(reach[at + i], i)
            assert sides[1][at + i] == min(reach[at + i], len(one) - 1 - i)
        at += len(one)


def test_the_gradient_by_hand_is_the_one_autograd_finds():
    module = plain(random_vectors())
    centre, context, noise = torch.tensor([3]), torch.tensor([5]), torch.tensor([[1, 5, 7]])
    module(centre, context, noise).backward()
    v, u = module.centre.weight[3].detach(), module.context.weight.detach()
    true, one, two = (torch.sigmoid(u[row] @ v) for row in (5, 1, 7))
    torch.testing.assert_close(
        module.context.weight.grad[5], (true - 1) * v
    )  # noise word 5 is the context word: left out
    torch.testing.assert_close(module.context.weight.grad[1], one * v)
    torch.testing.assert_close(module.centre.weight.grad[3], (true - 1) * u[5] + one * u[1] + two * u[7])


def test_a_negative_that_is_the_positive_says_nothing():
    module = plain(random_vectors())
    pair = torch.tensor([3]), torch.tensor([5])
    alone = module(*pair, torch.zeros(1, 0, dtype=torch.int64))
    torch.testing.assert_close(module(*pair, torch.tensor([[5, 5]])), alone)


def test_the_full_softmax_is_the_log_probability_of_the_context():
    module = plain(random_vectors())
    scores = module.context.weight @ module.centre.weight[3]
    expected = scores.logsumexp(0) - scores[5]
    torch.testing.assert_close(module.softmax_loss(torch.tensor([3]), torch.tensor([5])), expected)


def test_noise_follows_the_power_of_three_quarters_within_sampling_error():
    counts = np.array([16, 81, 256, 10_000])
    noise = noise_distribution(counts)
    np.testing.assert_allclose(noise, np.array([8, 27, 64, 1000]) / 1099)
    drawn = draw_noise(counts, 10_000, np.random.default_rng(0))
    assert (np.abs(np.bincount(drawn, minlength=4) - 10_000 * noise) <= 1).all()
    first, second = (np.bincount(half, minlength=4) / 5_000 for half in np.split(drawn, 2))
    error = np.sqrt(noise * (1 - noise) / 5_000)
    assert (np.abs(first - noise) < 4 * error).all() and (np.abs(first - second) > 0).any()  # in random order


def test_few_draws_are_right_on_average():
    """A word with a probability below one in the draws must come sometimes, not never and not always."""
    counts = np.array([1000, 1])
    often = [int((draw_noise(counts, 10, np.random.default_rng(seed)) == 1).sum()) for seed in range(2000)]
    expected = 10 * noise_distribution(counts)[1]
    assert set(often) == {0, 1} and abs(np.mean(often) - expected) < 4 * np.sqrt(expected / 2000)


def test_what_is_rare_is_kept_and_what_is_frequent_thinned_out():
    counts = np.array([90_000, 9_900, 100])
    keep = keep_probability(counts, 1e-3)
    np.testing.assert_allclose(keep[0], np.sqrt(1e-3 / 0.9) + 1e-3 / 0.9)
    assert keep[0] < keep[1] < keep[2] == 1
    assert (keep_probability(counts, 0) == 1).all()


@pytest.fixture(scope="module")
def toy():
    """Two groups of words that never meet: within a group, any order."""
    random = np.random.default_rng(0)
    groups = [list("abcdef"), list("uvwxyz")]
    lists = [[str(w) for w in random.choice(groups[i % 2], 8)] for i in range(600)]
    vocabulary = Vocabulary(lists)
    return vocabulary, vocabulary.encode(lists)


def separation(vocabulary, matrix):
    """Mean cosine within the groups minus that between them."""
    unit = matrix / matrix.norm(dim=1, keepdim=True)
    first = torch.tensor([word in "abcdef" for word in vocabulary.words])
    cosines = unit @ unit.T
    return float(
        (cosines[first][:, first].mean() + cosines[~first][:, ~first].mean()) / 2
        - cosines[first][:, ~first].mean()
    )


@pytest.mark.parametrize("threads", [1, 2])
def test_words_that_share_company_come_to_lie_together(toy, threads):
    vocabulary, text = toy
    model = train_word2vec(
        text, vocabulary.counts, dimensions=10, window=3, epochs=20, subsample=0, threads=threads
    )
    assert separation(vocabulary, model.centre) > 0.4  # 0.7 to 0.9 over six seeds
    assert model.losses[-1] < 0.8 * model.losses[0] and model.epochs == len(model.losses) == 20
    assert torch.isfinite(model.centre).all() and torch.isfinite(model.context).all()


def test_one_thread_repeats_itself_to_the_bit_whatever_torch_was_set_to(toy):
    vocabulary, text = toy
    before = torch.get_num_threads()
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found.append(train_word2vec(text, vocabulary.counts, dimensions=10, epochs=2, seed=3).centre)
        assert torch.get_num_threads() == threads
    torch.set_num_threads(before)
    assert torch.equal(*found)
    other = train_word2vec(text, vocabulary.counts, dimensions=10, epochs=2, seed=4).centre
    assert not torch.equal(found[0], other)


def test_training_on_is_training_longer(toy):
    vocabulary, text = toy
    whole = train_word2vec(text, vocabulary.counts, dimensions=10, epochs=3)
    parts = train_word2vec(text, vocabulary.counts, dimensions=10, epochs=1)
    seen = []
    train_word2vec(
        text, vocabulary.counts, epochs=2, model=parts, after_epoch=lambda m: seen.append(m.epochs)
    )
    assert torch.equal(whole.centre, parts.centre) and seen == [2, 3]


def test_every_word_that_occurs_learns_and_no_other_does(toy):
    vocabulary, text = toy
    counts = np.append(vocabulary.counts, 1)  # a word that the text does not hold
    model = train_word2vec(text, counts, dimensions=10, epochs=1, subsample=0)
    start = Word2Vec.new(len(counts), 10)
    moved = (model.centre != start.centre).any(1)
    assert moved[:-1].all() and not moved[-1]


@pytest.mark.parametrize(
    "wrong", [{"epochs": 0}, {"threads": 0}, {"rate": 0.0}, {"window": 0}, {"negatives": 0}]
)
def test_a_setting_that_makes_no_sense_is_refused(toy, wrong):
    vocabulary, text = toy
    with pytest.raises(ValueError, match="must be 1 or more"):
        train_word2vec(text, vocabulary.counts, **wrong)


@pytest.mark.parametrize("lists", [[], [[]], [["a"], ["b"]]])
def test_a_text_without_pairs_is_refused(lists):
    vocabulary = Vocabulary([["a", "b"]])
    with pytest.raises(ValueError, match="no pair to learn from"):
        train_word2vec(vocabulary.encode(lists), vocabulary.counts)
