"""The course's own checkpoints: they load, they are what the registry says, and a damaged one is refused."""

import shutil
from functools import partial

import pytest
import torch

from course_utils.assets import AssetError, registry, store
from course_utils.models import checkpoints
from course_utils.models.bert import fill_in_the_blank
from course_utils.session import data_folder

LOADERS = {
    "elmo": checkpoints.load_elmo,
    "language-model": checkpoints.load_language_model,
    "bert-mini": checkpoints.load_bert_mini,
    "bert-mini-mlm": partial(checkpoints.load_bert_mini, next_sentence=False),
}


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """The course's data in a folder that a test may damage."""
    for name in LOADERS:
        folder = registry()[name].course
        shutil.copytree(data_folder() / folder, tmp_path / folder)
    monkeypatch.setattr(store, "data_folder", lambda: tmp_path)
    return tmp_path / "checkpoints"


@pytest.mark.parametrize("name", LOADERS)
def test_checkpoints_load(name):
    model, vocabulary = LOADERS[name]()
    if name.startswith("bert"):
        assert vocabulary.get_vocab_size() == model.bias.numel()
    else:
        words = getattr(model, "softmax", getattr(model, "output", None)).out_features
        assert len(vocabulary) == words - 2
    assert not model.training
    for key, parameter in model.named_parameters():
        assert parameter.dtype == torch.float32 and torch.isfinite(parameter).all(), key
        untrained = name == "bert-mini-mlm" and key.startswith(("pooler", "follows"))  # its biases are zeros
        assert parameter.std() > 0 or parameter.numel() == 1 or untrained, key
    assert registry()[name].bytes <= 25e6


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize("damage", ["cut", "changed", "missing"])
def test_a_damaged_checkpoint_is_refused(name, damage, copied):
    file = copied.parent / registry()[name].course / "model.safetensors"
    data = bytearray(file.read_bytes())
    if damage == "missing":
        file.unlink()
    else:
        data[-1] ^= 1
        file.write_bytes(data if damage == "changed" else data[:-10])
    with pytest.raises(AssetError, match="git checkout -- data"):
        LOADERS[name]()


@pytest.mark.parametrize("name", LOADERS)
def test_the_card_names_every_checkpoint(name):
    card = (data_folder() / "checkpoints" / "README.md").read_text(encoding="utf-8")
    folder = registry()[name].course.split("/")[1]
    assert f"`{folder}`" in card and f"train_checkpoint.py {folder}" in card


def test_the_small_bert_fills_in_blanks_and_tells_pairs():
    model, tokenizer = checkpoints.load_bert_mini()
    guesses = fill_in_the_blank(model, tokenizer, "They had been very [MASK] to see her.", count=5)[0]
    assert {"glad", "happy", "pleased"} & {piece for piece, _ in guesses}
    coded = tokenizer.encode("The cat sat.", "It slept.")
    ids, segments = torch.tensor([coded.ids]), torch.tensor([coded.type_ids])
    assert model(ids, segments, ids == -1)[1].shape == (1, 2)


def test_both_small_berts_read_the_same_pieces():
    (both, one), (alone, two) = (checkpoints.load_bert_mini(next_sentence=given) for given in (True, False))
    assert one.to_str() == two.to_str()
    assert not torch.equal(both.encoder.words.weight, alone.encoder.words.weight)
