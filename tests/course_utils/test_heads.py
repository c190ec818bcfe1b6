"""The classifier on a frozen encoder: pooling, freezing, dropout."""

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel

from course_utils.training import IGNORED, Examples, Task, fit, predict
from course_utils.training.heads import (
    AnswerHead,
    ClassifierHead,
    EncoderWithHeads,
    FrozenEncoderClassifier,
    RecurrentTagHead,
    TagHead,
    TextHead,
    count_parameters,
    pool,
)


@pytest.fixture
def encoder() -> BertModel:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
    )
    return BertModel(config).eval()


IDS = torch.tensor([[2, 7, 9, 3], [2, 8, 3, 0]])
MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])


def test_head_returns_log_probabilities():
    log_probabilities = ClassifierHead(16, classes=3)(torch.randn(5, 16))
    assert log_probabilities.shape == (5, 3)
    assert torch.allclose(log_probabilities.exp().sum(-1), torch.ones(5), atol=1e-6)


@pytest.mark.parametrize("pooling", ["pooler", "cls", "mean", "max"])
def test_padding_never_changes_a_vector(encoder, pooling):
    together = pool(encoder, pooling, input_ids=IDS, attention_mask=MASK)
    alone = pool(encoder, pooling, input_ids=IDS[1:, :3], attention_mask=MASK[1:, :3])
    assert together.shape == (2, 16)
    assert torch.allclose(together[1], alone[0], atol=1e-5)


def test_an_encoder_without_a_pooler_says_so(encoder):
    with pytest.raises(ValueError, match="no pooler that was trained"):
        pool(BertModel(encoder.config, add_pooling_layer=False), "pooler", IDS, MASK)


def test_mean_pooling_is_the_mean_of_the_real_tokens(encoder):
    states = encoder(input_ids=IDS, attention_mask=MASK).last_hidden_state
    pooled = pool(encoder, "mean", input_ids=IDS, attention_mask=MASK)
    assert torch.allclose(pooled[1], states[1, :3].mean(0), atol=1e-6)


def test_frozen_encoder_gets_no_gradient_and_every_head_parameter_gets_one(encoder):
    model = FrozenEncoderClassifier(encoder, ClassifierHead(16)).train()
    nn.functional.nll_loss(model(IDS, MASK), torch.tensor([0, 1])).backward()
    assert all(p.grad is None for p in model.encoder.parameters())
    assert all(p.grad is not None for p in model.head.parameters())
    assert count_parameters(model)["trained"] == sum(p.numel() for p in model.head.parameters())
    assert count_parameters(model)["frozen"] == sum(p.numel() for p in encoder.parameters())


def test_no_dropout_inside_a_frozen_encoder_in_train_mode(encoder):
    model = FrozenEncoderClassifier(encoder, ClassifierHead(16, dropout=0.0)).train()
    assert torch.equal(model(IDS, MASK), model(IDS, MASK))
    careless = FrozenEncoderClassifier(encoder, ClassifierHead(16, dropout=0.0), encoder_dropout=True).train()
    assert not torch.equal(careless(IDS, MASK), careless(IDS, MASK))
    assert torch.equal(careless.eval()(IDS, MASK), careless(IDS, MASK))


@pytest.fixture
def several(encoder) -> EncoderWithHeads:
    torch.manual_seed(1)
    return EncoderWithHeads(
        encoder, pairs=TextHead(16, 3), tags=TagHead(16, 4), answers=AnswerHead(16, 2)
    ).eval()


def test_a_recurrent_head_reads_both_ways_and_no_padding():
    torch.manual_seed(1)
    head, states = RecurrentTagHead(16, 4, units=5), torch.randn(2, 4, 16)
    together = head(states, MASK)
    assert together.shape == (2, 4, 4)
    assert torch.allclose(together[1, :3], head(states[1:, :3], MASK[1:, :3])[0], atol=1e-6)
    other = states.clone()
    other[1, 3] = 9.0  # padding
    assert torch.equal(head(other, MASK)[1, :3], together[1, :3])
    for place, seen in ((0, 3), (3, 0)):  # a change at one end is seen at the other
        changed = states.clone()
        changed[0, place] += 1
        assert not torch.allclose(head(changed, MASK)[0, seen], together[0, seen], atol=1e-6)


@pytest.mark.parametrize("task, shape", [("pairs", (2, 3)), ("tags", (2, 4, 4)), ("answers", (2, 2, 4))])
def test_each_head_has_the_choice_last_and_sees_no_padding(several, task, shape):
    together = several(IDS, MASK, task)
    assert together.shape == shape
    alone = several(IDS[1:, :3], MASK[1:, :3], task)[0]
    row = together[1] if task == "pairs" else together[1, :3] if task == "tags" else together[1, :, :3]
    assert torch.allclose(row, alone, atol=1e-5)
    if task == "answers":
        assert (together.softmax(-1)[1, :, 3] == 0).all()


def test_segments_reach_the_encoder(several):
    types = torch.tensor([[0, 0, 1, 1], [0, 1, 1, 0]])
    assert not torch.allclose(
        several(IDS, MASK, "pairs"), several(IDS, MASK, "pairs", token_type_ids=types), atol=1e-4
    )


def test_heads_learn_side_by_side_and_one_alone_needs_no_name(several, encoder):
    inputs = {"input_ids": IDS.repeat(8, 1), "attention_mask": MASK.repeat(8, 1)}
    labels = {
        "pairs": torch.tensor([0, 2] * 8),
        "tags": [[IGNORED, 1, 2, 3], [IGNORED, 3, 0, IGNORED]] * 8,
        "answers": torch.tensor([[1, 2], [2, 2]] * 8),
    }
    before = {name: p.clone() for name, p in several.named_parameters()}
    tasks = [Task(Examples(inputs, given), name=name) for name, given in labels.items()]
    history = fit(several, tasks, epochs=6, learning_rate=3e-3)
    assert history.train_loss[-1] < 0.7 * history.train_loss[0]
    still = {name for name, p in several.named_parameters() if torch.equal(p, before[name])}
    assert still == {"encoder.pooler.dense.weight", "encoder.pooler.dense.bias"}  # no head reads it
    one = EncoderWithHeads(encoder, kind=TextHead(16, 3))
    fit(one, Examples(inputs, labels["pairs"]), epochs=1)
    assert predict(one, Examples(inputs, labels["pairs"])).shape == (16, 3)


def test_a_head_is_asked_by_its_name(several):
    for task in (None, "classes"):
        with pytest.raises(ValueError, match=r"There is none called .*; there are pairs, tags, answers"):
            several(IDS, MASK, task)
