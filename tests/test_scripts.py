"""The tools that make the checkpoints: they read their sources, hold text out, and write what the course can load."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from course_utils.assets import store
from course_utils.models import checkpoints
from course_utils.models.elmo import CharacterEncoder, spell
from course_utils.models.language_model import LanguageModel
from course_utils.text import Vocabulary, WordVectors

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
import texts
import train_checkpoint

ENTRY = '00002325 29 v 02 respire 1 take_a_breath(p) 0 001 @ 00001740 v 0000 01 + 02 00 | draw air into the lungs; "I can breathe"; "again"  \n'


def test_a_dictionary_entry_and_its_examples(tmp_path):
    folder = tmp_path / "usr/share/wordnet"
    folder.mkdir(parents=True)
    for part in ("noun", "verb", "adj", "adv"):
        (folder / f"data.{part}").write_text("  1 This is a licence\n" + ENTRY, encoding="utf-8")
    found = texts.wordnet(tmp_path)
    assert found == ["respire, take a breath: draw air into the lungs", "I can breathe"] * 4


def test_paragraphs_join_lines():
    assert texts.paragraphs(["It is a", " truth.", "", "Next", "one"]) == "It is a truth.\nNext one"


@pytest.mark.parametrize("name", ["wordnet", "austen"])
def test_no_sentence_is_held_out_and_learned(name):
    sentences = [f"sentence {i % 900}" for i in range(1000)]
    parts = {part: sources[name] for part, sources in texts.split({name: sentences}).items()}
    assert sorted(s for some in parts.values() for s in some) == sorted(set(sentences))
    assert all(0.02 < len(parts[part]) / 900 < 0.04 for part in ("validation", "test"))


@pytest.fixture
def small(monkeypatch, tmp_path):
    words = ["the", "cat", "sat", "on", "a", "mat", "and", "dog", "ran", "off"]
    glove = WordVectors(words, np.random.default_rng(0).normal(size=(len(words), 50)))
    monkeypatch.setattr(train_checkpoint, "load_glove", lambda: glove)
    monkeypatch.setattr(train_checkpoint, "FOLDER", tmp_path)
    sizes = {name: {"words": 9, "units": 52, "layers": 2} for name in train_checkpoint.SIZES}
    monkeypatch.setattr(train_checkpoint, "SIZES", sizes)
    return tmp_path


def test_spelling_is_learned_from_word_vectors(small, capsys):
    torch.manual_seed(0)
    words = ["the", "cat", "sat", "unheard"]
    encoder = CharacterEncoder(52)
    train_checkpoint.spell_glove(encoder, words, 52)
    rows, known = train_checkpoint.glove_rows(words, 52)
    assert known.tolist() == [True, True, True, False]
    error = (encoder(spell(words[:3]))[:, :50] - rows[:3, :50]).pow(2).mean()
    assert error < 0.1 < rows[:3, :50].pow(2).mean()


@pytest.mark.parametrize("name", ["elmo", "language_model"])
def test_what_is_trained_can_be_loaded(name, small, monkeypatch, capsys):
    some = ["The cat sat on the mat.", "A dog ran off", "the dog sat"] * 60
    parts = {part: {"toy": some} for part in ("train", "validation", "test")}
    getattr(train_checkpoint, f"train_{name}")(parts)
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(told) >= {"seconds"}
    files = ("model.safetensors", "config.json", "words.txt")
    asset = checkpoints.resolve.__globals__["Resolved"](name, small / name, "course", files, "", "")
    monkeypatch.setattr(checkpoints, "resolve", lambda _: asset)
    model, vocabulary = getattr(checkpoints, f"load_{name}")()
    assert len(vocabulary) == 7 and not model.training


def test_what_is_saved_comes_back(tmp_path):
    torch.manual_seed(0)
    vocabulary = Vocabulary([["a", "b", "c", "a", "\u2028", "d\u0085"]])
    model = LanguageModel(len(vocabulary) + 2, units=8, layers=2)
    train_checkpoint.save_checkpoint(tmp_path / "x", model, {"words": 7, "units": 8, "layers": 2})
    vocabulary.write(tmp_path / "x" / "words.txt")
    asset = store.Resolved(
        "x", tmp_path / "x", "course", ("model.safetensors", "config.json", "words.txt"), "", ""
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "resolve", lambda name: asset)
        again, words = checkpoints.load_language_model()
    assert words.words == vocabulary.words and words.counts.tolist() == vocabulary.counts.tolist()
    assert again.output.weight is again.embedding.weight
    for (name, one), two in zip(model.named_parameters(), again.parameters(), strict=True):
        assert torch.equal(one.half().float(), two), name
