"""Numbers and texts that functions are given."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_utils.arguments import checked, strings
from course_utils.models.elmo import BiLM, encode_words
from course_utils.models.glove import count_cooccurrences
from course_utils.models.language_model import LanguageModel, encode_sentences
from course_utils.text import Vocabulary
from course_utils.training import pretraining
from course_utils.training.language_models import train_bilm, train_language_model
from course_utils.training.word_vectors import train_glove, train_word2vec


def test_numbers_become_pythons_own():
    numbers = checked(1, a=np.int64(3), b=True, c=2**80)
    assert numbers == [3, 1, 2**80] and {type(number) for number in numbers} == {int}
    numbers = checked(0.0, a=np.float32(0.5), b=0, c=Fraction(1, 4), d=float("inf"))
    assert numbers == [0.5, 0, 0.25, float("inf")] and {type(number) for number in numbers} == {float}


@pytest.mark.parametrize("value", ["1", None, 2.0, np.float64(2), 0, -1, [1], 1j, torch.tensor(1)], ids=repr)
def test_what_is_no_whole_number_from_one_on_is_named(value):
    with pytest.raises(ValueError, match=r"steps=.*: it must be a whole number, 1 or more"):
        checked(1, epochs=1, steps=value)


@pytest.mark.parametrize("value", ["1", None, float("nan"), -1e-9, np.float32(-1), [1]], ids=repr)
def test_what_is_no_number_from_zero_on_is_named(value):
    with pytest.raises(ValueError, match=r"rate=.*: it must be a number, 0 or more"):
        checked(0.0, rate=value)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_texts_stay_as_they_are(texts):
    assert strings(iter(texts)) == strings(np.array([*texts, ""], object))[:-1] == texts


SENTENCES = [["a", "b", "c"], ["b", "c", "a", "a"]] * 30
WORDS = Vocabulary(SENTENCES)


def train(name: str, whole: type, real: type) -> object:
    """A short training with numbers of these types in all places."""
    torch.manual_seed(0)
    read, encoded = encode_sentences(SENTENCES, WORDS), WORDS.encode(SENTENCES)
    some = {"epochs": whole(2), "seed": whole(3), "rate": real(0.25)}
    if name == "language model":
        model = LanguageModel(5, 8)
        return train_language_model(
            model, read.ids, rows=whole(4), length=whole(8), negatives=whole(2), **some
        )
    if name == "bilm":
        model = BiLM(5, 8, 1)
        return train_bilm(model, encode_words(SENTENCES, WORDS), tokens=whole(60), negatives=whole(2), **some)
    if name == "word2vec":
        sizes = {"dimensions": whole(4), "window": whole(2), "negatives": whole(2), "threads": whole(1)}
        return train_word2vec(encoded, WORDS.counts, subsample=real(0.5), **sizes, **some).centre.tolist()
    if name == "glove":
        counts = count_cooccurrences(encoded, 3, whole(2))
        return train_glove(counts, dimensions=whole(4), x_max=real(8), **some).centre.tolist()
    source = pretraining.join_sentences([[5, 6, 7]] * 60)
    model = pretraining.BertForPreTraining(9, 8, 1, 2, 32, 0.0)
    batches = pretraining.pair_batches([source], [whole(16)], whole(64), whole(0))
    how = {"rate": real(0.25), "warmup": real(0.5), "decay": real(0.125), "seed": whole(3)}
    return pretraining.pretrain(model, batches, whole(2), **how).tolist()


@pytest.mark.parametrize("name", ["language model", "bilm", "word2vec", "glove", "bert"])
def test_numbers_of_numpy_train_as_pythons_do(name):
    assert train(name, np.int64, np.float32) == train(name, int, float)


def test_nothing_to_learn_is_said():
    with pytest.raises(ValueError, match="epochs=0"):
        train_language_model(LanguageModel(5, 8), encode_sentences(SENTENCES, WORDS).ids, epochs=0)
    with pytest.raises(ValueError, match="learning_rate=nan"):
        train_language_model(LanguageModel(5, 8), encode_sentences(SENTENCES, WORDS).ids, rate=float("nan"))
    with pytest.raises(ValueError, match="tokens=0"):
        train_bilm(BiLM(5, 8, 1), encode_words(SENTENCES, WORDS), tokens=0)
    with pytest.raises(ValueError, match="steps=0"):
        pretraining.pretrain(pretraining.BertForPreTraining(9, 8, 1, 2, 32), [], 0)


def test_who_stops_a_pre_training_finds_the_model_in_eval_mode():
    def stop(*losses):
        raise KeyboardInterrupt

    source = pretraining.join_sentences([[5, 6, 7]] * 60)
    model = pretraining.BertForPreTraining(9, 8, 1, 2, 32)
    with pytest.raises(KeyboardInterrupt):
        pretraining.pretrain(model, pretraining.pair_batches([source], [16], 64), 2, after_step=stop)
    assert not model.training
