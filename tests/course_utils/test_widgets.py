"""The widgets, driven without a browser: what a user does, and what he reads then."""

import asyncio
import io
import re

import ipywidgets as ipw
import numpy as np
import pytest
from PIL import Image

from course_utils import plotting, widgets
from course_utils.text import WordVectors
from course_utils.training.answers import Answer
from course_utils.widgets import base

LABELS = [0, 0, 0, 1, 1]
SCORES = [0.1, 0.3, 0.6, 0.4, 0.9]


def plain(markup: str) -> str:
    return re.sub(r"<[^>]+>", " ", markup)


@pytest.fixture
def displayed(monkeypatch):
    sent = []
    monkeypatch.setattr("IPython.display.display", lambda data, **options: sent.append((data, options)))
    return sent


def test_the_threshold_slider_redraws_text_and_picture(panels):
    widgets.threshold_explorer(LABELS, SCORES)
    slider, text, picture = panels[0].children
    assert isinstance(slider, ipw.FloatSlider) and slider.description == "threshold"
    assert "1 of 3 ham wrongly blocked" in re.sub(r"\s+", " ", plain(text.value))
    assert picture.layout.display == "none"  # the figure above shows this threshold
    pictures = []
    for threshold, ham, spam in ((0.35, 1, 0), (0.7, 0, 1), (0.35, 1, 0)):
        slider.value = threshold
        said = re.sub(r"\s+", " ", plain(text.value))
        assert f"{ham} of 3 ham wrongly blocked, {spam} of 2 spam missed" in said
        assert f"threshold {threshold:.2f}" in said
        assert picture.layout.display == "block" and bytes(picture.value).startswith(b"\x89PNG")
        pictures.append(bytes(picture.value))
    assert pictures[0] != pictures[1] and pictures[0] == pictures[2]


@pytest.fixture
def drawn(monkeypatch):
    """The thresholds for which a figure has been drawn."""
    thresholds = []
    original = plotting.threshold_figure

    def watch(labels, scores, threshold, **options):
        thresholds.append(threshold)
        return original(labels, scores, threshold, **options)

    monkeypatch.setattr(plotting, "threshold_figure", watch)
    return thresholds


def test_the_picture_shows_the_threshold_of_the_slider(drawn, panels):
    widgets.threshold_explorer(LABELS, SCORES)
    slider, *_ = panels[0].children
    slider.value = 0.8
    assert drawn == [0.5, 0.8]


def test_a_key_held_down_draws_one_figure_and_words_and_figure_agree(drawn, panels):
    widgets.threshold_explorer(LABELS, SCORES)
    slider, text, picture = panels[0].children

    async def hold():
        for step in range(1, 21):
            slider.value = 0.5 + step / 100
            await asyncio.sleep(0)
        assert drawn == [0.5] and "0.50" in text.value and picture.layout.display == "none"
        await asyncio.sleep(5 * widgets.PAUSE)

    asyncio.run(hold())
    assert drawn == [0.5, 0.7] and "0.70" in text.value and picture.layout.display == "block"


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_the_ends_of_the_slider_are_answered_in_words(panels, threshold):
    widgets.threshold_explorer(LABELS, SCORES)
    slider, text, _ = panels[0].children
    slider.value = threshold
    assert ("undefined (nothing is blocked)" in text.value) == (threshold == 1.0)
    assert "nan" not in text.value


def test_labels_without_spam_are_answered_in_words():
    assert "there is no spam" in widgets.threshold_text(np.zeros(3), np.full(3, 0.2), 0.5)


@pytest.mark.parametrize(
    ("labels", "scores"),
    [([0, 1], [0.5]), ([], []), ([0, 2], [0.1, 0.2]), ([0, 1], [0.1, -3.0]), ([0, 1], [0.1, np.nan])],
)
def test_data_that_do_not_fit_are_refused(labels, scores):
    with pytest.raises(ValueError):
        widgets.threshold_explorer(labels, scores)


