"""Adapters: how they start, what learns and what never does, what is kept, merged, put back, and exchanged with peft."""

import copy
import json
from contextlib import contextmanager

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import BertConfig, BertModel

from course_utils.models.adapters import (
    Bottleneck,
    LoRA,
    adapter_state,
    add_bottlenecks,
    add_lora,
    biases_only,
    every,
    last_layers_only,
    load_adapter,
    load_peft,
    merge,
    save_peft,
    unmerge,
)
from course_utils.training import Examples, fit, weighted_loss
from course_utils.training.heads import EncoderWithHeads, TextHead, count_parameters

UNITS, LAYERS, INNER = 16, 3, 32
METHODS = {
    "bottlenecks": lambda body: add_bottlenecks(body, 4),
    "bottlenecks, norms frozen": lambda body: add_bottlenecks(body, 4, norms=False),
    "LoRA": lambda body: add_lora(body, 2, 4.0),
    "LoRA everywhere": lambda body: add_lora(body, 2, targets=("query", "key", "value", "dense")),
    "biases": biases_only,
    "last layer": lambda body: last_layers_only(body, 1),
    "head alone": lambda body: last_layers_only(body, 0),
}
IDS = torch.tensor([[2, 7, 9, 3], [2, 8, 3, 0]])
INPUTS = {"input_ids": IDS, "attention_mask": (IDS > 0).long()}
each_method = pytest.mark.parametrize("method", METHODS)


def body(seed: int = 0) -> BertModel:
    """A BERT of three layers, whose biases and norms are not what they were before any training."""
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=50, hidden_size=UNITS, num_hidden_layers=LAYERS, num_attention_heads=2, intermediate_size=INNER
    )  # fmt: skip
    model = BertModel(config, add_pooling_layer=False)
    for p in model.parameters():
        p.data += 0.1 * torch.randn_like(p)
    return model.eval()


def network(method: str, seed: int = 0) -> EncoderWithHeads:
    return EncoderWithHeads(METHODS[method](body(seed)), text=TextHead(UNITS, 2)).eval()


def examples(n: int = 48) -> Examples:
    torch.manual_seed(1)
    ids = torch.randint(4, 50, (n, 6))
    ids[::2, 2] = 7
    return Examples({"input_ids": ids, "attention_mask": torch.ones_like(ids)}, (ids == 7).any(1).long())


def trained(method: str = "LoRA", **how) -> EncoderWithHeads:
    model = network(method)
    fit(model, examples(), epochs=2, learning_rate=1e-2, batch_size=16, **how)
    return model


def states(model: nn.Module) -> torch.Tensor:
    """What a body in eval mode says, the last state of each token."""
    with torch.no_grad():
        return model.eval()(**INPUTS).last_hidden_state


