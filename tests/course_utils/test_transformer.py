"""The Transformer: our attention is PyTorch's, our encoder is BERT's, the decoder never looks ahead; GPT learns and judges."""

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from course_utils.assets import resolve
from course_utils.models.language_model import END, transfer_vocabulary
from course_utils.models.transformer import (
    GPT,
    DecoderBlock,
    Encoder,
    EncoderBlock,
    GPTClassifier,
    MultiHeadAttention,
    attention,
    attention_maps,
    load_bert,
    log_probabilities,
    read_next,
    sample,
    sinusoids,
    task_input,
    top_k,
    top_p,
)
from course_utils.training import IGNORED, Examples, Task, fit, predict, warm_up, weighted_loss
from course_utils.training.language_models import train_language_model

SIZES = {"words": 30, "units": 16, "layers": 3, "heads": 4, "hidden": 24, "positions": 12}


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return Encoder(**SIZES).eval()


@pytest.fixture
def gpt():
    torch.manual_seed(0)
    return GPT(words=30, units=16, layers=3, heads=4, positions=12).eval()


# --- attention


@settings(deadline=None, max_examples=40)
@given(
    batch=st.integers(1, 3),
    heads=st.integers(1, 3),
    n=st.integers(1, 6),
    m=st.integers(1, 6),
    d=st.integers(1, 9),
    e=st.integers(1, 5),
    seed=st.integers(0, 99),
    masked=st.booleans(),
)
def test_attention_is_pytorchs(batch, heads, n, m, d, e, seed, masked):
    g = torch.Generator().manual_seed(seed)
    q, k, v = (torch.randn(batch, heads, *shape, generator=g) for shape in ((n, d), (m, d), (m, e)))
    mask = torch.rand(batch, 1, n, m, generator=g) < 0.6
    mask[..., 0] = True
    found, weights = attention(q, k, v, mask if masked else None)
    right = F.scaled_dot_product_attention(q, k, v, mask if masked else None)
    assert torch.allclose(found, right, atol=1e-5)
    assert weights.shape == (batch, heads, n, m)
    assert torch.allclose(weights.sum(-1), torch.ones(batch, heads, n), atol=1e-5)
    if masked:
        assert (weights[~mask.expand_as(weights)] == 0).all()


def test_what_is_masked_changes_nothing():
    g = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(5, 8, generator=g) for _ in range(3))
    mask = torch.tensor([1, 1, 0, 1, 0])
    k2, v2 = k.clone(), v.clone()
    k2[mask == 0], v2[mask == 0] = 100.0, -100.0
    assert torch.equal(attention(q, k, v, mask)[0], attention(q, k2, v2, mask)[0])
    assert not torch.allclose(attention(q, k, v)[0], attention(q, k2, v2)[0])


def test_scores_are_divided_by_the_root_of_the_length():
    q, k = torch.full((1, 16), 1.0), torch.stack([torch.full((16,), 1.0), torch.zeros(16)])
    weights = attention(q, k, k)[1]
    assert weights[0, 0] == pytest.approx(1 / (1 + math.exp(-4)))  # 16 / sqrt(16)


def test_heads_have_their_own_units_and_the_fused_step_is_attention():
    torch.manual_seed(0)
    layer = MultiHeadAttention(12, 3).eval()
    x, mask = torch.randn(2, 5, 12), torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])[:, None, None, :]
    assert torch.equal(layer.split(x)[1, 2, 4], x[1, 4, 8:])
    parts = []
    for h in range(3):
        some = slice(4 * h, 4 * h + 4)
        q, k, v = (part(x)[..., some] for part in (layer.query, layer.key, layer.value))
        parts.append(attention(q, k, v, mask[:, 0])[0])
        assert torch.allclose(layer.weights(x, mask)[:, h], attention(q, k, v, mask[:, 0])[1], atol=1e-6)
    assert torch.allclose(layer(x, mask), layer.output(torch.cat(parts, -1)), atol=1e-5)


def test_dropout_of_the_weights_works_in_training_only():
    torch.manual_seed(0)
    layer, x = MultiHeadAttention(8, 2, dropout=0.5), torch.randn(1, 6, 8)
    assert not torch.allclose(layer(x), layer(x))
    layer.eval()
    assert torch.equal(layer(x), layer(x))


@pytest.mark.parametrize("kind", [MultiHeadAttention, DecoderBlock])
def test_units_must_be_shared_out_evenly(kind):
    with pytest.raises(ValueError, match="10 units cannot be shared out evenly among 4 heads"):
        kind(10, 4)


# --- the encoder


