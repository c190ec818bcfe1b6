"""JupyterLab in a real browser: what a student does, and what the page answers."""

import re

from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import expect as see

from course_tools import notebooks

# Front ends give pictures no alt text, whatever a figure's metadata say (the site does), and a slider's handle no name.
OURS = {"include": [[".jp-OutputArea-output"]], "exclude": [[".jp-OutputArea-output img"], [".noUi-handle"]]}
SLIDER = ".widget-slider .noUi-handle"
# However many exercises lecture 00 has.
NOTHING_DONE, ONE_DONE = re.compile("00: exercises ○+ 0 of"), re.compile("00: exercises ●○* 1 of")


def press(page, key, times=1):
    for _ in range(times):
        page.keyboard.press(key)


def test_a_lecture_runs_and_its_widgets_answer(show, stored, shots):
    lecture = show(stored("10"), "10.ipynb")
    page = lecture.page
    lecture.run_all()
    assert lecture.errors() == []
    assert None not in lecture.counts() and len(lecture.counts()) > 50
    page.screenshot(path=shots / "lab-lecture.png")

    # The threshold: the keyboard moves the slider, words and picture follow.
    output = lecture.output("threshold_explorer(").last
    said, picture = output.locator('[role="status"]'), output.locator("img")
    see(said).to_contain_text("threshold 0.50")
    assert picture.is_hidden()
    output.locator(SLIDER).focus()
    press(page, "ArrowRight", 20)
    see(said).to_contain_text("threshold 0.70")
    see(picture).to_be_visible()
    first = picture.get_attribute("src")
    press(page, "ArrowLeft", 30)
    see(said).to_contain_text("threshold 0.40")
    see(picture).not_to_have_attribute("src", first)
    output.scroll_into_view_if_needed()
    page.screenshot(path=shots / "lab-threshold.png")

    # A message of one's own; nothing to read is answered in words; a verdict goes with its text.
    output = lecture.output("message_box(").last
    entry, said = output.locator("textarea"), output.locator('[role="status"]')
    button = output.get_by_role("button", name="Ham or spam?")
    button.click()
    see(said).to_contain_text("Please fill in: message")
    entry.fill("You have won a prize! Call now to claim it")
    see(said).to_have_count(0)
    button.press("Enter")
    see(said).to_contain_text(re.compile(r"(spam|ham): spam probability [01]\.\d{3}"))
    page.screenshot(path=shots / "lab-message.png")
    entry.fill("<img src=x onerror=alert(1)>")
    button.click()
    see(said).to_contain_text("<img src=x")  # what is typed stays text


def test_the_quiz_by_keyboard_alone(show, stored, shots, flaws):
    lecture = show(stored("00"), "quiz.ipynb")
    page = lecture.page
    lecture.run_all()
    assert lecture.errors() == []
    output = lecture.output("quiz(").last
    radios = output.locator('input[type="radio"]')
    box = output.locator(".widget-vbox", has_text="Check answer 1").last
    button, status = box.get_by_role("button"), box.locator('[role="status"]')
    button.focus()
    press(page, "Enter")
    see(status).to_contain_text("Choose an answer first")
    verdicts = []
    # Tab moves from choice to choice and Space chooses: the notebook keeps the arrows for itself.
    for back in (1, 2, 3):
        press(page, "Shift+Tab", back)
        assert page.evaluate("() => document.activeElement.type") == "radio"
        press(page, "Space")
        see(status).to_have_count(0)  # an explanation does not stay under another choice
        press(page, "Tab", back)
        press(page, "Enter")
        see(status).to_contain_text(re.compile("✓ Right|✗ Not quite"))
        verdicts.append(status.inner_text())
    assert len(set(verdicts)) == 3 and sum(text.startswith("✓") for text in verdicts) == 1
    assert radios.count() >= 12
    see(output).to_contain_text(re.compile(r"1 of \d+ questions answered correctly so far"))
    # The exercise was passed by the folded solution alone, so it does not count.
    see(lecture.output("my_progress(").last).to_contain_text(
        re.compile(rf"{NOTHING_DONE.pattern} \d+, quiz ●○+ 1 of")
    )
    output.scroll_into_view_if_needed()
    page.screenshot(path=shots / "lab-quiz.png")
    assert flaws(page, OURS) == []