def test_the_threshold_figure_comes_before_the_widget(displayed):
    assert widgets.threshold_explorer(LABELS, SCORES, 0.5, real=False) is None
    (figure, options), (widget, _) = displayed
    assert "0.50" in options["metadata"]["image/png"]["alt"] and "image/png" in figure
    assert "application/vnd.jupyter.widget-view+json" in widget
    assert widget["text/plain"].startswith("Run this cell in a notebook")
    assert "VBox" not in widget["text/plain"]


def ask(panel, text):
    entry, button, answer = panel.children
    entry.value = text
    button.click()
    return plain(answer.value)


def test_a_message_gets_its_verdict():
    panel = widgets.message_panel(lambda text: 0.9 if "win" in text else 0.1)
    assert "spam : spam probability 0.900" in ask(panel, "win a prize")
    assert "ham : spam probability 0.100" in ask(panel, "  see you\n at five ")


@pytest.mark.parametrize(
    ("text", "answer"),
    [("", "fill in: message"), (" \n ", "fill in: message"), ("a" * 5000, "this has 5,000")],
)
def test_empty_and_long_messages_are_answered_without_the_model(text, answer):
    def never(_):
        raise AssertionError("the model was asked")

    assert answer in ask(widgets.message_panel(never), text)


def test_a_model_that_fails_is_answered_in_the_widget():
    def broken(_):
        raise RuntimeError("no <encoder> loaded")

    assert "no &lt;encoder&gt; loaded. Run the cells above again" in ask(
        widgets.message_panel(broken), "hello"
    )
    assert "no probability" in ask(widgets.message_panel(lambda _: float("nan")), "hello")
    assert "no probability" in ask(widgets.message_panel(lambda _: -2.3), "hello")


def test_what_is_typed_is_never_run_as_markup():
    panel = widgets.message_panel(lambda _: 0.2)
    entry, button, answer = panel.children
    entry.value = "<script>alert(1)</script>"
    button.click()
    assert "<script>" not in answer.value and "&lt;script&gt;" in answer.value


def test_a_verdict_does_not_stay_beside_another_text():
    panel = widgets.message_panel(lambda _: 0.2)
    ask(panel, "hello")
    entry, _, answer = panel.children
    entry.value = "hello there"
    assert answer.value == ""


def test_what_a_model_prints_stands_below_its_verdict(capsys):
    panel = widgets.message_panel(lambda text: print("<read>", text) or 0.2)
    assert ask(panel, "hello").strip().endswith("&lt;read&gt; hello")
    assert capsys.readouterr().out == ""


def test_the_message_box_shows_examples_first(displayed):
    widgets.message_box(lambda text: 0.8 if "won" in text else 0.2)
    (_, options), (widget, _) = displayed
    alt = options["metadata"]["image/png"]["alt"]
    assert all(example in alt for example in widgets.EXAMPLES) and "spam" in alt
    assert widget["text/plain"].startswith("Run this cell")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Words in, words out", "4 words, 15 letters, 3 different"),
        ("I", "1 word, 1 letter, 1 different"),
        ("don't", "1 word, 4 letters"),
        ("Süße 日本", "2 words, 6 letters"),
        ("", "No words yet"),
        ("?!", "No words yet"),
    ],
)
def test_first_contact_counts(panels, text, answer):
    widgets.first_contact()
    entry, said = panels[0].children
    entry.value = text
    assert answer in plain(said.value)
    assert answer in widgets.describe(text)


def test_first_contact_says_the_same_without_widgets(displayed):
    widgets.first_contact()
    ((widget, options),) = displayed
    assert "4 words" in widget["text/plain"] and options["raw"] is True


def test_signs_say_right_and_wrong_without_colour():
    assert "✓" in widgets.note("x", good=True) and "✗" in widgets.note("x", good=False)
    assert "✓" not in widgets.note("x") and 'role="status"' in widgets.note("x")


VECTORS = WordVectors(["a", "b", "c", "d<"], np.array([[1, 0], [1, 0.2], [0, 1], [0.3, 1]], dtype=np.float32))


