import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_assets import REVISION, hub_environment, server  # noqa: F401 - server is a fixture
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaModel

from course_tools import PATIENCE
from course_utils.assets import AssetError
from course_utils.features import POOLINGS, Encoder, cache, encode, encode_words, load_encoder, standardise
from course_utils.features import encoder as encoding
from course_utils.models import published
from course_utils.models.pooling import pool_states
from course_utils.session import cache_folder
from course_utils.text import pad_rows

TEXTS = [
    "Free entry in 2 a wkly comp, text WIN to 80082 now!",
    "ok",
    "",
    "Are you coming home for dinner, or shall I leave yours in the oven until you are back from the match?",
    "see you at 8",
    "😀 ünïcödé",
]


@pytest.fixture(scope="module")
def encoder():
    try:
        return load_encoder("minilm")
    except AssetError as error:
        pytest.skip(f"needs the encoder: {str(error).splitlines()[0]}")


@pytest.fixture(scope="module")
def bert(encoder):
    """A small BERT as it is published: with the pooler that next-sentence prediction trained."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 48}
    model = BertModel(BertConfig(**sizes)).requires_grad_(False).eval()
    return Encoder("bert", encoder.tokenizer, model, "0" * 64, 24)


@pytest.fixture
def forwards(encoder):
    """Counts the rows that go through the model."""
    calls = []
    hook = encoder.model.register_forward_hook(
        lambda _module, _args, inputs, _output: calls.append(len(inputs["input_ids"])), with_kwargs=True
    )
    yield calls
    hook.remove()


@pytest.fixture
def tokens_per_batch(monkeypatch):
    return lambda tokens: monkeypatch.setitem(encoding.TOKENS_PER_BATCH, "cpu", tokens)


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def cache_file():
    (file,) = (cache_folder() / "features").glob("*.sqlite")
    return file


def reference(encoder, text, pooling="mean", layer=-1):
    """One text on its own, by transformers alone."""
    inputs = encoder.tokenizer(text, return_tensors="pt", truncation=True, max_length=128)
    with torch.no_grad():
        output = encoder.model(**inputs, output_hidden_states=True)
    states = output.hidden_states[layer][0]
    parts = {
        "pooler": [] if output.pooler_output is None else [output.pooler_output[0]],
        "cls": [states[0]],
        "mean": [states.mean(0)],
        "max": [states.amax(0)],
    }
    return torch.cat([part for way in pooling.split("+") for part in parts[way]]).numpy()


# ---- the encoder


def test_the_encoder_is_frozen_and_loads_quietly(encoder, capfd):
    fresh = load_encoder("minilm")
    assert capfd.readouterr() == ("", "")
    assert not any(p.requires_grad for p in fresh.model.parameters())
    assert not any(module.training for module in fresh.model.modules())
    assert (fresh.name, fresh.hidden_size, len(fresh.digest)) == ("minilm", 384, 64)


def test_a_pooler_that_nobody_trained_is_not_read(encoder, bert):
    assert (encoder.summary, bert.summary) == ("cls", "pooler")
    assert encoder.model.pooler is None
    for pooling in ("pooler", "mean+pooler"):
        with pytest.raises(ValueError, match=r"minilm's pooler was never trained .*bias is exactly 0"):
            encode(["a"], encoder, pooling=pooling)


def test_the_published_pooler_of_minilm_is_what_the_registry_says():
    from safetensors.torch import load_file

    from course_utils.assets import resolve

    weights = load_file(resolve("minilm").folder / "model.safetensors")
    trained = [w.std() for name, w in weights.items() if name.endswith("dense.weight") and "encoder" in name]
    assert weights["pooler.dense.bias"].abs().max() == 0
    assert 3 * weights["pooler.dense.weight"].std() < min(trained)


@pytest.mark.parametrize(
    ("lengths", "shape"), [([3], (1, 16)), ([17, 9, 2], (4, 32)), ([50, 50], (2, 50)), ([16] * 8, (8, 16))]
)
def test_xla_sees_few_shapes_and_the_vectors_are_the_same(encoder, lengths, shape):
    """Powers of two from 16 on, in rows and in tokens, but no more tokens than the encoder reads (50 here)."""
    ids, mask = pad_rows([range(1000, 1000 + n) for n in lengths])
    more_ids, more_mask = encoding._few_shapes(ids, mask, 50, 0)
    rows, width = ids.shape
    assert more_ids.shape == more_mask.shape == shape
    assert torch.equal(more_ids[:rows, :width], ids) and torch.equal(more_mask[:rows, :width], mask)
    assert more_mask.sum(1).tolist() == [*lengths, *[1] * (shape[0] - rows)]  # none looks at nothing
    with torch.no_grad():
        few, many = (
            pool_states(encoder.model(input_ids=i, attention_mask=m).last_hidden_state, m, "mean")
            for i, m in ((ids, mask), (more_ids, more_mask))
        )
    torch.testing.assert_close(many[:rows], few, atol=1e-5, rtol=0)
    assert many.isfinite().all()


HUB_BERT = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_assets import make_asset
from course_utils.assets import registry
from course_utils.features import encode, load_encoder

source = {"kind": "hub", "repo": "google-bert/bert-base-uncased", "revision": sys.argv[3]}
files = {path.name: path.read_bytes() for path in Path(sys.argv[2]).iterdir()}
registry()["bert-base-uncased"] = make_asset(source, name="bert-base-uncased", files=files)
encoder = load_encoder()
vector = encode(["one two three"], encoder, pooling=encoder.summary)
print(json.dumps([encoder.name, encoder.model.config.num_hidden_layers, encoder.summary, vector.tolist()]))
"""


