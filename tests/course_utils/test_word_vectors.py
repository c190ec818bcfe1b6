"""Word vectors in use: cosines, neighbours, analogies, and the public tests."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.text import WordVectors, score_analogies, score_senses, score_similarities

SQUARE = WordVectors(
    ["man", "woman", "king", "queen", "apple"],
    np.array([[1, 0, 0], [1, 1, 0], [1, 0, 1], [1, 1, 1], [-1, 0.2, 0]], dtype=np.float32),
)


def test_cosines_and_neighbours():
    assert SQUARE.similarity("man", "king") == pytest.approx(1 / np.sqrt(2))
    assert [word for word, _ in SQUARE.neighbours("queen", 2)] == ["woman", "king"]
    assert SQUARE.neighbours(SQUARE["king"], 1) == [("king", pytest.approx(1.0))]
    assert SQUARE.neighbours("king", 1, without=["queen"])[0][0] == "man"


def test_an_analogy_never_answers_with_its_question():
    assert SQUARE.analogy("man", "woman", "king", 1)[0][0] == "queen"
    answers = [word for word, _ in SQUARE.analogy("man", "woman", "king", 10)]
    assert sorted(answers) == ["apple", "queen"]


@pytest.mark.parametrize("use", [
    lambda v: v["pear"], lambda v: v.similarity("man", "pear"), lambda v: v.neighbours("pear"),
    lambda v: v.analogy("man", "pear", "king"),
])  # fmt: skip
def test_a_word_without_a_vector_is_named(use):
    with pytest.raises(KeyError, match="'pear' has no vector"):
        use(SQUARE)


def test_words_and_rows_must_fit_together():
    with pytest.raises(ValueError, match="One row for each word"):
        WordVectors(["a", "b"], np.zeros((3, 2)))
    with pytest.raises(ValueError, match="occurs twice"):
        WordVectors(["a", "a"], np.zeros((2, 2)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0, 1e-30])
def test_vectors_without_a_finite_length_are_refused(value):
    matrix = np.ones((3, 2))
    matrix[1] = value
    with pytest.raises(ValueError, match=r"vector of 'b' is all 0, or not finite"):
        WordVectors(["a", "b", "c"], matrix)
    if not np.isfinite(value):
        matrix[1, 0] = 1
        with pytest.raises(ValueError, match=r"vector of 'b'"):
            WordVectors(["a", "b", "c"], matrix)


def questions(rows):
    return pd.DataFrame(rows, columns=["section", "kind", "a", "b", "c", "d"])


def test_analogies_are_scored_by_section_with_coverage():
    table = score_analogies(SQUARE, questions([
        ("family", "semantic", "man", "woman", "king", "queen"),
        ("family", "semantic", "man", "king", "woman", "apple"),
        ("gram1", "syntactic", "man", "woman", "king", "unheard-of"),
    ]))  # fmt: skip
    assert table.loc["family"].to_dict() == {"kind": "semantic", "asked": 2, "covered": 2, "right": 1}
    assert table.loc["gram1"].to_dict() == {"kind": "syntactic", "asked": 1, "covered": 0, "right": 0}


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(5, 60))
def test_scoring_in_tiles_finds_what_the_analogy_method_finds(seed, words):
    from course_utils.text import word_vectors

    random = np.random.default_rng(seed)
    vectors = WordVectors([f"w{i}" for i in range(words)], random.normal(size=(words, 4)))
    rows = [("s", "semantic", *random.choice(vectors.words, 4, replace=False)) for _ in range(20)]
    expected = sum(vectors.analogy(a, b, c, 1)[0][0] == d for _, _, a, b, c, d in rows)
    import torch

    ids = torch.tensor([[vectors.index[word] for word in row[2:]] for row in rows])
    tiled = word_vectors._nearest_is_right(torch.from_numpy(vectors.unit), ids, rows=7, columns=11)
    assert int(tiled.sum()) == expected == score_analogies(vectors, questions(rows))["right"].sum()


def test_similarities_are_ranked_over_the_covered_pairs():
    pairs = pd.DataFrame(
        {
            "one": ["man", "man", "king", "pear"],
            "other": ["woman", "apple", "queen", "man"],
            "rating": [5, 1, 9, 3],
        }
    )
    found = score_similarities(SQUARE, pairs)
    assert found == {"spearman": pytest.approx(1.0), "covered": 3, "pairs": 4}
    assert np.isnan(score_similarities(SQUARE, pairs.tail(1))["spearman"])


SENSES = pd.DataFrame(
    {"word": ["bat"] * 4 + ["key"] * 2, "sense": ["animal", "animal", "club", "club", "lock", "lock"]}
)


def test_senses_that_lie_together_are_found_and_others_not():
    apart = np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1], [3, 3], [5, 1]])
    assert score_senses(apart, SENSES).to_dict() == {"bat": 1.0, "key": 1.0}
    crossed = apart[[0, 2, 1, 3, 4, 5]]
    assert score_senses(crossed, SENSES).to_dict() == {"bat": 0.0, "key": 1.0}


def test_a_vector_that_is_the_same_everywhere_scores_chance():
    scores = score_senses(np.ones((6, 3)) * 0.3, SENSES)
    assert scores["bat"] == pytest.approx(1 / 3)  # one of the three others has the sense


def test_senses_need_vectors_and_company():
    with pytest.raises(ValueError, match="One vector for each sentence"):
        score_senses(np.ones((3, 2)), SENSES)
    with pytest.raises(ValueError, match="one sentence only"):
        score_senses(np.ones((5, 2)), SENSES.head(5))