def scores(model: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(**INPUTS)


def everything(model: nn.Module) -> dict[str, tuple[torch.Tensor, bool]]:
    return {name: (p.detach().clone(), p.requires_grad) for name, p in model.named_parameters()}


@contextmanager
def unchanged(model: nn.Module):
    """Whatever is refused meanwhile leaves weights, what learns, parts and dropouts as they were."""
    before, parts = everything(model), [str(part) for part in model.modules()]
    yield
    after = everything(model)
    assert before.keys() == after.keys() and parts == [str(part) for part in model.modules()]
    for name, (weight, learns) in before.items():
        assert torch.equal(weight, after[name][0]) and learns == after[name][1], name


# ---- how they start


@pytest.mark.parametrize("method", ["bottlenecks", "LoRA", "LoRA everywhere", "biases", "last layer"])
def test_they_start_as_the_identity_exactly(method):
    assert torch.equal(states(METHODS[method](body())), states(body()))


def test_the_papers_bottleneck_starts_nearly_as_the_identity_and_says_how_nearly():
    near = add_bottlenecks(body(), 4, deviation=0.01)
    off = (states(near) - states(body())).abs().max()
    assert 0 < off < 0.1
    torch.manual_seed(0)
    weight = Bottleneck(300, 200, deviation=0.01).up.weight
    # A normal distribution cut at two deviations has .88 of its deviation.
    assert 0.0085 < weight.std() < 0.0091 and weight.abs().max() <= 0.02


def test_lora_is_scaled_by_alpha_over_rank():
    lora = LoRA(nn.Linear(6, 5), rank=4, alpha=12.0)
    nn.init.normal_(lora.lora_B.weight)
    x = torch.randn(3, 6)
    wanted = lora.frozen(x) + 12 / 4 * x @ lora.lora_A.weight.T @ lora.lora_B.weight.T
    torch.testing.assert_close(lora(x), wanted)


def test_a_bottleneck_adds_to_what_comes_in():
    bottleneck, x = Bottleneck(6, 2, deviation=1.0), torch.randn(3, 6)
    wanted = (
        x + nn.functional.gelu(x @ bottleneck.down.weight.T + bottleneck.down.bias) @ bottleneck.up.weight.T
    )
    torch.testing.assert_close(bottleneck(x), wanted)


def test_the_seed_decides_how_they_start_and_the_layers_draw_in_their_order():
    loras = every(add_lora(body(), 2), LoRA)
    body()  # add_lora went on from where the body's seed had come to
    again = [LoRA(lora.frozen, 2) for lora in loras]
    assert len(loras) == 2 * LAYERS
    for one, two in zip(loras, again, strict=True):
        assert torch.equal(one.lora_A.weight, two.lora_A.weight)


# ---- what learns


@each_method
def test_what_is_frozen_never_moves_and_what_learns_does(method):
    model = network(method)
    before = everything(model)
    fit(model, examples(), epochs=2, learning_rate=1e-2, batch_size=16)
    for name, (weight, learns) in before.items():
        assert torch.equal(weight, dict(model.named_parameters())[name]) != learns, name
    assert all(before[name][1] for name in before if name.startswith("heads."))


@each_method
def test_every_trainable_gets_a_gradient_and_matrix_a_only_from_the_second_step(method):
    model = network(method).train()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1)
    inputs, labels = examples().batch(range(32), torch.device("cpu"))
    for step in (1, 2):
        loss, _ = weighted_loss(model(**inputs), labels)
        loss.backward()
        for name, p in model.named_parameters():
            waits = step == 1 and (name.endswith(("lora_A.weight", "down.weight", "down.bias")))
            # A key's bias moves all scores of a row alike, and the softmax takes that out: its gradient is noise.
            if p.requires_grad and not name.endswith("key.bias"):
                assert bool(p.grad.any()) != waits, f"{name} in step {step}"
            elif not p.requires_grad:
                assert p.grad is None, name
        optimizer.step()
        optimizer.zero_grad()


def test_what_is_trained_is_as_many_as_the_formulas_say():
    d, m, r, L = UNITS, 4, 2, LAYERS
    head = 2 * d + 2
    layer = 4 * (d * d + d) + (2 * d * INNER + d + INNER) + 4 * d
    wanted = {
        "bottlenecks": 2 * L * (2 * d * m + d + m) + 2 * d * (2 * L + 1),
        "bottlenecks, norms frozen": 2 * L * (2 * d * m + d + m),
        "LoRA": 2 * L * r * 2 * d,
        "LoRA everywhere": L * r * (4 * 2 * d + 2 * (d + INNER)),
        "biases": L * (7 * d + INNER) + d,
        "last layer": layer,
        "head alone": 0,
    }
    found = {method: count_parameters(network(method))["trained"] - head for method in METHODS}
    assert found == wanted


def test_biases_learn_but_not_those_of_a_pooler():
    config = BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    learn = [name for name, p in biases_only(BertModel(config)).named_parameters() if p.requires_grad]
    assert (
        learn and all(name.endswith("bias") for name in learn) and not any("pooler" in name for name in learn)
    )


