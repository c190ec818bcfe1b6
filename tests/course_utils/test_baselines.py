import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError

from course_utils.baselines import counted, opponents
from course_utils.datasets import load_sms
from course_utils.text import split_tokens

TEXTS = ["call 08001111 now", "win 500 now", "are you home", "home by ten"]
LABELS = [1, 1, 0, 0]


def fold(text):
    return split_tokens(text, fold=True)


def test_counts_read_the_tokens_that_they_are_given():
    words = opponents(fold)
    names = ["the commonest class", "naive Bayes", "words"]
    seen = [set(words[name].fit(TEXTS, LABELS)[0].get_feature_names_out()) for name in names]
    assert all(tokens == {token for text in TEXTS for token in fold(text)} for tokens in seen)
    assert "00000000" in seen[0] and "08001111" not in seen[0]


def test_capitals_stay_where_the_tokens_keep_them():
    for name, opponent in opponents(split_tokens).items():
        features = opponent.fit(["FREE now", "free later"], [1, 0])[0].get_feature_names_out()
        assert any("F" in feature for feature in features), name


def test_characters_are_those_of_the_tokens():
    grams = opponents(fold)["characters"].fit(TEXTS, LABELS)[0].get_feature_names_out()
    assert "00000" in grams and not any(digit in gram for gram in grams for digit in "123456789")
    assert {len(gram) for gram in grams} == {2, 3, 4, 5}


def test_a_rare_class_counts_as_much_as_a_frequent_one():
    texts, labels = ["win"] * 2 + ["win"] * 8, [1] * 2 + [0] * 8  # the same text: only the weights decide
    chances = opponents(fold)["words"].fit(texts, labels).predict_proba(["win"])
    np.testing.assert_allclose(chances, [[0.5, 0.5]], atol=1e-6)


def test_the_commonest_class_never_reads():
    verdict = opponents(fold)["the commonest class"].fit(["a b", "c", "d"], [1, 1, 0]).predict(["d", "x"])
    assert verdict.tolist() == [1, 1]


@pytest.mark.parametrize("kind", [list, np.array, pd.Series])
def test_texts_come_as_a_list_an_array_or_a_column(kind):
    for opponent in opponents(fold).values():
        assert opponent.fit(kind(TEXTS), kind(LABELS)).predict(kind(["now 600", ""])).shape == (2,)


def test_weights_are_counted():
    words, tokens = opponents(fold), len({token for text in TEXTS for token in fold(text)})
    sizes = {name: counted(words[name].fit(TEXTS, LABELS)) for name in ("naive Bayes", "words")}
    assert sizes == {"naive Bayes": 2 * tokens, "words": tokens}
    assert counted(words["the commonest class"].fit(TEXTS, LABELS)) == 0
    with pytest.raises(NotFittedError):
        counted(opponents(fold)["words"])


def test_they_find_spam():
    messages = load_sms(split="clean", profile="ci")
    train, test = (messages[messages.split == part] for part in ("train", "test"))
    right = {
        name: (opponent.fit(train.text, train.label).predict(test.text) == test.label).mean()
        for name, opponent in opponents(fold).items()
    }
    assert (
        min(right[name] for name in ("naive Bayes", "words", "characters"))
        > 0.9
        > right["the commonest class"]
    )
