"""Text that goes on: the same tokens as transformers' own, whatever the company and the padding; each token of a text counted once."""

from collections import Counter
from functools import partial

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, XLNetConfig, XLNetModel

from course_utils.models.decoders import LlamaReader, Reader, generate, token_log_probabilities
from course_utils.models.pooling import last_state
from course_utils.models.transformer import top_k, top_p

PROMPTS = [[5, 6, 7, 8], [9], [3, 4, 11, 12, 13, 14, 15], [7, 7]]


@pytest.fixture(scope="module")
def llama():
    torch.manual_seed(0)
    sizes = {
        "vocab_size": 97,
        "hidden_size": 48,
        "intermediate_size": 64,
        "num_hidden_layers": 3,
        "initializer_range": 0.3,
    }
    heads = {"num_attention_heads": 6, "num_key_value_heads": 2}
    return LlamaForCausalLM(LlamaConfig(**sizes, **heads)).requires_grad_(False).eval()


@pytest.fixture(scope="module")
def gpt2():
    torch.manual_seed(0)
    sizes = {"vocab_size": 97, "n_embd": 48, "n_layer": 2, "n_head": 4, "initializer_range": 0.3}
    return GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=0, eos_token_id=0)).requires_grad_(False).eval()


@pytest.fixture(params=["llama, laid out", "llama", "gpt2"])
def reader(request, llama, gpt2):
    made = {
        "llama, laid out": lambda: LlamaReader(llama),
        "llama": lambda: Reader(llama),
        "gpt2": lambda: Reader(gpt2),
    }
    return made[request.param]()


def likeliest(model, prompt, length):
    """Greedy, without a cache and without padding: the whole text is read for every token."""
    ids = list(prompt)
    for _ in range(length):
        ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[len(prompt) :]


# ---- generation


def test_padding_on_the_left_changes_no_token(reader):
    together = generate(reader, PROMPTS, 12)
    assert together == [generate(reader, [prompt], 12)[0] for prompt in PROMPTS]
    assert together == [likeliest(reader.model, prompt, 12) for prompt in PROMPTS]
    assert len({tuple(row) for row in together}) == len(PROMPTS)  # they do differ