def test_padding_changes_nothing(encoder):
    ids = torch.randint(30, (2, 7), generator=torch.Generator().manual_seed(1))
    mask = torch.ones(2, 7, dtype=torch.long)
    longer, longer_mask = F.pad(ids, (0, 4), value=9), F.pad(mask, (0, 4))
    for short, long in zip(encoder(ids, mask), encoder(longer, longer_mask), strict=True):
        assert torch.allclose(short, long[:, :7], atol=1e-5)
    assert not torch.allclose(encoder(ids)[-1], encoder(longer)[-1][:, :7], atol=1e-3)


def test_the_encoder_looks_both_ways_and_counts_its_states(encoder):
    ids = torch.tensor([[1, 2, 3, 4, 5]])
    other = torch.tensor([[1, 2, 3, 4, 6]])
    states = encoder(ids)
    assert [tuple(state.shape) for state in states] == [(1, 5, 16)] * 4
    assert (states[-1] - encoder(other)[-1])[0, 0].abs().max() > 1e-4


def test_without_positions_order_is_unknown(encoder):
    ids, order = torch.randint(30, (3, 8), generator=torch.Generator().manual_seed(2)), torch.randperm(8)
    assert not torch.allclose(encoder(ids)[-1][:, order], encoder(ids[:, order])[-1], atol=1e-3)
    encoder.positions.weight.data.zero_()
    assert torch.allclose(encoder(ids)[-1][:, order], encoder(ids[:, order])[-1], atol=1e-5)


def test_segments_matter_and_default_to_the_first(encoder):
    ids = torch.tensor([[1, 2, 3, 4]])
    assert torch.equal(encoder(ids)[-1], encoder(ids, segments=torch.zeros_like(ids))[-1])
    assert not torch.allclose(encoder(ids)[-1], encoder(ids, segments=torch.tensor([[0, 0, 1, 1]]))[-1])


def test_the_last_state_can_be_had_at_some_places_only(encoder):
    ids = torch.randint(30, (3, 8), generator=torch.Generator().manual_seed(2))
    mask, only = torch.ones_like(ids), torch.rand(3, 8, generator=torch.Generator().manual_seed(3)) < 0.3
    mask[1, 5:] = 0
    everywhere, some = encoder(ids, mask), encoder(ids, mask, only=only)
    assert len(some) == len(everywhere) and some[-1].shape == (int(only.sum()), everywhere[-1].shape[2])
    assert torch.allclose(some[-1], everywhere[-1][only], atol=1e-6)


def test_block_adds_then_normalises():
    torch.manual_seed(0)
    block = EncoderBlock(8, 2, 16, dropout=0).eval()
    x = torch.randn(2, 4, 8)
    y = F.layer_norm(x + block.attention(x), (8,), eps=1e-12)
    z = F.layer_norm(y + block.outer(F.gelu(block.inner(y))), (8,), eps=1e-12)
    assert torch.allclose(block(x), z, atol=1e-6)


@pytest.mark.parametrize("kind", ["encoder", "gpt"])
def test_texts_that_do_not_fit_are_answered_in_words(kind, request):
    model = request.getfixturevalue(kind)
    with pytest.raises(ValueError, match=r"13 tokens.*12 positions.*cut the text"):
        model(torch.zeros(1, 13, dtype=torch.long))
    for shape in ((5,), (1, 0)):
        with pytest.raises(ValueError, match="one token or more"):
            model(torch.zeros(shape, dtype=torch.long))


def test_attention_maps_are_what_the_blocks_use(encoder):
    ids, mask = torch.tensor([[1, 2, 3, 4]]), torch.tensor([[1, 1, 1, 0]])
    maps = attention_maps(encoder, ids, mask)
    assert maps.shape == (3, 1, 4, 4, 4)
    assert torch.allclose(maps.sum(-1), torch.ones(3, 1, 4, 4), atol=1e-5) and (maps[..., 3] == 0).all()
    second = encoder.blocks[1].attention.weights(encoder(ids, mask)[1], mask[:, None, None, :])
    assert torch.allclose(maps[1], second, atol=1e-6)


def test_sinusoids_are_the_papers():
    waves = sinusoids(20, 8)
    assert waves.shape == (20, 8)
    for t, i in ((0, 0), (3, 1), (19, 3)):
        angle = t / 10_000 ** (2 * i / 8)
        assert waves[t, 2 * i] == pytest.approx(math.sin(angle), abs=1e-5)
        assert waves[t, 2 * i + 1] == pytest.approx(math.cos(angle), abs=1e-5)
    with pytest.raises(ValueError, match="7 units is an odd number"):
        sinusoids(3, 7)


# --- published weights