def test_bert_comes_from_the_hub_with_its_pooler(encoder, server, tmp_path):  # noqa: F811
    """BERT Base in all but its width, from a hub on 127.0.0.1: what profile gpu reads where the real one can be had."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 24, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 96}
    model = BertModel(BertConfig(**sizes)).eval()
    model.save_pretrained(tmp_path / "bert")
    encoder.tokenizer.save_pretrained(tmp_path / "bert")
    for path in (tmp_path / "bert").iterdir():
        server.pages[f"/google-bert/bert-base-uncased/resolve/{REVISION}/{path.name}"] = path.read_bytes()
    ids = encoder.tokenizer(["one two three"], return_tensors="pt")
    with torch.no_grad():
        wanted = model(**ids).pooler_output.numpy()
    environment = os.environ | hub_environment(server, tmp_path) | {"COURSE_PROFILE": "gpu"}
    tests = str(Path(__file__).parent)
    command = [sys.executable, "-c", HUB_BERT, tests, str(tmp_path / "bert"), REVISION]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    name, layers, summary, vector = json.loads(finished.stdout.splitlines()[-1])
    assert (name, layers, summary) == ("bert-base-uncased", 12, "pooler")
    np.testing.assert_allclose(vector, wanted, atol=1e-4)


def test_where_bert_was_only_the_default_minilm_stands_in(encoder, monkeypatch, capsys):
    from course_utils import assets

    def resolve(name):
        if name == "bert-base-uncased":
            raise AssetError("no connection")
        return assets.resolve(name, profile="ci")

    monkeypatch.setattr(encoding, "resolve", resolve)
    monkeypatch.setattr(published, "resolve", resolve)
    monkeypatch.setenv("COURSE_PROFILE", "gpu")
    assert load_encoder(device="cpu").name == "minilm"
    assert "minilm is used" in capsys.readouterr().out
    with pytest.raises(AssetError):
        load_encoder("bert-base-uncased")


@pytest.fixture(scope="module")
def xlm_roberta():
    """A small XLM-R: padding's id is 1, and positions start after it, at 2, so that of fourteen rows twelve are places."""
    words = {
        word: i for i, word in enumerate(["<s>", "<pad>", "</s>", "<unk>", "query:", "one", "two", "three"])
    }
    coder = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    coder.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    coder.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    special = {"cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=coder, **special)
    torch.manual_seed(0)
    sizes = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    model = XLMRobertaModel(
        XLMRobertaConfig(**sizes, vocab_size=8, max_position_embeddings=14, pad_token_id=1)
    )
    return Encoder("xlm-r", tokenizer, model.requires_grad_(False).eval(), "0" * 64, 24)


def test_an_encoder_whose_positions_start_at_2_reads_two_tokens_fewer_than_it_has_rows(xlm_roberta, bert):
    assert (xlm_roberta.longest, bert.longest) == (12, 512)
    long = " ".join(["one two three"] * 6)
    with pytest.raises(ValueError, match="max_length is 13; xlm-r reads from 3 to 12 tokens"):
        encode([long], xlm_roberta, max_length=13)
    encode([long], xlm_roberta, max_length=12, cache=False)
    (words,) = encode_words([long.split()], xlm_roberta, cache=False)
    assert len(words) == 18


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_no_vector_of_an_encoder_whose_padding_is_1(xlm_roberta, side):
    xlm_roberta.tokenizer.padding_side = side
    texts = ["one", "two three one two", "three three"]
    for text, vector in zip(texts, encode(texts, xlm_roberta, max_length=12, cache=False), strict=True):
        ids = xlm_roberta.tokenizer(text, return_tensors="pt")["input_ids"]
        wanted = xlm_roberta.model(input_ids=ids).last_hidden_state.mean(1)[0]
        np.testing.assert_allclose(vector, wanted.numpy(), atol=1e-5)


def test_every_text_begins_with_the_prefix(xlm_roberta):
    texts = ["one two", "three", ""]
    found = encode(texts, replace(xlm_roberta, prefix="query: "), max_length=12, cache=False)
    wanted = encode([f"query: {text}" for text in texts], xlm_roberta, max_length=12, cache=False)
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert not np.allclose(found, encode(texts, xlm_roberta, max_length=12, cache=False), atol=1e-3)


def test_training_mode_is_refused(encoder):
    dropout = encoder.model.encoder.layer[3].output.dropout
    dropout.train()
    try:
        with pytest.raises(ValueError, match="dropout"):
            encode(["a"], encoder)
    finally:
        encoder.model.eval()


# ---- the vectors


@pytest.mark.parametrize("pooling", [*POOLINGS, "mean+max", "pooler+mean"])
def test_padding_changes_no_vector(bert, pooling):
    vectors = encode(TEXTS, bert, pooling=pooling, cache=False)
    assert vectors.dtype == np.float32
    for text, vector in zip(TEXTS, vectors, strict=True):
        np.testing.assert_allclose(vector, reference(bert, text, pooling), atol=1e-5)


def test_layers_are_concatenated(encoder):
    vectors = encode(TEXTS, encoder, layers=(0, 4, -1), cache=False)
    assert vectors.shape == (len(TEXTS), 3 * 384)
    for part, layer in enumerate((0, 4, 6)):
        np.testing.assert_allclose(
            vectors[3, 384 * part : 384 * (part + 1)], reference(encoder, TEXTS[3], layer=layer), atol=1e-5
        )


@settings(max_examples=10, deadline=None)
@given(st.lists(st.sampled_from(TEXTS), min_size=1, max_size=8), st.integers(1, 200))
def test_neither_order_nor_company_nor_batch_size_matters(encoder, texts, tokens):
    with patch.dict(encoding.TOKENS_PER_BATCH, cpu=tokens):
        vectors = encode(texts, encoder, cache=False)
    alone = {text: encode([text], encoder, cache=False)[0] for text in set(texts)}
    np.testing.assert_allclose(vectors, np.stack([alone[text] for text in texts]), atol=1e-5)


def test_threads_change_no_vector_and_stay_as_they_were(encoder, threads, tokens_per_batch):
    tokens_per_batch(64)
    texts = [f"message {i} " * (i % 9 + 1) for i in range(60)]
    threads(1)
    one = encode(texts, encoder, cache=False)
    threads(3)
    three = encode(texts, encoder, cache=False)
    assert torch.get_num_threads() == 3
    np.testing.assert_allclose(three, one, atol=1e-5)


def test_an_error_in_a_worker_comes_out_and_threads_are_put_back(
    encoder, threads, tokens_per_batch, monkeypatch
):
    threads(2)
    tokens_per_batch(8)
    monkeypatch.setattr(encoding, "pad_rows", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        encode(TEXTS, encoder, cache=False)
    assert torch.get_num_threads() == 2


def test_no_texts(encoder, forwards):
    assert encode([], encoder, pooling="mean+max", layers=(1, 2)).shape == (0, 4 * 384)
    assert not forwards


def test_equal_texts_are_encoded_once(encoder, forwards):
    vectors = encode(["hello", "Hello", "bye", "hello"], encoder, cache=False)
    assert sum(forwards) == 2  # to an uncased encoder, Hello is hello
    assert (vectors[0] == vectors[1]).all() and (vectors[0] == vectors[3]).all()
    assert not (vectors[0] == vectors[2]).all()


def test_truncation(encoder):
    short, long = encode(["a b c", "a b c d e f"], encoder, max_length=5, cache=False)
    assert (short == long).all()


def test_standardise_leaves_dead_units_alone(encoder):
    train = encode([f"message {i} is here" * (i % 5) for i in range(40)], encoder, cache=False)
    dead = train.std(axis=0) < 1e-6
    assert dead.any() and not dead.all()
    fitted, other = standardise(train, train[:3] + 1)
    assert fitted.dtype == np.float32
    np.testing.assert_allclose(fitted[:, ~dead].std(axis=0), 1, atol=1e-4)
    np.testing.assert_allclose(fitted.mean(axis=0), 0, atol=1e-5)
    assert np.abs(fitted[:, dead]).max() < 1e-6
    np.testing.assert_allclose(
        other[:, ~dead] - fitted[:3, ~dead], np.tile(1 / train.std(axis=0)[~dead], (3, 1)), rtol=1e-3
    )


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"texts": ["a", float("nan")]}, TypeError, "Text 1 is nan"),
        ({"texts": "one string"}, TypeError, r"write \[text\]"),
        ({"max_length": 513}, ValueError, "512"),
        ({"max_length": 2}, ValueError, "3 or more"),
        ({"max_length": 25.0}, ValueError, r"max_length=25.0: it must be a whole number"),
        ({"texts": pd.DataFrame({"text": ["a"]})}, TypeError, r"not DataFrame: .* table\['column'\]"),
        ({"texts": {"a": 1}}, TypeError, "not dict"),
        ({"texts": None}, TypeError, "not NoneType"),
        ({"texts": ["a", "b\ud800"]}, ValueError, "Text 1 holds half a character"),
        ({"layers": (1, 1)}, ValueError, "each once"),
        ({"layers": (-1, 6)}, ValueError, "each once"),
        ({"layers": (1.0,)}, ValueError, r"layers\[0\]=1.0"),
        ({"layers": "last"}, ValueError, "'last'"),
        ({"layers": (-8,)}, ValueError, "-7 or more"),
        ({"pooling": ["mean", "max"]}, ValueError, "cls, mean, max"),
        ({"pooling": "median"}, ValueError, "cls, mean, max"),
        ({"layers": (7,)}, ValueError, "to 6"),
        ({"layers": ()}, ValueError, "one or more"),
        ({"precision": "int8"}, ValueError, "fp32 or bf16"),
    ],
)
def test_what_encode_refuses(encoder, settings, error, message):
    with pytest.raises(error, match=message):
        encode(**{"texts": ["a"], "encoder": encoder} | settings)