@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_last_layers_learn_and_below_them_is_no_dropout(count):
    model = last_layers_only(body(), count).train()
    for place, layer in enumerate(model.encoder.layer):
        learns = place >= LAYERS - count
        assert all(p.requires_grad == learns for p in layer.parameters())
        assert {part.p for part in layer.modules() if isinstance(part, nn.Dropout)} == {
            0.1 if learns else 0.0
        }
    seen = []
    top = model.encoder.layer[LAYERS - count] if count else model
    if count:
        top.register_forward_pre_hook(lambda _, given: seen.append(given[0].clone()))
    else:
        model.register_forward_hook(lambda _, __, said: seen.append(said.last_hidden_state.clone()))
    for _ in range(2):
        model(**INPUTS)
    assert torch.equal(*seen)


def test_dropout_stays_on_where_something_learns():
    for method in ("bottlenecks", "LoRA", "biases"):
        model = METHODS[method](body()).train()
        with torch.no_grad():
            assert not torch.equal(*(model(**INPUTS).last_hidden_state for _ in range(2)))


def test_loras_dropout_is_on_its_own_path_alone():
    lora = LoRA(nn.Linear(6, 5), 2, dropout=0.5).train()
    x = torch.randn(4, 6)
    assert torch.equal(lora(x), lora.frozen(x))  # B is 0: what it drops is not seen
    nn.init.normal_(lora.lora_B.weight)
    assert not torch.equal(lora(x), lora(x)) and torch.equal(lora.eval()(x), lora(x))


@each_method
def test_what_is_new_takes_the_mode_of_the_rest(method):
    for mode in (True, False):
        assert {part.training for part in METHODS[method](body().train(mode)).modules()} == {mode}


# ---- merging


@pytest.mark.parametrize("dtype, step", [(torch.float32, 2**-24), (torch.bfloat16, 2**-8)])
def test_what_is_merged_is_rounded_once_however_often(dtype, step):
    model = trained().to(dtype)
    before, alone = everything(model), scores(model)
    for _ in range(6):
        merge(merge(model))
        for lora in every(model, LoRA):
            W, B, A = (m.double() for m in (lora.frozen.weight, lora.lora_B.weight, lora.lora_A.weight))
            wanted = W + lora.scale * B @ A
            # Half a step of the dtype; and fp32 in which the sum is taken adds a few of its own.
            assert ((lora.merged - wanted).abs() <= step * wanted.abs() * 1.01 + 2**-24).all()
        torch.testing.assert_close(scores(model), alone, atol=1e-5 if step < 1e-6 else 0.1, rtol=0)
        assert torch.equal(scores(unmerge(model)), alone)
    assert all(torch.equal(p, before[name][0]) for name, p in model.named_parameters())


def test_merging_says_what_was_learned_and_takes_one_multiplication():
    model = trained()
    plain = scores(EncoderWithHeads(body(), text=model.heads["text"]))
    alone, merged = scores(model), scores(merge(model))
    torch.testing.assert_close(merged, alone, atol=1e-6, rtol=0)
    assert (merged - plain).abs().max() > 0.01


def test_what_is_merged_is_saved_as_it_was_before_and_refuses_to_learn():
    model = trained()
    before = adapter_state(model)
    after = adapter_state(merge(model))
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    assert model.state_dict().keys() == unmerge(copy.deepcopy(model)).state_dict().keys()
    with pytest.raises(RuntimeError, match=r"unmerge\(model\)"):
        fit(model, examples(), epochs=1)
    fit(unmerge(model), examples(), epochs=1)


# ---- keeping and putting back


@each_method
def test_what_is_kept_puts_back_the_whole_network_head_and_all(method, tmp_path):
    model = trained(method)
    said, state = scores(model), adapter_state(model)
    assert {"heads.text.weight", "heads.text.bias", "fingerprint"} <= state.keys()
    assert set(state) - {"fingerprint"} == {name for name, p in model.named_parameters() if p.requires_grad}
    fit(model, examples(), epochs=1, learning_rate=1e-2)  # the copies stay as they were
    assert not torch.equal(scores(model), said)
    save_file(state, tmp_path / "spam.safetensors")
    torch.manual_seed(9)
    for other in (model, network(method)):
        load_adapter(other, load_file(tmp_path / "spam.safetensors"))
        assert torch.equal(scores(other), said)