def test_a_word_is_asked_for_answered_and_forgotten_when_another_is_typed():
    entry, button, shown = widgets.ask_panel(
        {"word": "c"}, lambda w: widgets.note(widgets.explorers._ranking(VECTORS.neighbours(w, 1))), "Ask"
    ).children
    button.click()
    assert "d&lt;" in shown.value
    entry.value = "pear"
    assert shown.value == ""
    button.click()
    assert "has no vector" in shown.value and "\u2717" in shown.value
    entry.value = "  "
    button.click()
    assert "Please fill in: word" in shown.value


def test_explorers_say_their_first_answer_where_no_widget_runs(displayed):
    widgets.neighbours_explorer(VECTORS, "a", count=2)
    widgets.analogy_explorer(VECTORS, ("a", "b", "c"))
    said = [data["text/plain"] for data, _ in displayed]
    assert "Nearest to a: b, d<." in said[0] and said[1].endswith("a is to b as c is to: d<.")


def test_sentences_and_words_are_offered_where_no_widget_runs(displayed):
    widgets.sentence_explorer(lambda asked: [(f"near {asked} <", 0.91), ("far", 0.2)], "Hallo?")
    widgets.next_word_explorer(lambda text: ["bir", "ve"], "evde ")
    said = [data["text/plain"] for data, _ in displayed]
    assert said[0].endswith("Nearest to Hallo? near Hallo? < | far") and said[1].endswith(
        "After 'evde ': bir, ve."
    )


def test_the_nearest_sentences_are_asked_for(panels):
    widgets.sentence_explorer(lambda asked: [(f"near {asked} <", 0.91), ("far", 0.2)], "Hallo?")
    entry, button, shown = panels[0].children
    entry.value = "Merhaba"
    button.click()
    assert "0.91 &nbsp; near Merhaba &lt;" in shown.value


def test_a_keyboard_offers_words_and_counts_what_they_would_have_saved(panels):
    words = {"": ["bir", "ve"], "e": ["ev"], "ev": ["evde"], "bir e": ["evde", "<b>"]}
    widgets.next_word_explorer(lambda text: words.get(text, []), "")
    entry, shown = panels[0].children
    entry.value = (
        "bir e"  # bir was offered at once: its three letters would have been one key, as its space is
    )
    assert "keys: 5, of which 3" in shown.value and "&lt;b&gt;" in shown.value
    entry.value = "bir evde "
    assert "keys: 9, of which 6" in shown.value and "nothing" in shown.value
    entry.value = "x" * 2000
    assert "keep it under" in shown.value


def test_training_on_adds_a_line_a_click(panels):
    seen = []
    widgets.training_explorer(seen.append, lambda: f"{sum(seen)} epochs <")
    slider, button, shown = panels[0].children
    assert "before: 0 epochs &lt;" in shown.value
    slider.value = 3
    button.click()
    button.click()
    assert seen == [3, 3] and not button.disabled
    assert plain(shown.value).split() == [
        "6",
        "more:",
        "6",
        "epochs",
        "&lt;",
        "3",
        "more:",
        "3",
        "epochs",
        "&lt;",
        "before:",
        "0",
        "epochs",
        "&lt;",
    ]


def test_the_button_is_free_again_after_a_training_that_failed(panels):
    def fail(_):
        raise RuntimeError("no memory")

    widgets.training_explorer(fail, lambda: "nothing")
    _, button, shown = panels[0].children
    button.click()
    assert not button.disabled
    assert "RuntimeError: no memory" in shown.value and "before: nothing" in shown.value


def test_an_answer_that_fails_is_told_in_the_widget_and_nothing_stale_is_left():
    def answer(word):
        if word == "boom":
            raise RuntimeError("no <model>")
        return widgets.note("fine")

    entry, button, shown = widgets.ask_panel({"word": "x"}, answer, "Ask").children
    button.click()
    assert "fine" in shown.value
    entry.value = "boom"
    button.click()
    assert "RuntimeError: no &lt;model&gt;" in shown.value and "fine" not in shown.value
    entry.value = "a" * 5000
    button.click()
    assert "this has 5,000" in shown.value


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyError("no vector for pear"), "✗ no vector for pear"),
        (
            FileNotFoundError(2, "No such file", "x"),
            "✗ FileNotFoundError: [Errno 2] No such file: &#x27;x&#x27;",
        ),
        (RuntimeError(), "✗ RuntimeError: "),
    ],
)
def test_errors_are_told_in_full(error, said):
    assert said in widgets.trouble(error)