def test_bf16_falls_back_where_the_processor_has_none(encoder, monkeypatch, capsys):
    fp32 = encode(TEXTS, encoder, cache=False)
    monkeypatch.setattr(encoding, "has_bf16", lambda device: False)
    assert (encode(TEXTS, encoder, precision="bf16", cache=False) == fp32).all()
    assert "fp32 is used" in capsys.readouterr().out
    monkeypatch.setattr(encoding, "has_bf16", lambda device: True)
    bf16 = encode(TEXTS, encoder, precision="bf16", cache=False)
    assert not (bf16 == fp32).all()
    cosine = (bf16 * fp32).sum(1) / np.linalg.norm(bf16, axis=1) / np.linalg.norm(fp32, axis=1)
    assert (cosine > 0.999).all()


# ---- the cache


def test_a_hit_gives_the_same_bytes_without_the_model(encoder, forwards):
    first = encode(TEXTS, encoder)
    assert sum(forwards) == len(TEXTS)
    assert encode(TEXTS, encoder).tobytes() == first.tobytes()
    assert sum(forwards) == len(TEXTS)


def test_of_more_texts_only_the_new_ones_are_encoded(encoder, forwards):
    first = encode(TEXTS[:4], encoder)
    forwards.clear()
    again = encode(["new", *TEXTS[3::-1]], encoder)
    assert sum(forwards) == 1
    assert (again[:0:-1] == first).all()