def test_the_tokens_are_those_of_transformers(llama, gpt2):
    longest = max(map(len, PROMPTS))
    ids = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in PROMPTS])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in PROMPTS])
    for model, reader in ((llama, LlamaReader(llama)), (gpt2, Reader(gpt2))):
        settings = {"max_new_tokens": 10, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
        theirs = model.generate(ids, attention_mask=mask, **settings)[:, longest:]
        assert generate(reader, PROMPTS, 10) == theirs.tolist()


def test_what_is_laid_out_gives_the_models_numbers(llama):
    reader, ids = LlamaReader(llama), torch.tensor([[3, 9, 27, 81, 50], [1, 2, 3, 4, 5]])
    full, places = llama(ids).logits, torch.arange(5).expand(2, 5)
    reader.begin(2, 5)
    for start, end in ((0, 2), (2, 3), (3, 5)):  # several at once, and in the middle, too
        found = reader.read(ids[:, start:end], places[:, start:end], torch.ones(2, end, dtype=torch.bool))
        assert torch.allclose(found, full[:, end - 1], atol=1e-4)


def test_a_reader_forgets_the_texts_before(reader):
    first = generate(reader, [[5, 6]], 6)
    generate(reader, PROMPTS, 9)
    assert generate(reader, [[5, 6]], 6) == first


def test_a_text_ends_with_its_stop_token_and_the_others_go_on(reader):
    free = generate(reader, PROMPTS, 12)
    stop = {free[0][3]}
    ended = generate(reader, PROMPTS, 12, stop=stop)
    for whole, row in zip(free, ended, strict=True):
        first = next((i for i, token in enumerate(whole) if token in stop), len(whole))
        assert row == whole[: first + 1]
    assert len(ended[0]) < 12


def test_sampling_follows_the_probabilities_and_the_seed(llama):
    reader = Reader(llama)
    assert generate(reader, PROMPTS, 6, temperature=1, seed=1) == generate(
        reader, PROMPTS, 6, temperature=1, seed=1
    )
    assert generate(reader, PROMPTS, 6, temperature=1, seed=1) != generate(
        reader, PROMPTS, 6, temperature=1, seed=2
    )
    assert generate(reader, PROMPTS, 6, temperature=1, cut=partial(top_k, k=1)) == generate(
        reader, PROMPTS, 6
    )
    assert generate(reader, PROMPTS, 6, temperature=1e-4) == generate(reader, PROMPTS, 6)
    chances = (llama(torch.tensor([[5, 6]])).logits[0, -1].double() / 2).softmax(-1)
    drawn = Counter(row[0] for row in generate(reader, [[5, 6]] * 4000, 1, temperature=2))
    for token in chances.topk(3).indices.tolist():
        p = float(chances[token])
        assert abs(drawn[token] / 4000 - p) < 5 * (p * (1 - p) / 4000) ** 0.5
    allowed = set(top_p(chances, 0.5).nonzero()[:, 0].tolist())
    kept = {row[0] for row in generate(reader, [[5, 6]] * 500, 1, temperature=2, cut=partial(top_p, p=0.5))}
    assert kept <= allowed and len(allowed) < 60


def test_what_cannot_be_gone_on_with_is_refused(llama, gpt2):
    for prompts, more in (([], {}), ([[]], {}), ([[1], []], {}), ([[1]], {"temperature": -1})):
        with pytest.raises(ValueError, match="prompts of one token or more, and a temperature"):
            generate(Reader(llama), prompts, 3, **more)
    with pytest.raises(ValueError, match="length"):
        generate(Reader(llama), [[1]], 0)
    with pytest.raises(ValueError, match="for another model take Reader"):
        LlamaReader(gpt2)


# ---- how well a text was foreseen


def test_one_window_gives_every_token_its_probability(llama):
    ids = torch.randint(97, (60,), generator=torch.Generator().manual_seed(0)).tolist()
    logits = llama(torch.tensor([ids])).logits[0, :-1].double().log_softmax(-1)
    expected = logits.gather(-1, torch.tensor(ids[1:])[:, None])[:, 0].numpy()
    found = token_log_probabilities(llama, ids)
    assert found.shape == (59,) and found.dtype == np.float64
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(("length", "stride"), [(8, 3), (8, 7), (8, 1), (10, 5), (60, 30), (59, 58)])
def test_each_token_counts_once_and_from_enough_text(llama, length, stride):
    ids = torch.randint(97, (60,), generator=torch.Generator().manual_seed(1)).tolist()
    found = token_log_probabilities(llama, ids, length=length, stride=stride)
    assert len(found) == 59  # all but the first, which nothing foresees
    for place in range(1, 60):
        # The first window that reaches the token, and where it begins.
        start = max(0, -(-(place + 1 - length) // stride)) * stride
        logits = llama(torch.tensor([ids[start:place]])).logits[0, -1].double().log_softmax(-1)
        assert found[place - 1] == pytest.approx(float(logits[ids[place]]), abs=1e-4), (place, start)
        assert place - start >= min(place, length - stride)


@pytest.mark.parametrize("n", range(2, 30))
def test_no_token_is_lost_at_the_end(llama, n):
    assert len(token_log_probabilities(llama, list(range(1, n + 1)), length=9, stride=4)) == n - 1


@pytest.mark.parametrize(("n", "length", "stride"), [(1, 8, 4), (0, 8, 4), (9, 8, 8), (9, 8, 0), (9, 1, 1)])
def test_a_text_without_context_is_refused(llama, n, length, stride):
    with pytest.raises(ValueError, match="Two tokens and 1 <= stride < length"):
        token_log_probabilities(llama, [1] * n, length=length, stride=stride)


# ---- a decoder as an encoder: the last state, and padding on either side


def test_the_last_state_of_a_text_that_is_padded_on_the_left_stands_at_the_end():
    """XLNet pads on the left: its last place is a token there; taken from the mask's sum, it would be padding or another word."""
    torch.manual_seed(0)
    model = XLNetModel(XLNetConfig(vocab_size=50, d_model=16, n_layer=1, n_head=2, d_inner=32)).eval()
    right, left = torch.tensor([[7, 8, 9, 0, 0]]), torch.tensor([[0, 0, 7, 8, 9]])
    alone = model(right[:, :3]).last_hidden_state[:, -1]
    padded = model(left, attention_mask=(left > 0).long()).last_hidden_state
    assert torch.allclose(padded[:, -1], alone, atol=1e-5)
    found = last_state(model(right, attention_mask=(right > 0).long()).last_hidden_state, (right > 0).long())
    assert torch.allclose(found, alone, atol=1e-5)
    assert torch.allclose(last_state(padded, (left > 0).long()), alone, atol=1e-5)
