"""The quizzes: every choice is explained, in the widget, as text and on a page; a file written wrongly is refused by its line."""

import html

import pytest

from course_utils.exercises import progress, quiz

QUIZZES = sorted(path.stem for path in quiz.FOLDER.glob("*.md"))


@pytest.fixture(params=QUIZZES)
def lecture(request):
    return request.param


@pytest.fixture
def asked(lecture):
    return quiz.questions(lecture)


def test_every_choice_is_explained_and_the_answer_is_no_pattern(lecture, asked):
    least = {"00": 4, "10": 6}.get(lecture, 7)
    assert len(asked) >= least, f"quiz/{lecture}.md has {len(asked)} questions; write {least} or more"
    places = [[choice.right for choice in question.choices].index(True) for question in asked]
    assert {0, 1, 2} <= set(places), "let the right choice stand first, second and third at least once each"
    explanations = [choice.why for question in asked for choice in question.choices]
    assert len(set(explanations)) == len(explanations), "two choices have the same explanation"
    assert "TODO" not in str(asked), f"quiz/{lecture}.md still says TODO"
    assert len({question.key for question in asked}) == len(asked)
    lengths = [[len(choice.text) for choice in question.choices] for question in asked]
    for extreme in (max, min):
        given_away = sum(
            of_one[place] == extreme(of_one) for of_one, place in zip(lengths, places, strict=True)
        )
        assert given_away <= len(asked) / 2, (
            f"the {extreme.__name__}imal length often gives the right answer away"
        )


def test_there_is_a_quiz_for_every_lecture_with_exercises():
    assert progress.lectures_with_exercises() == QUIZZES


GOOD = """\
## Which way is up?

- [ ] Down
  Down is where things fall to, and it lies
  on the other side.
- [x] `Up`

  Up is up: that is [what](the) word means & always has.

## And down?
- [X] Down
  Down is down: that is what the word means.
- [ ] Up
    Up is on the other side, as the question before says.
"""


def test_a_file_is_read_as_it_is_written(tmp_path, monkeypatch):
    (tmp_path / "20.md").write_text(GOOD, encoding="utf-8")
    monkeypatch.setattr(quiz, "FOLDER", tmp_path)
    assert quiz.questions("20") == [
        quiz.Question(
            "Which way is up?",
            [
                quiz.Choice("Down", False, "Down is where things fall to, and it lies on the other side."),
                quiz.Choice("`Up`", True, "Up is up: that is [what](the) word means & always has."),
            ],
        ),
        quiz.Question(
            "And down?",
            [
                quiz.Choice("Down", True, "Down is down: that is what the word means."),
                quiz.Choice("Up", False, "Up is on the other side, as the question before says."),
            ],
        ),
    ]


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        (GOOD, "", 1, "there is no question"),
        (GOOD, "\n \n", 1, "there is no question"),
        ("[X] Down", "[ ] Down", 10, "exactly one of them right"),
        ("[ ] Down", "[x] Down", 1, "exactly one of them right"),
        (GOOD[GOOD.index("- [ ] Up") :], "", 10, "two or more choices"),
        ("`Up`", "Down", 1, "has the same choice twice"),
        ("  Down is down: that is what the word means.\n", "", 11, "explain “Down”"),
        ("Down is down: that is what the word means.", "It is.", 11, "explain “Down”"),
        ("  on the other", "on the other", 5, "“on the other side.” is neither “## question”"),
        ("## And down?", "### And down?", 10, "“### And down?” is neither “## question”"),
        ("## And down?", "# And down?", 10, "“# And down?” is neither “## question”"),
        ("## And down?", "##", 10, "“##” is neither “## question”"),
        ("## Which way is up?", "- [x] Up", 1, "“- [x] Up” is neither"),
        ("\n\n- [ ] Down", "\n  or down\n- [ ] Down", 2, "“or down” is neither"),
        ("- [x] `Up`", "- [y] `Up`", 6, "is neither “## question”, nor a choice of one"),
        ("- [x] `Up`", "* [x] `Up`", 6, "nor a choice of one"),
        ("- [x] `Up`", "  - [x] `Up`", 6, "nor a choice of one"),
        ("## And down?", "  ## And down?", 10, "is neither “## question”"),
        ("- [x] `Up`", "- [x]", 6, "nor a choice of one"),
    ],
)  # fmt: skip
def test_a_file_written_wrongly_is_refused_by_its_line(tmp_path, monkeypatch, old, new, line, message):
    assert GOOD.count(old) == 1
    (tmp_path / "20.md").write_text(GOOD.replace(old, new), encoding="utf-8")
    monkeypatch.setattr(quiz, "FOLDER", tmp_path)
    with pytest.raises(ValueError) as refusal:
        quiz.questions("20")
    assert str(refusal.value).startswith(f"20.md, line {line}: ") and message in str(refusal.value)


def test_the_quiz_widget_explains_each_choice_and_counts(lecture, asked):
    _, *boxes, score = quiz.quiz_panel(asked, lecture).children
    for number, (box, question) in enumerate(zip(boxes, asked, strict=True), start=1):
        heading, radio, button, explanation = box.children
        assert radio.index is None and explanation.value == "" and str(number) in heading.value
        button.click()
        assert "Choose an answer first" in explanation.value
        for place, choice in sorted(enumerate(question.choices), key=lambda item: item[1].right):
            radio.index = place
            assert explanation.value == ""  # nothing of another choice is left standing
            button.click()
            assert ("✓" if choice.right else "✗") in explanation.value
            assert choice.why[:20].split("“")[0] in explanation.value.replace("&#x27;", "'")
        assert f"{number} of {len(asked)}" in score.value


def test_the_quiz_without_widgets(lecture, asked, monkeypatch, capsys):
    sent = []
    monkeypatch.setattr("IPython.display.display", lambda data, **options: sent.append(data))
    quiz.quiz(lecture)
    text = sent[0]["text/plain"]
    for number, question in enumerate(asked, start=1):
        assert f"{number}. {question.text}" in text
        for letter, choice in zip("abcdefgh", question.choices, strict=False):
            assert f"{letter}) {choice.text}" in text and choice.why not in text
            quiz.answer(lecture, number, letter)
            printed = capsys.readouterr().out
            assert printed.startswith("✓" if choice.right else "✗") and choice.why in printed
    assert f'answer("{lecture}", 1, "a")' in text


def test_the_quiz_on_a_page_unfolds_to_every_explanation(asked):
    page = quiz.quiz_markup(asked)
    choices = [choice for question in asked for choice in question.choices]
    assert page.count("<details>") == len(choices) and "<script" not in page
    for choice in choices:
        sign = "✓" if choice.right else "✗"
        unfolded = page.split(f"<summary>{html.escape(choice.text)}</summary>")[1].split("</details>")[0]
        assert sign in unfolded and html.escape(choice.why) in unfolded


def test_the_quiz_answers_wrong_requests():
    with pytest.raises(ValueError, match="no quiz"):
        quiz.quiz("99")
    with pytest.raises(ValueError, match="questions 1 to"):
        quiz.answer("10", 0, "a")
    with pytest.raises(ValueError, match="choices a, b, c"):
        quiz.answer("10", 1, "z")