def test_a_sentence_that_cannot_be_read_leaves_no_old_picture(panels):
    def look(sentence):
        if "boom" in sentence:
            raise RuntimeError("no memory")
        return looked_at(sentence)

    widgets.attention_explorer(look, "dogs bark")
    entry, _, _, text, picture = panels[0].children
    entry.value = "boom"
    assert "RuntimeError: no memory" in text.value and not bytes(picture.value)
    entry.value = "x" * 5000
    assert "this has 5,000" in text.value and not bytes(picture.value)
    entry.value = "dogs bark"
    assert bytes(picture.value)


@pytest.mark.parametrize("profile", ["ci", "laptop"])
def test_a_live_curve_is_drawn_only_where_somebody_watches(displayed, monkeypatch, profile):
    monkeypatch.setenv("COURSE_PROFILE", profile)
    add = widgets.live_curve("The loss while training", "epoch", "loss")
    add(3.0)
    add(2.0)
    assert len(displayed) == (profile != "ci")


@pytest.fixture(scope="module")
def bert():
    from tokenizers import Tokenizer

    from course_utils.assets import resolve

    tokenizer = Tokenizer.from_file(str(resolve("minilm", profile="ci").path("tokenizer.json")))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def test_pieces_are_shown_with_ids_and_characters_while_one_types(bert, panels):
    widgets.pieces_explorer(bert, "a tutorial")
    entry, shown = panels[0].children
    assert re.findall(r"<b>([^<]+)</b><br>(\d+)", shown.value) == [
        ("[CLS]", "101"), ("a", "1037"), ("tutor", "14924"), ("##ial", "4818"), ("[SEP]", "102"),
    ]  # fmt: skip
    said = plain(shown.value)
    assert "10 characters, 2 words, 3 pieces" in said
    assert "2–7 “tutor”" in said and "7–10 “ial”" in said and said.count("no text") == 2
    entry.value = "hi 🙂"
    said = plain(shown.value)
    assert "4 characters, 2 words, 2 pieces, 1 of them [UNK]" in said and "3–4 “🙂”" in said
    assert "tutor" not in said


def test_the_kinds_of_pieces_differ_in_more_than_colour(bert):
    shown = widgets.pieces_markup(bert, "tutorial 🙂")
    boxes = {re.search(r"<b>([^<]+)</b>", box)[1]: box for box in shown.split("<span")[1:]}
    colours = {name: re.search(r"background:(#\w+)", box)[1] for name, box in boxes.items()}
    assert len({colours[name] for name in ("[CLS]", "tutor", "##ial", "[UNK]")}) == 4
    assert [name for name, box in boxes.items() if "dashed" in box] == ["[UNK]"]


@pytest.mark.parametrize(
    ("text", "answer"), [("", "type a text"), (" \n ", "type a text"), ("a" * 5000, "this has 5,000")]
)
def test_empty_and_long_texts_are_answered_in_words(bert, text, answer):
    shown = widgets.pieces_markup(bert, text)
    assert answer in shown and "<span" not in shown


def test_text_typed_for_the_tokenizer_is_never_run_as_markup(bert):
    shown = widgets.pieces_markup(bert, "<script>alert(1)</script>")
    assert "<script>" not in shown and "<b>&lt;</b>" in shown


def test_the_pieces_come_as_a_figure_first(bert, displayed):
    widgets.pieces_explorer(bert, "a tutorial")
    (_, options), (widget, _) = displayed
    assert "[CLS] a tutor ##ial [SEP]" in options["metadata"]["image/png"]["alt"]
    assert widget["text/plain"].endswith("So far: [CLS] a tutor ##ial [SEP]")