def test_settings_have_vectors_of_their_own(encoder, forwards):
    for settings_ in ({}, {"pooling": "cls"}, {"layers": (3,)}, {"layers": (3, 6)}):
        forwards.clear()
        encode(["one text"], encoder, **settings_)
        assert sum(forwards) == 1
    forwards.clear()
    encode(["one text"], encoder, layers=(6,), max_length=60)  # the same layer and the same ids as the first
    assert not forwards


def test_a_model_that_was_trained_on_is_another_encoder(encoder, forwards):
    before = encode(["one text"], encoder)
    bias = encoder.model.encoder.layer[0].output.dense.bias
    kept = bias.clone()
    try:
        bias[7] += 0.5
        assert not np.allclose(encode(["one text"], encoder), before)
    finally:
        bias.copy_(kept)
    assert (encode(["one text"], encoder) == before).all()
    assert len(forwards) == 2


def test_without_cache_nothing_is_written(encoder):
    encode(["one text"], encoder, cache=False)
    assert not (cache_folder() / "features").exists()


@pytest.mark.parametrize("cache", [True, False])
@pytest.mark.parametrize(
    "layers", [[np.int64(-1)], np.array([-1]), torch.tensor([-1]), range(6, 7), np.int32(-1), -1], ids=repr
)
def test_numbers_of_other_libraries_are_numbers(encoder, layers, cache):
    vectors = encode(TEXTS[:2], encoder, layers=layers, max_length=np.int64(20), cache=cache)
    assert np.array_equal(vectors, encode(TEXTS[:2], encoder, max_length=20, cache=False))