def test_an_exercise_wrong_then_right_then_after_a_restart(show, handed_out, shots):
    lecture = show(handed_out("00"), "exercise.ipynb")
    page = lecture.page
    lecture.run_all()
    (unfinished,) = lecture.errors()
    assert "still to be written" in unfinished and "Traceback" not in unfinished

    # Hints unfold one inside the other, by keyboard.
    hints = page.locator("details", has_text="Hint 1").first
    inner = hints.locator("details")
    assert hints.get_attribute("open") is None and not inner.is_visible()
    hints.locator("summary").first.press("Enter")
    see(inner.locator("summary")).to_be_visible()
    assert "counts the spam" not in hints.inner_text()
    inner.locator("summary").press("Enter")
    see(inner).to_contain_text("Your instructor has the solution")
    page.screenshot(path=shots / "lab-hints.png")

    done = lecture.output("my_progress(")
    lecture.run("from course_utils.exercises.progress")
    see(done).to_contain_text(NOTHING_DONE)

    check = "check_first_contact(spam_share)"
    lecture.write("def spam_share", "def spam_share(labels):\n    return sum(labels)")
    lecture.run(check)
    see(lecture.output(check)).to_contain_text("✗")
    see(lecture.output(check)).to_contain_text("that counts the spam")
    page.screenshot(path=shots / "lab-wrong.png")
    lecture.write("def spam_share", "def spam_share(labels):\n    return sum(labels) / len(labels)")
    lecture.run(check)
    see(lecture.output(check)).to_contain_text("✓")
    see(lecture.output(check)).not_to_contain_text("✗")
    page.screenshot(path=shots / "lab-right.png")

    see(done).to_contain_text(ONE_DONE)  # it follows, without being run again

    lecture.restart()
    lecture.run("from course_utils.exercises.progress")
    see(done).to_contain_text(ONE_DONE)
    see(done).to_contain_text("Kept in")
    page.screenshot(path=shots / "lab-progress.png")


WIDGETS = """\
from tokenizers import Tokenizer
from course_utils import widgets
from course_utils.assets import resolve
from course_utils.datasets import load_glove
from course_utils.models.bert import fill_in_the_blank
from course_utils.models.checkpoints import load_bert_mini
from course_utils.models.transformer import attention_maps
import torch
vectors, (mini, pieces) = load_glove(), load_bert_mini()

def look(sentence):
    encoded = pieces.encode(sentence)
    return encoded.tokens, attention_maps(mini.encoder, torch.tensor([encoded.ids]))[:, 0].numpy()
---
widgets.first_contact()
---
widgets.neighbours_explorer(vectors, "river")
---
widgets.analogy_explorer(vectors, ("man", "king", "woman"))
---
widgets.pieces_explorer(pieces, "a tutorial")
---
widgets.attention_explorer(look, "She opened the window.")
---
widgets.blank_explorer(lambda text: fill_in_the_blank(mini, pieces, text), "She opened the [MASK].")"""


def test_the_other_widgets_answer_good_and_bad_input(show, stored, shots, flaws):
    setup = next(cell for cell in stored("00").cells if cell.cell_type == "code")
    cells = [setup, *map(new_code_cell, WIDGETS.split("\n---\n"))]
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"
    lecture = show(notebooks.normalise(new_notebook(cells=cells)), "widgets.ipynb")
    page = lecture.page
    lecture.run_all()
    assert lecture.errors() == []

    output = lecture.output("widgets.first_contact(")
    output.locator("input").fill("two words")
    see(output.locator('[role="status"]')).to_contain_text("2 words, 8 letters, 2 different")

    output = lecture.output("widgets.neighbours_explorer(")
    word, said = output.locator("input"), output.locator('[role="status"]')
    for typed, answer in (("cat", "dog"), ("qwxzv", "✗"), ("   ", "Please fill in: word")):
        word.fill(typed)
        see(said).to_have_count(0)  # nothing of the last answer is left
        word.press("Tab")
        output.get_by_role("button").press("Enter")
        see(said).to_contain_text(answer)

    output = lecture.output("widgets.analogy_explorer(")
    output.get_by_role("button").click()
    see(output.locator('[role="status"]')).to_contain_text("queen")

    output = lecture.output("widgets.pieces_explorer(").last
    output.locator("textarea").fill("unbelievably 🙂")
    see(output).to_contain_text("1 of them [UNK]")
    output.locator("textarea").fill("")
    see(output).to_contain_text("type a text")

    output = lecture.output("widgets.attention_explorer(")
    picture, said = output.locator("img"), output.locator('[role="status"]')
    first = picture.get_attribute("src")
    output.locator(SLIDER).first.focus()
    page.keyboard.press("ArrowRight")
    see(picture).not_to_have_attribute("src", first)
    output.locator("input").first.fill("word " * 60)
    output.locator("input").first.press("Enter")
    see(said).to_contain_text("too many for a picture")

    output = lecture.output("widgets.blank_explorer(")
    output.locator("input").fill("There is no blank")
    output.get_by_role("button").click()
    see(output.locator('[role="status"]')).to_contain_text("[MASK]")
    output.locator("input").fill("They had been very [MASK] to see her.")
    output.get_by_role("button").click()
    see(output.locator('[role="status"]')).to_contain_text(re.compile("glad|happy|pleased"))
    page.screenshot(path=shots / "lab-widgets.png")
    assert flaws(page, OURS) == []
