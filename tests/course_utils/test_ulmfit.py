"""ULMFiT: rows that move with their words, pooling without padding, a rate for each layer, layers that thaw in order."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from course_utils import training
from course_utils.models.language_model import (
    SPECIAL,
    LanguageModel,
    encode_sentences,
    log_probabilities,
    perplexity,
    transfer_vocabulary,
)
from course_utils.models.pooling import last_state
from course_utils.models.ulmfit import TextClassifier, concat_pool, layer_groups
from course_utils.text import Vocabulary
from course_utils.training import Examples, balanced_weights, layer_rates, loop, slanted_triangular
from course_utils.training.language_models import train_language_model
from course_utils.training.schedules import thawed, unfreeze

BETAS = (0.7, 0.99)
OLD = Vocabulary([["the", "cat", "sat", "on", "a", "mat"]])
NEW = Vocabulary([["txt", "the", "u", "mat", "cat", "win"]])
UNITS = 8


def language_model(dropout=0.3):
    torch.manual_seed(0)
    model = LanguageModel(len(OLD) + 2, units=UNITS, layers=2, dropout=dropout).eval()
    nn.init.normal_(model.output.bias)
    return model


def examples(n=24, seed=0):
    """Texts in which class 1 has word 5 somewhere, and class 0 has not; the lengths differ."""
    random = np.random.default_rng(seed)
    labels = np.arange(n) % 3 == 0
    texts = [[0, *random.integers(2, 5, random.integers(1, 9)).tolist()] for _ in range(n)]
    for text, label in zip(texts, labels, strict=True):
        if label:
            text[random.integers(1, len(text))] = 5
    return texts, torch.tensor(labels).long()


def moved(model, new=NEW):
    return transfer_vocabulary(model, SPECIAL + OLD.words, SPECIAL + new.words)


def fine_tune(model, texts, labels, *, rate=2e-2, factor=2.6, gradual=True, **how):
    """Stage 3 as lecture 05 calls it."""
    groups = layer_groups(model)
    hook = lambda epoch: unfreeze(groups, thawed(epoch, len(groups)) if gradual else len(groups))  # noqa: E731
    data = Examples({"input_ids": texts, "attention_mask": [[1] * len(text) for text in texts]}, labels)
    settings = {"epochs": 3, "schedule": slanted_triangular, "batch_size": 16, "class_weights": None}
    settings |= {
        "groups": layer_rates(groups, rate, factor),
        "before_epoch": hook,
        "betas": BETAS,
        "decay": 0.0,
    }
    if "class_weights" not in how:
        settings["class_weights"] = balanced_weights(labels)
    return training.fit(model, data, by_length=False, per_example=True, **settings | how)


def weights(model):
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


# ---- another vocabulary


def test_known_words_keep_row_and_bias_and_new_ones_get_the_mean():
    model = language_model()
    adapted = moved(model)
    table, bias = model.embedding.weight, model.output.bias
    for i, word in enumerate(["<eos>", "<unk>", *NEW.words]):
        place = i if i < 2 else OLD.index[word] + 2 if word in OLD else None
        row, wanted = adapted.embedding.weight[i], table.mean(0) if place is None else table[place]
        torch.testing.assert_close(row, wanted)
        torch.testing.assert_close(adapted.output.bias[i], bias.mean() if place is None else bias[place])
    assert {word in OLD for word in NEW.words} == {True, False}


def test_known_words_are_guessed_as_before_and_the_old_model_stays_as_it_was():
    model = language_model()
    before = weights(model)
    adapted = moved(model)
    assert adapted.output.weight is adapted.embedding.weight and not adapted.training
    known = [word for word in NEW.words if word in OLD]
    here = torch.tensor([[0, 1, *(NEW.index[word] + 2 for word in known)]])
    there = torch.tensor([[0, 1, *(OLD.index[word] + 2 for word in known)]])
    old, new = model(there)[0][..., there[0]], adapted(here)[0][..., here[0]]
    torch.testing.assert_close(new, old)
    with torch.no_grad():
        adapted.embedding.weight.zero_()
        adapted.lstm.weight_hh_l0.zero_()
    assert all(torch.equal(before[name], value) for name, value in weights(model).items())


def test_the_same_vocabulary_changes_nothing():
    model = language_model()
    ids = torch.randint(len(OLD) + 2, (3, 6))
    torch.testing.assert_close(moved(model, OLD)(ids)[0], model(ids)[0])


def test_a_model_of_another_vocabulary_is_refused():
    with pytest.raises(ValueError, match="8 words, and the list of old ones 5"):
        transfer_vocabulary(language_model(), [*SPECIAL, "one", "two", "three"], SPECIAL + NEW.words)


# ---- pooling


def by_hand(states, mask):
    rows = []
    for text, real in zip(states, mask, strict=True):
        kept = text[: int(real.sum())]
        rows.append(torch.cat([kept[-1], kept.max(0).values, kept.mean(0)]))
    return torch.stack(rows)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=5), st.integers(0, 3), st.integers(0, 100))
def test_pooling_is_that_of_the_text_alone_whatever_stands_in_the_padding(lengths, more, seed):
    width = max(lengths) + more
    states = torch.randn(len(lengths), width, 3, generator=torch.Generator().manual_seed(seed)) - 2
    mask = (torch.arange(width) < torch.tensor(lengths)[:, None]).long()
    found = concat_pool(states, mask)
    torch.testing.assert_close(found, by_hand(states, mask))
    for value in (99.0, -99.0):
        padded = states.masked_fill(mask.unsqueeze(2) == 0, value)
        assert torch.equal(concat_pool(padded, mask), found)
        assert torch.equal(last_state(padded, mask), found[:, :3])


@pytest.mark.parametrize("pool", [concat_pool, last_state])
def test_padding_changes_no_verdict(pool):
    model = TextClassifier(language_model(), pool).eval()
    ids = torch.tensor([[0, 3, 4], [0, 5, 2]])
    longer = F.pad(ids, (0, 5), value=4)
    mask = F.pad(torch.ones_like(ids), (0, 5))
    alone = model(ids, torch.ones_like(ids))
    torch.testing.assert_close(model(longer, mask), alone)
    assert not torch.allclose(model(longer, torch.ones_like(longer)), alone, atol=1e-4)


def test_the_classifier_works_with_the_courses_prediction_and_evaluation():
    texts, labels = examples()
    model = TextClassifier(language_model())
    inputs = {"input_ids": texts, "attention_mask": [[1] * len(text) for text in texts]}
    found = training.predict(model, training.Examples(inputs, labels), batch_size=5)
    one_by_one = [model(torch.tensor([text]), torch.ones(1, len(text), dtype=torch.long)) for text in texts]
    np.testing.assert_allclose(found, torch.cat(one_by_one).softmax(1).detach().numpy(), atol=1e-5)


# ---- rates


@pytest.mark.parametrize(
    "model", [language_model(), TextClassifier(language_model())], ids=["lm", "classifier"]
)
def test_every_parameter_is_in_exactly_one_group(model):
    grouped = [parameter for group in layer_groups(model) for parameter in group]
    assert len({id(parameter) for parameter in grouped}) == len(grouped)
    assert {id(parameter) for parameter in grouped} == {id(parameter) for parameter in model.parameters()}


def test_groups_go_from_the_input_to_the_output():
    model = TextClassifier(language_model())
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = [{names[id(parameter)] for parameter in group} for group in layer_groups(model)]
    assert groups[0] == {"reader.embedding.weight"}
    assert all(name.endswith("_l0") for name in groups[1]) and len(groups[1]) == 4
    assert all(name.endswith("_l1") for name in groups[2]) and len(groups[2]) == 4
    assert all(name.startswith("head.") for name in groups[3]) and len(groups) == 4
    reader = language_model()
    assert layer_groups(reader)[-1] == [reader.embedding.weight, reader.output.bias]


def test_each_group_gets_its_rate_and_all_of_them_rise_and_fall_together():
    groups = [[nn.Parameter(torch.zeros(1))] for _ in range(4)]
    optimizer = training.adamw(layer_rates(groups, 0.26), decay=0.0)
    for step in range(40):
        training.take_step(optimizer, slanted_triangular(step, 40))
        rates = np.array([part["lr"] for part in optimizer.param_groups])
        np.testing.assert_allclose(rates[1:] / rates[:-1], 2.6)
        assert rates[-1] == pytest.approx(0.26 * slanted_triangular(step, 40))


def test_rates_fall_by_the_factor_from_layer_to_layer():
    groups = [[nn.Parameter(torch.zeros(1))] for _ in range(4)]
    rates = [group["lr"] for group in layer_rates(groups, 0.01)]
    assert rates == pytest.approx([0.01 / 2.6**3, 0.01 / 2.6**2, 0.01 / 2.6, 0.01])
    assert [group["lr"] for group in layer_rates(groups[:3], 0.01, 1)] == [0.01] * 3


# ---- stage 2


def read_on(model, ids, rate=1.6e-2, factor=2.6, **how):
    """Stage 2 as lecture 05 calls it."""
    settings = {
        "groups": layer_rates(layer_groups(model), rate, factor),
        "schedule": slanted_triangular,
        "betas": BETAS,
    }
    return train_language_model(model, ids, rows=4, length=8, **settings | how)


def test_fine_tuning_the_language_model_learns_and_repeats_itself():
    ids = encode_sentences([["txt", "u", "win"], ["the", "cat", "win"]] * 60, NEW).ids
    found = []
    for _ in range(2):
        model = moved(language_model())
        before = perplexity(log_probabilities(model, ids))
        losses = read_on(model, ids, epochs=4, rate=0.05)
        assert not model.training and perplexity(log_probabilities(model, ids)) < 0.5 * before
        found.append((losses, weights(model)))
    assert found[0][0] == found[1][0] and len(found[0][0]) == 4 * 15
    assert all(torch.equal(found[0][1][name], found[1][1][name]) for name in found[0][1])


def test_with_a_large_factor_the_lower_layers_hardly_move():
    ids = encode_sentences([["txt", "u", "win"]] * 60, NEW).ids
    far = {}
    for factor in (1.0, 100.0):
        model = moved(language_model())
        before = weights(model)
        read_on(model, ids, factor=factor, rate=0.01)
        far[factor] = {
            name: float((value - before[name]).abs().mean()) for name, value in weights(model).items()
        }
    assert far[100]["lstm.weight_hh_l0"] < far[1]["lstm.weight_hh_l0"] / 1000
    assert far[100]["lstm.weight_hh_l0"] < far[100]["lstm.weight_hh_l1"] / 20
    assert far[100]["embedding.weight"] > far[1]["embedding.weight"] / 3


# ---- stage 3


def test_frozen_groups_do_not_move_until_they_are_unfrozen(monkeypatch):
    seen, step = [], loop.take_step
    model = TextClassifier(language_model())

    def spy(*arguments):
        before = [[parameter.detach().clone() for parameter in group] for group in layer_groups(model)]
        step(*arguments)
        after = layer_groups(model)
        seen.append(
            [
                [not torch.equal(a, b) for a, b in zip(old, new, strict=True)]
                for old, new in zip(before, after, strict=True)
            ]
        )

    monkeypatch.setattr(loop, "take_step", spy)
    texts, labels = examples(16)
    fine_tune(model, texts, labels, epochs=5, batch_size=8)
    assert len(seen) == 10
    for number, groups in enumerate(seen):
        learning = (1, 2, 4, 4, 4)[number // 2]
        for place, group in enumerate(reversed(groups)):
            assert all(group) if place < learning else not any(group), (number, place)
    seen.clear()
    model = TextClassifier(language_model())
    fine_tune(model, texts, labels, epochs=1, gradual=False)
    assert all(all(group) for group in seen[0])


def test_what_is_thawed_gets_a_gradient_and_what_is_frozen_gets_none():
    model = TextClassifier(language_model())
    groups = layer_groups(model)
    for number in range(1, 5):
        unfreeze(groups, number)
        model.zero_grad()
        model(torch.tensor([[0, 2, 3]]), torch.ones(1, 3, dtype=torch.long))[0, 0].backward()
        for place, group in enumerate(reversed(groups)):
            for parameter in group:
                assert (parameter.grad is not None and bool(parameter.grad.any())) == (place < number)


def test_one_language_model_starts_many_classifiers_and_stays_as_it_was():
    reader = language_model()
    before = weights(reader)
    texts, labels = examples()
    fine_tune(TextClassifier(reader), texts, labels, gradual=False)
    assert all(torch.equal(before[name], value) for name, value in weights(reader).items())


def test_the_classifier_learns_and_repeats_itself_and_another_seed_ends_elsewhere():
    texts, labels = examples(60)
    found = {}
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        torch.manual_seed(5)
        model = TextClassifier(language_model())
        history = fine_tune(model, texts, labels, epochs=25, rate=0.1, seed=seed)
        found[name] = history.train_loss, weights(model)
        inputs = {"input_ids": texts, "attention_mask": [[1] * len(text) for text in texts]}
        verdict = training.predict(model, training.Examples(inputs, labels)).argmax(1)
        assert (verdict == labels.numpy()).mean() > 0.9 and not model.training
    assert found["one"][0] == found["again"][0] and found["one"][0] != found["other"][0]
    for name, value in found["one"][1].items():
        assert torch.equal(value, found["again"][1][name])


def test_class_weights_count_in_stage_3():
    """With nearly all the weight on one class, the classifier says that class."""
    texts, labels = examples(30)
    for kind in (0, 1):
        torch.manual_seed(0)
        model = TextClassifier(language_model())
        some = torch.full((2,), 1e-3)
        some[kind] = 1.0
        fine_tune(model, texts, labels, epochs=4, class_weights=some)
        data = Examples({"input_ids": texts, "attention_mask": [[1] * len(text) for text in texts]}, labels)
        assert training.predict(model, data)[:, kind].mean() > 0.7


def test_a_batch_counts_by_its_texts_and_not_by_their_weights(monkeypatch):
    """One batch of all texts and two batches of one class each have the same gradient, added up."""
    texts, labels = [[0, 2], [0, 3, 3, 3]], torch.tensor([0, 1])
    gradients = []

    def keep(optimizer, *rest):
        gradients[-1].append(
            torch.cat([p.grad.flatten() for g in optimizer.param_groups for p in g["params"]])
        )
        optimizer.zero_grad()

    monkeypatch.setattr(loop, "take_step", keep)
    start = TextClassifier(language_model(dropout=0.0))
    start.head[2].p = 0.0
    for size in (2, 1):
        gradients.append([])
        weights = torch.tensor([0.6, 3.0])
        fine_tune(start, texts, labels, epochs=1, batch_size=size, gradual=False, class_weights=weights)
    (whole,), parts = gradients
    assert len(parts) == 2 and torch.allclose(whole, (parts[0] + parts[1]) / 2, atol=1e-6)


def test_what_cannot_be_learned_from_is_refused():
    model, (texts, labels) = TextClassifier(language_model()), examples()
    with pytest.raises(TypeError, match="whole numbers"):
        fine_tune(model, texts, labels.float(), class_weights=None)
    with pytest.raises(ValueError, match=r"23 labels, .*24"):
        fine_tune(model, texts, labels[1:])
    with pytest.raises(ValueError, match="has no token"):
        fine_tune(model, [[], *texts[1:]], labels)
    for wrong in (torch.zeros(24), torch.ones(24), labels + 1, labels - 1):
        with pytest.raises(ValueError, match=r"of one class|A label is -1|a label 2"):
            fine_tune(model, texts, wrong.long(), class_weights=None)
    with pytest.raises(ValueError, match="at least one"):
        fine_tune(model, [], torch.zeros(0, dtype=torch.long), class_weights=None)