def test_tasks_are_swapped_by_name_and_a_merged_one_is_unmerged_first():
    model, shelf, said = network("LoRA"), {}, {}
    for task, seed in (("one", 1), ("two", 2)):
        fit(model, examples(), epochs=1, learning_rate=1e-2, seed=seed)
        shelf[task], said[task] = adapter_state(model), scores(model)
    for task in ("one", "two", "one"):
        merge(load_adapter(model, shelf[task]))
        load_adapter(model, shelf[task])
        assert torch.equal(scores(model), said[task])


def wrong_states():
    lora = network("LoRA")
    yield "another kind", network("bottlenecks"), "kind or size"
    yield "another size", EncoderWithHeads(add_lora(body(), 3, 6.0), text=TextHead(UNITS, 2)), "kind or size"
    yield (
        "another scale",
        EncoderWithHeads(add_lora(body(), 2, 8.0), text=TextHead(UNITS, 2)),
        "another scale",
    )
    yield "another body", network("LoRA", seed=1), "another body"
    yield "another head", EncoderWithHeads(METHODS["LoRA"](body()), text=TextHead(UNITS, 3)), "kind or size"
    yield "without a head", lora.encoder, "kind or size"


@pytest.mark.parametrize("case", [*wrong_states()], ids=lambda case: case[0])
def test_a_wrong_adapter_is_an_error_before_anything_has_changed(case):
    _, other, told = case
    model = network("LoRA")
    with unchanged(model), pytest.raises(ValueError, match=told):
        load_adapter(model, adapter_state(other))


def test_a_state_with_something_missing_is_refused_as_a_whole():
    model, state = network("LoRA"), adapter_state(trained())
    for name in (next(iter(state)), "heads.text.bias", "fingerprint"):
        with unchanged(model), pytest.raises(ValueError, match=f"{name} is missing"):
            load_adapter(model, {key: weight for key, weight in state.items() if key != name})


def test_where_nothing_learns_nothing_can_be_kept():
    with pytest.raises(ValueError, match="nothing to keep"):
        adapter_state(body().requires_grad_(False))


# ---- what is refused


@each_method
def test_a_body_with_adapters_refuses_others(method):
    for first in ("bottlenecks", "LoRA"):
        model = METHODS[first](body())
        with unchanged(model), pytest.raises(ValueError, match="adapters already"):
            METHODS[method](model)


@pytest.mark.parametrize("method", ["bottlenecks", "LoRA", "last layer", "biases"])
def test_a_body_that_is_not_built_like_bert_is_told_so(method):
    model = nn.Sequential(nn.Identity(), nn.ReLU())
    with unchanged(model), pytest.raises(ValueError, match="Sequential is not built like BERT"):
        METHODS[method](model)


@pytest.mark.parametrize(
    "add, told",
    [
        (lambda model: add_lora(model, 0), "rank=0"),
        (lambda model: add_lora(model, 2, float("nan")), "alpha=nan"),
        (lambda model: add_lora(model, targets=("querry",)), "'querry'. There are dense, key, query, value"),
        (lambda model: add_lora(model, targets=("query", "vale")), "'vale'"),
        (lambda model: add_lora(model, dropout=1.5), "dropout"),
        (lambda model: add_bottlenecks(model, 2.5), "size=2.5"),
        (lambda model: add_bottlenecks(model, deviation=-1), "deviation=-1"),
        (lambda model: last_layers_only(model, 4), "count=4: this body has 3 layers"),
        (lambda model: last_layers_only(model, -1), "count=-1"),
    ],
)
def test_settings_that_make_no_sense_change_nothing(add, told):
    model = body()
    with unchanged(model), pytest.raises(ValueError, match=told):
        add(model)


# ---- with peft


TARGETS = ("query", "value", "output.dense")