def test_minilm_gives_the_hidden_states_of_transformers():
    from transformers import AutoModel

    asset = resolve("minilm")
    config = json.loads(asset.path("config.json").read_text(encoding="utf-8"))
    weights = load_file(asset.path("model.safetensors"))
    ours = load_bert(config, weights)
    theirs = AutoModel.from_pretrained(asset.folder, local_files_only=True).eval()
    ids = torch.randint(1_000, 30_000, (3, 40), generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(40) < torch.tensor([[40], [17], [1]])).long()
    segments = (torch.arange(40) > 9).long().expand(3, 40)
    with torch.inference_mode():
        found = ours(ids, mask, segments)
        right = theirs(
            input_ids=ids, attention_mask=mask, token_type_ids=segments, output_hidden_states=True
        ).hidden_states
    assert len(found) == len(right) == config["num_hidden_layers"] + 1
    for one, other in zip(found, right, strict=True):
        assert (one - other)[mask.bool()].abs().max() < 1e-5


def test_weights_that_do_not_fit_are_answered_in_words():
    config = {
        "vocab_size": 30, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4,
        "intermediate_size": 24, "max_position_embeddings": 12,
    }  # fmt: skip
    full = load_like_bert(config)
    assert isinstance(load_bert(config, full), Encoder)
    assert isinstance(load_bert(config, {f"bert.{name}": value for name, value in full.items()}), Encoder)
    short = {name: value for name, value in full.items() if "layer.1.output.dense.weight" not in name}
    with pytest.raises(ValueError, match=r"1 of 53 are missing .*, the first 'blocks.1.outer.weight'"):
        load_bert(config, short)
    with pytest.raises(ValueError, match="no weights of BERT"):
        load_bert(config, {})
    with pytest.raises(ValueError, match=r"9 of 53 .* another shape.* 'blocks.0.inner.weight'"):
        load_bert(config | {"intermediate_size": 32}, full)


def load_like_bert(config):
    """Random weights as transformers would save them."""
    from transformers import BertConfig, BertModel

    return BertModel(BertConfig(**config)).state_dict()


# --- the decoder


def test_the_decoder_never_sees_the_future(gpt):
    ids = torch.randint(30, (2, 10), generator=torch.Generator().manual_seed(0))
    for place in range(1, 10):
        other = ids.clone()
        other[:, place] = (other[:, place] + 1) % 30
        change = (gpt(ids) - gpt(other)).detach().abs().amax((0, 2))
        assert (change[:place] < 1e-6).all() and (change[place:] > 1e-5).all()


def test_padding_after_a_text_changes_nothing_for_a_decoder(gpt):
    ids = torch.tensor([[1, 2, 3]])
    assert torch.allclose(gpt(ids), gpt(F.pad(ids, (0, 5), value=7))[:, :3], atol=1e-5)


@pytest.mark.parametrize("kind", [Encoder, GPT, GPTClassifier])
def test_every_parameter_gets_a_gradient(kind, gpt):
    torch.manual_seed(0)
    ids = torch.arange(12)[None] % 30
    if kind is Encoder:
        model = Encoder(**SIZES)
        out = model(ids, segments=(ids > 5).long())[-1]
    elif kind is GPT:
        model, out = gpt, gpt(ids)
    else:
        model = GPTClassifier(gpt)
        out = model(ids, torch.ones_like(ids))
    (out * torch.randn(out.shape)).sum().backward()
    still = [
        name for name, p in model.named_parameters()
        if p.grad is None or (not p.grad.any() and not name.endswith("key.bias"))  # softmax ignores a shift of all scores
    ]  # fmt: skip
    assert not still


