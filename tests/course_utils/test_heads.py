"""The classifier on a frozen encoder: pooling, freezing, dropout."""

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel

from course_utils.training.heads import ClassifierHead, FrozenEncoderClassifier, count_parameters, pool


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