def theirs(model: BertModel, **how):
    settings = {"r": 4, "lora_alpha": 12, "target_modules": [*TARGETS]} | how
    return peft.get_peft_model(model, peft.LoraConfig(**settings))


def test_ours_loads_in_peft(tmp_path):
    model = trained()
    said = states(model.encoder)
    save_peft(merge(model.encoder), tmp_path)
    loaded = peft.PeftModel.from_pretrained(body(), tmp_path)
    torch.testing.assert_close(states(loaded), said, atol=1e-5, rtol=0)
    assert (states(loaded) - states(body())).abs().max() > 0.01


def test_one_that_peft_has_trained_loads_here_and_learns_on(tmp_path):
    model = theirs(body())
    learn = [p for p in model.parameters() if p.requires_grad]
    head = TextHead(UNITS, 2)
    optimizer = torch.optim.AdamW([*learn, *head.parameters()], 1e-2)
    inputs, labels = examples().batch(range(48), torch.device("cpu"))
    for _ in range(5):
        model.train()
        said = head(model(**inputs).last_hidden_state, inputs["attention_mask"])
        nn.functional.cross_entropy(said, labels).backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(tmp_path)
    ours = load_peft(body(), tmp_path)
    torch.testing.assert_close(states(ours), states(model), atol=1e-5, rtol=0)
    assert (states(ours) - states(body())).abs().max() > 0.01
    assert count_parameters(ours)["trained"] == sum(p.numel() for p in learn)
    again = EncoderWithHeads(ours, text=TextHead(UNITS, 2))
    before = states(ours)
    fit(again, examples(), epochs=1, learning_rate=1e-2)
    assert not torch.equal(states(ours), before)


def test_ours_comes_back_as_it_was(tmp_path):
    model = EncoderWithHeads(
        add_lora(body(), 2, 6.0, targets=("key",), dropout=0.25), text=TextHead(UNITS, 2)
    )
    fit(model, examples(), epochs=1, learning_rate=1e-2)
    save_peft(model.encoder, tmp_path)
    again = load_peft(body(), tmp_path)
    assert torch.equal(states(again), states(model.encoder))
    assert [str(part) for part in every(again, LoRA)] == [str(part) for part in every(model.encoder, LoRA)]


def test_what_peft_has_no_place_for_is_not_written(tmp_path):
    with pytest.raises(ValueError, match=r"heads.text.weight would be lost"):
        save_peft(network("LoRA"), tmp_path / "new")
    with pytest.raises(ValueError, match="would be lost"):
        save_peft(network("bottlenecks").encoder, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "variant",
    [
        {"use_rslora": True},
        {"use_dora": True},
        {"bias": "all"},
        {"rank_pattern": {"query": 2}},
        {"alpha_pattern": {"query": 2}},
        {"layers_to_transform": [1], "layers_pattern": "layer"},
        {"modules_to_save": ["LayerNorm"]},
        {"target_modules": "all-linear"},
    ],
    ids=lambda variant: next(iter(variant)),
)
def test_variants_of_lora_are_refused_by_name(variant, tmp_path):
    theirs(body(), **variant).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    if variant == {"target_modules": "all-linear"}:  # peft writes what it found; a text stands for itself
        config["target_modules"] = "all-linear"
        (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    model = body()
    with unchanged(model), pytest.raises(ValueError, match="holds no plain LoRA"):
        load_peft(model, tmp_path)


def test_a_file_that_does_not_fit_leaves_the_body_as_it_was(tmp_path):
    theirs(body()).save_pretrained(tmp_path)
    file = tmp_path / "adapter_model.safetensors"
    sound = load_file(file)
    first = next(iter(sound))
    for bad in (
        {name: weight for name, weight in sound.items() if name != first},
        sound | {first: torch.zeros(3, 5)},
        sound | {"base_model.model.head.weight": torch.zeros(2)},
    ):
        save_file(bad, file)
        model = body()
        with unchanged(model), pytest.raises(ValueError, match="another kind or size"):
            load_peft(model, tmp_path)
