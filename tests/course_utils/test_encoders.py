"""Encoders that may learn: fresh copies, random twins, layers that begin anew, and the groups of a layer's rates."""

import pytest
import torch
from transformers import PreTrainedModel

from course_utils.training import layer_rates
from course_utils.training.encoders import by_depth, fresh_encoder, renew
from course_utils.training.heads import EncoderWithHeads, TextHead


def weights(body):
    return {name: p.detach().clone() for name, p in body.named_parameters()}


def changed(before, body):
    return {name for name, p in body.named_parameters() if not torch.equal(before[name], p)}


def test_every_copy_is_fresh_and_free_to_learn():
    first = fresh_encoder(2)
    assert all(p.requires_grad for p in first.parameters())
    with torch.no_grad():
        for p in first.parameters():
            p.add_(1)
    second = fresh_encoder(2)
    assert len(changed(weights(first), second)) == len(weights(first))


def test_the_lowest_layers_say_what_they_say_inside_the_whole_encoder():
    ids = torch.tensor([[101, 7592, 2088, 102]])
    whole, part = fresh_encoder().eval(), fresh_encoder(2).eval()
    with torch.no_grad():
        states = whole(input_ids=ids, output_hidden_states=True).hidden_states[2]
        torch.testing.assert_close(part(input_ids=ids).last_hidden_state, states)
    assert part.config.num_hidden_layers == 2


def test_the_random_twin_has_the_shape_and_none_of_the_knowledge():
    torch.manual_seed(0)
    published, twin = fresh_encoder(2), fresh_encoder(2, pretrained=False)
    assert {n: p.shape for n, p in twin.named_parameters()} == {
        n: p.shape for n, p in published.named_parameters()
    }
    dense = twin.encoder.layer[1].intermediate.dense.requires_grad_(False)
    assert float(dense.weight.std()) == pytest.approx(0.02, rel=0.02)
    assert float(dense.weight.mean()) == pytest.approx(0, abs=1e-3)
    assert not dense.bias.any()
    norm = twin.embeddings.LayerNorm
    assert torch.equal(norm.weight, torch.ones_like(norm.weight))
    assert not norm.bias.any()
    assert changed(weights(published), twin) == set(weights(published))


@pytest.mark.parametrize("layers", [0, 1, 3])
def test_the_top_layers_begin_anew_and_nothing_else_changes(layers):
    body = fresh_encoder(3)
    before = weights(body)
    renew(body, layers)
    new = {
        name for name in before if name.startswith(tuple(f"encoder.layer.{2 - i}." for i in range(layers)))
    }
    assert changed(before, body) == new


def test_more_layers_than_there_are_cannot_begin_anew():
    with pytest.raises(ValueError, match="this encoder has 2"):
        renew(fresh_encoder(2), 3)


def test_without_dropout_it_says_in_training_what_it_says_when_it_is_asked():
    ids = torch.tensor([[101, 7592, 2088, 102], [101, 2003, 102, 0]])
    inputs = {"input_ids": ids, "attention_mask": (ids != 0).long()}
    usual, steady = fresh_encoder(2), fresh_encoder(2, dropout=False)
    with torch.no_grad():
        asked = usual.eval()(**inputs).last_hidden_state[inputs["attention_mask"] == 1]
        learning = steady.train()(**inputs).last_hidden_state[inputs["attention_mask"] == 1]
        torch.testing.assert_close(learning, asked, atol=1e-5, rtol=1e-4)
        assert not torch.equal(usual.train()(**inputs).last_hidden_state, usual(**inputs).last_hidden_state)
    assert not changed(weights(usual), steady)


def test_checkpointing_has_its_new_name_in_older_transformers(monkeypatch):
    asked = []
    monkeypatch.delattr(PreTrainedModel, "activation_checkpointing_enable", raising=False)
    monkeypatch.setattr(
        PreTrainedModel, "gradient_checkpointing_enable", lambda self, how=None: asked.append(how)
    )
    fresh_encoder(1).activation_checkpointing_enable({"use_reentrant": True})
    assert asked == [{"use_reentrant": True}]


def test_every_parameter_is_in_one_group_from_the_embeddings_to_the_head():
    model = EncoderWithHeads(fresh_encoder(2), text=TextHead(384, 2))
    groups = by_depth(model)
    assert [*groups] == ["embeddings", "layer 1", "layer 2", "head"]
    assert sorted(id(p) for group in groups.values() for p in group) == sorted(map(id, model.parameters()))
    rates = [group["lr"] for group in layer_rates([*groups.values()], 8.0, factor=2)]
    assert rates == [1.0, 2.0, 4.0, 8.0]