def toy_text(n=6_000):
    return np.tile(np.arange(1, 8), n // 7 + 1)[:n]


def test_training_lowers_the_loss_and_is_repeatable():
    def run():
        torch.manual_seed(0)
        model = GPT(words=9, units=16, layers=1, heads=2, positions=16, dropout=0.1)
        return model, train_language_model(
            model, toy_text(), rows=8, length=12, rate=1e-2, schedule=warm_up, betas=(0.9, 0.98)
        )

    (model, losses), (_, again) = run(), run()
    assert losses == again and np.mean(losses[-5:]) < 0.2 < losses[0]
    assert not model.training
    assert np.exp(-log_probabilities(model, toy_text(300), length=12)[20:].mean()) < 1.2
    assert sample(model, [1, 2, 3], 12, temperature=0.1) == [*(i % 7 + 1 for i in range(12))]


def test_the_callback_sees_every_loss(gpt):
    seen = []
    losses = train_language_model(gpt, toy_text(600), rows=4, length=10, after_step=seen.append)
    assert losses == seen and len(seen) == 15


def test_log_probabilities_cover_every_token_once(gpt):
    for n in (1, 5, 12, 31):
        ids = np.random.default_rng(n).integers(30, size=n)
        found = log_probabilities(gpt, ids, length=8, rows=3)
        assert found.shape == (n,) and (found < 0).all()
    # A text shorter than half a window, after what stands before it: END.
    ids = np.array([4, 9, 2])
    seen = torch.tensor([[END] * 5 + ids.tolist()])
    right = gpt(seen[:, :-1]).log_softmax(-1)[0, 4:].detach()[range(3), ids]
    assert np.allclose(log_probabilities(gpt, ids, length=8), right, atol=1e-5)


def test_sampling_stops_at_the_end_never_draws_what_is_forbidden_and_goes_beyond_the_positions(gpt):
    written = sample(gpt, [3], 40, never=[END, 1], seed=0)
    assert len(written) == 40 and written[0] == 3 and not {END, 1} & set(written[1:])
    assert (
        written
        == sample(gpt, [3], 40, never=[END, 1], seed=0)
        != sample(gpt, [3], 40, never=[END, 1], seed=1)
    )
    gpt.embedding.weight.data.zero_()
    gpt.embedding.weight.data[END] = 100 * gpt.norm(torch.randn(1, 16)).squeeze(0)
    assert len(sample(gpt, [3], 40, never=range(1, 30))) == 2


def test_top_k_and_top_p_keep_the_likeliest_and_their_proportions():
    chances = torch.tensor([0.1, 0.4, 0.05, 0.3, 0.15], dtype=torch.float64)
    assert torch.allclose(top_k(chances, 2), torch.tensor([0.0, 4, 0, 3, 0]).double() / 7)
    assert torch.allclose(top_k(chances, 9), chances)
    for p, names in ((0.2, [1]), (0.41, [1, 3]), (0.69, [1, 3]), (0.71, [1, 3, 4]), (1.0, [0, 1, 2, 3, 4])):
        kept = top_p(chances, p)
        assert kept.nonzero().flatten().tolist() == names
        assert torch.allclose(kept[names], chances[names] / chances[names].sum())


def test_what_is_cut_off_is_never_drawn(gpt):
    best = int(gpt(torch.tensor([[3]]))[0, -1].detach()[2:].argmax()) + 2
    for cut in (lambda chances: top_k(chances, 1), lambda chances: top_p(chances, 1e-9)):
        assert sample(gpt, [3], 2, never=[0, 1], cut=cut, seed=1) == [3, best]
    drawn = {sample(gpt, [3], 2, cut=lambda chances: top_k(chances, 4), seed=s)[1] for s in range(60)}
    assert len(drawn) == 4


def test_keys_and_values_that_are_kept_give_what_reading_everything_gives(gpt):
    text, kept = torch.tensor([[3, 9, 9, 28, 0, 5, 17]]), []
    everything = gpt(text)[0].detach()
    gpt.train()  # dropout is off all the same
    for place, token in enumerate(text[0].tolist()):
        logits, kept = read_next(gpt, token, kept)
        assert torch.allclose(logits, everything[place], atol=1e-5)
        assert [tuple(part.shape) for pair in kept for part in pair] == [(1, 4, place + 1, 4)] * 6


# --- a task


def test_task_inputs_hold_start_delimiter_and_extract():
    assert task_input(50, [3, 4]) == [50, 3, 4, 52]
    assert task_input(50, [3], [4, 5], [6]) == [50, 3, 51, 4, 5, 51, 6, 52]
    with pytest.raises(ValueError, match="no text"):
        task_input(50)


def test_known_words_keep_their_rows(gpt):
    old = [f"w{i}" for i in range(30)]
    before = gpt.embedding.weight.detach().clone()
    new = transfer_vocabulary(gpt, old, ["w7", "strange", "w0"], more=3)
    table = new.embedding.weight.detach()
    assert table.shape == (6, 16) and torch.equal(table[0], before[7]) and torch.equal(table[2], before[0])
    assert torch.allclose(table[1], before.mean(0))
    assert new.embedding.weight.requires_grad
    new.embedding.weight.data.zero_()
    new.positions.weight.data.zero_()
    assert torch.equal(gpt.embedding.weight, before) and gpt.positions.weight.any()
    with pytest.raises(ValueError, match="30 words, and the list of old ones 29"):
        transfer_vocabulary(gpt, old[:-1], ["w7"])


def test_the_classifier_reads_the_last_token_and_no_padding(gpt):
    model = GPTClassifier(gpt).eval()
    ids = torch.tensor([[5, 6, 7, 9]])
    alone = model(ids, torch.ones_like(ids))
    padded = model(F.pad(ids, (0, 3), value=2), F.pad(torch.ones_like(ids), (0, 3)))
    assert torch.allclose(alone, padded, atol=1e-6)
    assert torch.allclose(alone, model.head(gpt.read(ids)[0][:, -1]), atol=1e-6)
    assert torch.equal(model(ids, torch.ones_like(ids), "words"), gpt(ids))
    assert model.gpt is not gpt  # fine-tuning must not move the model that it starts from


def texts_and_labels(n=96):
    """Does the text hold a 5?"""
    rng = np.random.default_rng(0)
    texts = [rng.integers(6, 20, size=rng.integers(2, 7)).tolist() for _ in range(n)]
    labels = torch.arange(n) % 2
    for text, label in zip(texts, labels.tolist(), strict=True):
        if label:
            text[rng.integers(len(text))] = 5
    return [task_input(27, text) for text in texts], labels


def examples(texts, labels):
    return Examples({"input_ids": texts, "attention_mask": [[1] * len(text) for text in texts]}, labels)


def tasks(texts, labels, auxiliary, weights=None):
    """Equation 5 of Radford et al. (2018): the class, and beside it the next word at each place."""
    words = examples(texts, [[*text[1:], IGNORED] for text in texts])
    both = [Task(examples(texts, labels), name="classes", class_weights=weights)]
    return both + ([Task(words, name="words", share=auxiliary)] if auxiliary else [])


def fine_tune(model, texts, labels, auxiliary=0.5, weights=None, rate=5e-3, **how):
    how = {"learning_rate": rate, "schedule": warm_up, "betas": (0.9, 0.98), "by_length": False} | how
    return fit(model, tasks(texts, labels, auxiliary, weights), **how)


@pytest.mark.parametrize("auxiliary", [0.0, 0.5])
def test_fine_tuning_learns_a_task(gpt, auxiliary):
    texts, labels = texts_and_labels()
    model, before = GPTClassifier(gpt), gpt.embedding.weight.detach().clone()
    history = fine_tune(model, texts, labels, auxiliary, epochs=12, rate=1e-2, batch_size=8)
    assert history.train_loss[-1] < history.train_loss[0] - 0.3 and not model.training
    assert (predict(model, examples(texts, labels)).argmax(1) == labels.numpy()).mean() > 0.9
    assert torch.equal(gpt.embedding.weight, before)


def test_the_auxiliary_loss_teaches_the_words(gpt):
    texts, labels = texts_and_labels(32)
    flat = np.concatenate(texts)
    ends = {}
    for auxiliary in (0.0, 0.5):
        model = GPTClassifier(gpt)
        fine_tune(model, texts, labels, auxiliary, epochs=4, batch_size=16)
        ends[auxiliary] = log_probabilities(model.gpt, flat, length=8).mean()
    assert ends[0.5] > ends[0.0] + 0.2


def test_the_auxiliary_loss_counts_no_padding(gpt):
    """A short text beside a long one asks as many words as alone."""
    words = tasks([[1, 2, 3], [4, 5, 6, 7, 8, 9, 10]], torch.tensor([0, 1]), 0.5)[1].train
    model = GPTClassifier(gpt).eval()
    sums = []
    for rows in ([0, 1], [0], [1]):
        inputs, labels = words.batch(rows, torch.device("cpu"))
        sums.append(torch.stack(weighted_loss(model(**inputs, task="words"), labels)))
    assert sums[0][1] == 2 + 6
    assert torch.allclose(sums[0], sums[1] + sums[2], atol=1e-4)


def test_predictions_keep_the_order_of_the_texts(gpt):
    model, (texts, labels) = GPTClassifier(gpt), texts_and_labels(20)
    together = predict(model, examples(texts, labels), batch_size=6)
    assert np.allclose(together.sum(1), 1, atol=1e-5)
    for text, row in zip(texts, together, strict=True):
        assert np.allclose(predict(model, examples([text], [0]))[0], row, atol=1e-5)


def test_class_weights_change_what_is_learned(gpt):
    texts, labels = texts_and_labels(32)
    ends = []
    for weights in (torch.tensor([1.0, 1e-6]), torch.tensor([1e-6, 1.0])):
        model = GPTClassifier(gpt)
        fine_tune(model, texts, labels, 0, weights, epochs=3, batch_size=16)
        ends.append(predict(model, examples(texts, labels))[:, 1].mean())
    assert ends[0] < 0.4 < 0.6 < ends[1]