@pytest.mark.parametrize("texts", [pd.Series(["a", "b"], dtype="category"), np.array(["a", "b"]), iter("ab")])
def test_a_column_or_anything_that_goes_through_strings_is_texts(encoder, texts):
    assert np.array_equal(encode(texts, encoder), encode(["a", "b"], encoder))


@pytest.mark.parametrize("value", ["NULL", "5", "'text'", "x'00'"])
@pytest.mark.parametrize("column", ["vector", "checksum"])
def test_whatever_stands_in_the_cache_is_noticed_and_mended(encoder, capsys, column, value):
    first = encode(TEXTS, encoder)
    with closing(sqlite3.connect(cache_file())) as database, database:
        database.execute(f"UPDATE vectors SET {column} = {value}")
    assert np.array_equal(encode(TEXTS, encoder), first)
    assert f"{len(set(TEXTS))} cached feature vectors were damaged" in capsys.readouterr().out
    encode(TEXTS, encoder)
    assert not capsys.readouterr().out


def test_a_damaged_vector_is_noticed(encoder, forwards, capsys):
    first = encode(TEXTS, encoder)
    data = bytearray(cache_file().read_bytes())
    place = data.find(first[3].tobytes()[:64])
    assert place > 0
    data[place + 5] ^= 1
    cache_file().write_bytes(data)
    forwards.clear()
    np.testing.assert_allclose(encode(TEXTS, encoder), first, atol=1e-5)
    assert "1 cached feature vectors were damaged" in capsys.readouterr().out
    assert sum(forwards) == 1
    encode(TEXTS, encoder)
    assert sum(forwards) == 1  # mended