def looked_at(sentence):
    """Words as tokens; head 2 of layer 2 looks at the first word, all others at themselves."""
    tokens = ["[CLS]", *sentence.split(), "[SEP]"]
    maps = np.tile(np.eye(len(tokens)), (2, 3, 1, 1))
    maps[1, 1] = 0
    maps[1, 1, :, 1] = 1
    return tokens, maps


def test_the_attention_explorer_follows_sliders_and_sentence(panels):
    widgets.attention_explorer(looked_at, "dogs bark")
    entry, layer, head, text, picture = panels[0].children
    assert (layer.max, head.max) == (2, 3) and "dogs looks at dogs" in plain(text.value)
    first = bytes(picture.value)
    layer.value, head.value = 2, 2
    assert "bark looks at dogs" in plain(text.value) and bytes(picture.value) != first
    entry.value = "cats <b> purr"
    assert "looks at cats" in plain(text.value) and "<b> looks" not in text.value
    entry.value = "   "
    assert "type a sentence" in plain(text.value) and not bytes(picture.value)
    assert picture.layout.display == "none"  # no broken picture in its place
    entry.value = "word " * 60
    assert "62 tokens are too many" in plain(text.value) and not bytes(picture.value)
    entry.value = "dogs bark"
    assert "bark looks at dogs" in plain(text.value) and bytes(picture.value).startswith(b"\x89PNG")


def test_a_sentence_is_read_once_whatever_the_sliders_do(panels):
    read = []

    def look(sentence):
        read.append(sentence)
        return looked_at(sentence)

    widgets.attention_explorer(look, "dogs bark")
    _, layer, head, *_ = panels[0].children
    layer.value, head.value = 2, 3
    assert read == ["dogs bark"]


def test_the_attention_explorer_says_in_words_what_it_starts_with(displayed):
    widgets.attention_explorer(looked_at, "dogs bark", layer=2, head=2)
    said = displayed[-1][0]["text/plain"]
    assert "Layer 2, head 2" in said and "bark looks at dogs" in said


def test_blanks_are_listed_with_their_probabilities():
    one = widgets.blanks_markup([[("house", 0.5), ("<b>", 0.25)]])
    assert "0.50" in one and "house" in one and "&lt;b&gt;" in one and "blank" not in one
    two = widgets.blanks_markup([[("a", 0.5)], [("b", 0.5)]])
    assert "blank 1" in two and "blank 2" in two


# --- what they say and draw is what was asked


@pytest.fixture
def figures(monkeypatch):
    """Every figure that a widget draws, by the function that draws it: its arguments and itself."""
    drawn = []

    def watch(name):
        draw = getattr(plotting, name)

        def drawing(*arguments, **options):
            figure = draw(*arguments, **options)
            drawn.append((name, arguments, figure))
            return figure

        return drawing

    for name in ("threshold_figure", "verdicts", "heatmap", "lines"):
        monkeypatch.setattr(plotting, name, watch(name))
    return drawn


@pytest.fixture
def panels(monkeypatch, displayed):
    """The widgets that an explorer puts into the notebook."""
    put = []
    for module in (widgets.messages, widgets.explorers):
        monkeypatch.setattr(module, "show_widget", lambda panel, otherwise: put.append(panel))
    return put


def corner(figure):
    return figure.get_supxlabel()


@pytest.mark.parametrize(
    ("threshold", "words"),
    [
        (0.25, "precision 0.500 , recall 1.000 2 of 4 ham wrongly blocked, 0 of 2 spam missed"),
        (0.65, "precision 0.000 , recall 0.000 1 of 4 ham wrongly blocked, 2 of 2 spam missed"),
        (0.60, "precision 0.500 , recall 0.500 1 of 4 ham wrongly blocked, 1 of 2 spam missed"),  # a score lies on it
        (0.15, "precision 0.400 , recall 1.000 3 of 4 ham wrongly blocked, 0 of 2 spam missed"),
    ],
)  # fmt: skip
def test_the_words_at_a_threshold(threshold, words):
    labels, scores = np.array([0, 0, 0, 0, 1, 1]), np.array([0.1, 0.2, 0.4, 0.7, 0.6, 0.3])
    said = re.sub(r"\s+", " ", plain(widgets.threshold_text(labels, scores, threshold)))
    assert said.strip() == f"threshold {threshold:.2f} : {words}"


