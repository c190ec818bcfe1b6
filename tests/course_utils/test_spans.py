"""From tags to spans, and F1 over them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_utils.results import span_f1
from course_utils.text import spans


@pytest.mark.parametrize(
    ("tags", "names"),
    [
        ("", set()),
        ("O O", set()),
        ("O B-person I-person", {(1, 3, "person")}),  # up to the end of the sentence
        ("B-person I-person O I-person", {(0, 2, "person"), (3, 4, "person")}),
        ("B-person B-person", {(0, 1, "person"), (1, 2, "person")}),
        ("B-person I-group I-group", {(0, 1, "person"), (1, 3, "group")}),
        ("I-person I-person O", {(0, 2, "person")}),  # continues nothing, so it begins a name
        ("O B-creative-work I-creative-work", {(1, 3, "creative-work")}),
        ("B I O B", {(0, 2, ""), (3, 4, "")}),
    ],
)
def test_spans_are_the_names_that_the_tags_mark(tags, names):
    assert spans(tags.split()) == names


NAMES = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.sampled_from(["person", "group"])))


@given(NAMES)
def test_names_come_back_from_their_tags(names):
    """Each name after so many tokens without one, so long, of such a kind."""
    tags, wanted = [], set()
    for before, length, kind in names:
        tags += ["O"] * before + [f"B-{kind}"] + [f"I-{kind}"] * (length - 1)
        wanted.add((len(tags) - length, len(tags), kind))
    assert spans(tags) == wanted
    assert span_f1([tags], [tags]) == (1 if names else 0)


def test_f1_is_that_of_all_names_together_not_the_mean_of_the_sentences():
    truth = [["B-person", "I-person", "O"], ["B-group", "B-group", "O"], ["O"]]
    answers = [["B-person", "I-person", "O"], ["B-group", "O", "B-group"], ["B-group"]]
    # Three names were there, four were given, two of them right: precision 2/4, recall 2/3.
    assert span_f1(truth, answers) == pytest.approx(2 * 2 / (3 + 4))


@pytest.mark.parametrize("answer", ["B-person O", "B-group I-group", "I-person O", "O B-person", "O O"])
def test_half_a_name_or_another_kind_is_no_name(answer):
    assert span_f1([["B-person", "I-person"]], [answer.split()]) == 0


def test_f1_refuses_what_does_not_fit_together():
    with pytest.raises(ValueError, match="2 tokens, 1 tags"):
        span_f1([["O", "O"]], [["O"]])
    with pytest.raises(ValueError):
        span_f1([["O"]], [])