@pytest.mark.parametrize("damage", ["cut", "overwritten", "empty"])
def test_a_damaged_file_is_replaced(encoder, forwards, capsys, damage):
    first = encode(TEXTS, encoder)
    data = cache_file().read_bytes()
    cache_file().write_bytes(
        {"cut": data[: len(data) // 2], "overwritten": b"nonsense" * 2000, "empty": b""}[damage]
    )
    np.testing.assert_allclose(encode(TEXTS, encoder), first, atol=1e-5)
    assert damage == "empty" or "computed again" in capsys.readouterr().out
    forwards.clear()
    np.testing.assert_allclose(encode(TEXTS, encoder), first, atol=1e-5)
    assert not forwards


def test_where_nothing_can_be_written_only_the_caching_is_lost(encoder, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "file"))
    vectors = encode(TEXTS, encoder)
    np.testing.assert_allclose(vectors, encode(TEXTS, encoder, cache=False), atol=1e-6)
    assert capsys.readouterr().out.count("not cached") == 1


def test_a_full_disk_loses_only_the_caching(encoder, tokens_per_batch, monkeypatch, capsys):
    tokens_per_batch(100)
    encode(TEXTS[:1], encoder)
    connect = sqlite3.connect

    def small(*args, **kwargs):
        database = connect(*args, **kwargs)
        database.execute("PRAGMA max_page_count = 8")
        return database

    monkeypatch.setattr(cache.sqlite3, "connect", small)
    monkeypatch.setattr(encoding, "SAVE_SECONDS", 0)
    texts = [f"message {i}" for i in range(100)]
    assert encode(texts, encoder).shape == (100, 384)
    out = capsys.readouterr().out
    assert out.count("not cached") == 1 and "full" in out
    monkeypatch.undo()


def test_an_encoder_is_what_it_is_not_what_it_is_called(encoder, forwards):
    encode(["one text"], encoder)
    encode(["one text"], replace(encoder, name="another name"))
    assert len(forwards) == 1
    encode(["one text"], replace(encoder, digest="0" * 64))
    assert len(forwards) == 2


# What a second process does: encode many messages in small batches, and save after each.
CHILD = """
import sys, time, torch
from course_utils import features
from course_utils.features import encoder as encoding
torch.set_num_threads(1)
encoding.SAVE_SECONDS, encoding.TOKENS_PER_BATCH["cpu"] = 0, 40
encoder = features.load_encoder("minilm")
calls = []
def slowly(*_):
    calls.append(1)
    time.sleep(float(sys.argv[1]))
encoder.model.register_forward_hook(slowly)
print("ready", flush=True)
sys.stdin.readline()
vectors = features.encode([f"message {i}" for i in range(400)], encoder)
print(len(calls), vectors.tobytes().hex()[:64], flush=True)
"""


def child(pause):
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(pause)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def start(process):
    assert process.stdout.readline().strip() == "ready"
    process.stdin.write("\n")
    process.stdin.flush()


def stored():
    files = list((cache_folder() / "features").glob("*.sqlite"))
    if not files:
        return 0
    database = sqlite3.connect(files[0], timeout=PATIENCE)
    try:
        return database.execute("SELECT count(*) FROM vectors").fetchone()[0]
    except sqlite3.OperationalError:
        return 0
    finally:
        database.close()


def test_a_killed_run_goes_on_where_it_stopped(encoder, forwards, capsys):
    process = child(0.05)
    start(process)
    deadline = time.monotonic() + PATIENCE
    while stored() < 100 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
    process.wait()
    process.stdin.close(), process.stdout.close()
    kept = stored()
    assert 100 <= kept < 400
    texts = [f"message {i}" for i in range(400)]
    vectors = encode(texts, encoder)
    assert sum(forwards) == 400 - kept
    assert not capsys.readouterr().out
    np.testing.assert_allclose(vectors, encode(texts, encoder, cache=False), atol=1e-5)


def test_two_processes_at_once(encoder, forwards):
    processes = [child(0), child(0)]
    for process in processes:
        start(process)
    for process in processes:
        lines = process.communicate(timeout=PATIENCE)[0].splitlines()
        assert process.returncode == 0
        assert len(lines) == 1, lines  # no complaint about the cache
    assert stored() == 400
    encode([f"message {i}" for i in range(400)], encoder)
    assert not forwards


def test_the_pooler_is_read_once_with_the_last_layer(bert):
    encoder = bert
    depth, width = encoder.model.config.num_hidden_layers, encoder.hidden_size
    texts = ["one two", "three"]
    both = encode(texts, encoder, pooling="mean+pooler", layers=(depth - 1, depth))
    assert both.shape == (2, 3 * width)
    np.testing.assert_allclose(both[:, 2 * width :], encode(texts, encoder, pooling="pooler"), atol=1e-6)
    np.testing.assert_allclose(
        both[:, : 2 * width], encode(texts, encoder, layers=(depth - 1, depth)), atol=1e-6
    )
    with pytest.raises(ValueError, match="name -1 among the layers"):
        encode(texts, encoder, pooling="pooler", layers=(0,))


def test_a_text_that_fits_is_stored_once_whatever_the_longest_length(encoder, monkeypatch):
    encode(["short"], encoder, max_length=64)
    monkeypatch.setattr(encoder.model, "forward", lambda *a, **k: pytest.fail("computed again"))
    encode(["short"], encoder, max_length=16)