@pytest.mark.parametrize("real", [True, False])
def test_the_threshold_figures_say_where_the_data_come_from(figures, panels, real):
    widgets.threshold_explorer(LABELS, SCORES, 0.5, real=real)
    panels[0].children[0].value = 0.7
    assert [arguments[2] for _, arguments, _ in figures] == [0.5, 0.7]
    assert [corner(figure) == plotting.STANDIN for *_, figure in figures] == [not real] * 2


def test_the_message_box_keeps_to_its_threshold(figures, panels, displayed):
    chances = {"one": 0.2, "two": 0.3, "three": 0.6}
    widgets.message_box(chances.get, list(chances), threshold=0.3, real=False)
    alt = displayed[0][1]["metadata"]["image/png"]["alt"]
    assert "“one”: ham; “two”: spam; “three”: spam" in alt
    ((_, _, figure),) = figures
    assert corner(figure) == plotting.STANDIN and set(figure.axes[0].lines[0].get_xdata()) == {0.3}
    assert figure.get_suptitle() == "The model calls 2 of these 3 messages spam"
    assert [ask(panels[0], text).split()[0] for text in chances] == ["ham", "spam", "spam"]
    assert "threshold 0.30" in ask(panels[0], "two")


def test_attention_is_drawn_for_the_chosen_layer_and_head_with_who_looks_as_rows(figures, panels):
    tokens = ["[CLS]", "dogs", "bark", "[SEP]"]
    maps = np.random.default_rng(0).dirichlet(np.ones(4), (3, 2, 4))
    widgets.attention_explorer(lambda sentence: (tokens, maps), "dogs bark", layer=1, head=2)
    _, layer, head, *_ = panels[0].children
    assert (layer.max, head.max) == (3, 2)
    layer.value = 3
    for (name, (frame, title, *_), _), at in zip(figures, ((0, 1), (2, 1)), strict=True):
        assert name == "heatmap" and list(frame.index) == list(frame.columns) == tokens
        assert np.array_equal(frame, maps[at])
        assert title.startswith(f"Layer {at[0] + 1}, head {at[1] + 1}: who looks (rows)")


def test_the_strongest_looks_come_first_and_say_who_looks():
    weights = np.array([[0, 1, 1, 1], [0, 0.1, 0.9, 0], [0, 0.5, 0.2, 0], [0, 1, 1, 1.0]])
    said = widgets.explorers.strongest_looks(["[CLS]", "dogs", "bark", "[SEP]"], weights)
    assert said == "dogs looks at bark, bark looks at dogs, bark looks at bark"


def test_explorers_answer_what_is_typed(panels):
    widgets.neighbours_explorer(VECTORS, "a", count=2)
    entry, button, shown = panels[0].children
    entry.value = "C"  # the vectors know words in lower case
    button.click()
    near = VECTORS.neighbours("c", 2)
    assert plain(shown.value).replace("&nbsp;", "").split() == [
        part for word, score in near for part in (f"{score:.2f}", word.replace("<", "&lt;"))
    ]
    widgets.analogy_explorer(VECTORS, ("a", "b", "c"))
    *entries, button, shown = panels[1].children
    assert [(entry.description, entry.value) for entry in entries] == [
        ("a", "a"),
        ("is to b", "b"),
        ("as c", "c"),
    ]
    for entry, word in zip(entries, ("B", "C", "A"), strict=True):
        entry.value = word
    button.click()
    ((word, score),) = VECTORS.analogy("b", "c", "a", count=1)
    assert f"{score:.2f} &nbsp; {word.replace('<', '&lt;')}" in shown.value
    widgets.blank_explorer(lambda text: [[(text.upper(), 0.5)]], "a [MASK]")
    entry, button, shown = panels[2].children
    entry.value = "b [MASK]"
    button.click()
    assert "0.50 &nbsp; B [MASK]" in shown.value


def test_fields_are_answered_in_their_order():
    _, two, button, shown = widgets.ask_panel(
        {"one": "1", "two": "2"}, lambda a, b: f"{a} then {b}", "Ask"
    ).children
    button.click()
    assert plain(shown.value).strip() == "1 then 2"
    two.value = "3"
    assert shown.value == ""


def test_a_live_curve_holds_the_values_in_their_order(figures, panels, monkeypatch):
    monkeypatch.setenv("COURSE_PROFILE", "laptop")
    add = widgets.live_curve("The loss while training", "epoch", "loss")
    add(3.0)
    add(2.5)
    _, (frame, title, *labels), _ = figures[-1]
    assert list(frame.index) == [1, 2] and list(frame["loss"]) == [3.0, 2.5]
    assert (title, labels) == ("The loss while training", ["epoch", "loss"])
    assert bytes(panels[0].value).startswith(b"\x89PNG") and len(figures) == 2


def test_a_word_in_capitals_is_no_other_word():
    assert widgets.describe("The cat and the other cat").startswith("6 words, 20 letters, 4 different")


def test_a_picture_that_somebody_waits_for_has_no_more_pixels_than_it_is_shown_with():
    picture, figure = ipw.Image(), plotting.confusion([[8, 1], [2, 9]])
    base.put_picture(picture, figure)
    twice = plotting.shown_size(plotting.png(figure))
    once = Image.open(io.BytesIO(picture.value)).size
    assert np.allclose(once, [twice["width"], twice["height"]], atol=2)
    base.put_picture(picture, None)
    assert picture.layout.display == "none" and not picture.value


OWNER = "Mills\n  &  <b>water</b>: Anna’s."


def found(question, text):
    """An answer by rule: the word that the question names, if the text has it."""
    if question == "crash":
        raise ValueError("no <model> yet")
    start = text.find(question)
    return Answer(*((question, start, start + len(question)) if start >= 0 else ("", 0, 0)), 1.5, 0.834)


def test_an_answer_is_marked_in_its_text(panels):
    widgets.answer_explorer(found, OWNER, "Anna")
    text, question, button, shown = panels[0].children
    assert (text.value, question.value, question.rows) == (OWNER, "Anna", 1) and text.rows > 1
    button.click()
    assert "“Anna” (probability 0.83)." in shown.value
    before, mark, after = re.split(r"(<mark[^>]*>[^<]*</mark>)", shown.value)
    assert mark.endswith(">Anna</mark>") and after.startswith("’s.")
    # As it was typed, line breaks and spaces too, and nothing of it run as markup.
    assert before.endswith("Mills\n  &amp;  &lt;b&gt;water&lt;/b&gt;: ") and "white-space:pre-wrap" in before
    question.value = "<b>"
    assert shown.value == ""
    button.click()
    assert "“&lt;b&gt;” (probability" in shown.value and ">&lt;b&gt;</mark>water" in shown.value
    assert "<b>" not in shown.value


def test_a_text_that_does_not_answer_is_shown_without_a_mark(panels):
    widgets.answer_explorer(found, OWNER, "Bert")
    *_, button, shown = panels[0].children
    button.click()
    assert "The text does not answer that (probability 0.83)." in shown.value
    assert "<mark" not in shown.value and "Anna’s." in shown.value


@pytest.mark.parametrize(
    ("text", "question", "said"),
    [
        ("  ", "Anna", "fill in: text"),
        ("Anna", "", "fill in: question"),
        ("a" * 100_000, "Anna", "keep it under 1,000 characters: this has 100,000"),
        ("Anna", "crash", "no &lt;model&gt; yet"),
    ],
)
def test_what_cannot_be_asked_is_answered_in_words(panels, text, question, said):
    widgets.answer_explorer(found, OWNER, "Anna")
    *entries, button, shown = panels[0].children
    for entry, value in zip(entries, (text, question), strict=True):
        entry.value = value
    button.click()
    assert said in shown.value and "<mark" not in shown.value


def test_the_first_answer_is_told_where_no_widget_runs(displayed):
    widgets.answer_explorer(found, OWNER, "Anna")
    ((data, _),) = displayed
    assert data["text/plain"].endswith("So far: Anna “Anna” (probability 0.83).")
