"""Progress: what is done stays done, over restarts and between lectures, and nothing that goes wrong loses it."""

import json
import sys
from pathlib import Path

import pytest

from course_utils import lectures
from course_utils.exercises import CHECKS, CheckFailed, progress, quiz
from course_utils.exercises.lecture_00 import check_first_contact


@pytest.fixture(autouse=True)
def place(monkeypatch, tmp_path):
    """Each test starts as a new kernel with an empty folder."""
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "kept"))
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    restart(monkeypatch)
    return tmp_path / "kept" / progress.FILE


@pytest.fixture
def displayed(monkeypatch):
    sent = []
    monkeypatch.setattr("IPython.display.display", lambda data, **options: sent.append(data["text/plain"]))
    return sent


def restart(monkeypatch):
    monkeypatch.setattr(progress, "_memory", {})
    monkeypatch.setattr(progress, "_trouble", "")
    progress._panels.clear()


def share(labels):
    return sum(labels) / len(labels)


def test_a_check_that_passes_is_remembered_after_a_restart(monkeypatch, place, displayed):
    with pytest.raises(CheckFailed):
        check_first_contact(sum)
    assert not place.exists()
    check_first_contact(share)
    restart(monkeypatch)
    assert progress.done() == {"00": {"exercises": ["check_first_contact"]}}
    progress.my_progress("00")
    assert "exercises ● 1 of 1" in displayed[0] and "✓ first_contact" in displayed[0]
    assert str(place) in displayed[0]


def test_right_answers_are_remembered_and_wrong_ones_are_not(place):
    question = quiz.questions("10")[0]
    letters = dict(zip("abc", question.choices, strict=True))
    wrong = next(letter for letter, choice in letters.items() if not choice.right)
    right = next(letter for letter, choice in letters.items() if choice.right)
    quiz.answer("10", 1, wrong)
    assert progress.done() == {}
    quiz.answer("10", 1, right)
    quiz.answer("10", 1, right)
    assert progress.done() == {"10": {"quiz": [question.key]}}


def test_the_quiz_widget_records_a_right_choice(displayed, monkeypatch):
    panels = []
    monkeypatch.setattr(quiz, "show_widget", lambda panel, text: panels.append(panel))
    quiz.quiz("00")
    _, box, *_ = panels[0].children
    _, radio, button, _ = box.children
    question = quiz.questions("00")[0]
    for place, _ in sorted(enumerate(question.choices), key=lambda item: item[1].right):
        assert progress.done() == {}
        radio.index = place
        button.click()
    assert progress.done() == {"00": {"quiz": [question.key]}}


def test_what_is_shown_follows_what_is_done(displayed):
    progress.my_progress("00")
    progress.my_progress()
    (one, everything) = progress._panels
    assert "exercises ○ 0 of 1" in displayed[0] and "○ first_contact" in displayed[0]
    check_first_contact(share)
    assert "exercises ● 1 of 1" in one.value and "✓ first_contact" in one.value
    assert (
        "Lecture 00: exercises ● 1 of 1" in everything.value
        and "Lecture 10: exercises ○○○○ 0 of 4" in everything.value
    )


def test_two_lectures_at_once_lose_nothing(monkeypatch, place):
    progress.record("01", "exercises", "a")
    restart(monkeypatch)  # another kernel, which has not read the file
    progress.record("02", "exercises", "b")
    progress.record("01", "exercises", "c")
    assert json.loads(place.read_text()) == {"01": {"exercises": ["a", "c"]}, "02": {"exercises": ["b"]}}
    assert [path.name for path in place.parent.iterdir()] == [place.name]


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", '{"01": 3}', '{"01": {"quiz": [3]}}', '{"01": {"quiz": "abc"}}']
)
def test_a_damaged_file_is_laid_aside(place, text):
    place.parent.mkdir()
    place.write_text(text)
    progress.record("01", "exercises", "a")
    assert json.loads(place.read_text()) == {"01": {"exercises": ["a"]}}
    assert place.with_name("progress.damaged.json").read_text() == text


def test_a_folder_that_cannot_be_written_is_told_and_the_check_passes(monkeypatch, place, displayed, capsys):
    place.parent.write_text("a file where the folder should be")
    check_first_contact(share)
    assert "✓" in capsys.readouterr().out
    progress.my_progress("00")
    assert "exercises ● 1 of 1" in displayed[0] and "could not be kept" in displayed[0]
    place.parent.unlink()
    progress.my_progress("00")  # the disk is back: what was remembered is written now
    assert "could not be kept" not in displayed[1] and place.exists()


def test_another_writer_that_hangs_does_not_hold_up_the_student(monkeypatch, place, displayed):
    monkeypatch.setattr(progress, "PATIENCE", 0.05)
    lock = Path(progress.cache_folder())
    lock.mkdir(parents=True)
    with progress.filelock.FileLock(lock / "progress.lock"):
        check_first_contact(share)
    assert progress.done() == {"00": {"exercises": ["check_first_contact"]}}


def test_off_keeps_it_in_memory(monkeypatch, tmp_path, displayed):
    monkeypatch.setenv("COURSE_PROGRESS", "off")
    check_first_contact(share)
    progress.my_progress("00")
    assert displayed == ["Lecture 00: exercises ● 1 of 1, quiz ○○○○ 0 of 4\n  ✓ first_contact"] and not list(
        tmp_path.iterdir()
    )


def test_on_colab_a_mounted_drive_keeps_it(monkeypatch, tmp_path, displayed):
    monkeypatch.delenv("COURSE_PROGRESS")
    monkeypatch.setitem(sys.modules, "google.colab", object())
    drive = tmp_path / "MyDrive"
    monkeypatch.setattr(progress, "DRIVE", drive)
    check_first_contact(share)
    progress.my_progress("00")
    assert "mount Google Drive" in displayed[0] and "1 of 1" in displayed[0]
    drive.mkdir()  # mounted later: what was done before is kept now
    progress.my_progress("00")
    assert "Kept in" in displayed[1]
    restart(monkeypatch)
    assert progress.done() == {"00": {"exercises": ["check_first_contact"]}}


def test_without_a_choice_it_is_kept_in_the_cache(monkeypatch, tmp_path):
    monkeypatch.delenv("COURSE_PROGRESS")
    progress.record("01", "exercises", "a")
    assert (tmp_path / "cache" / progress.FILE).exists()


def test_every_exercise_of_every_lecture_is_counted():
    for path in lectures.find():
        number = path.name[:2]
        cells = lectures.read(path).cells
        stubs = sum("exercise" in cell.metadata.get("tags", []) for cell in cells)
        assert stubs == len(progress.to_do(number)["exercises"]) == len(CHECKS[number])
    assert progress.lectures_with_exercises() == [path.name[:2] for path in lectures.find()]


def test_a_lecture_that_is_not_there():
    with pytest.raises(ValueError, match="no quiz"):
        progress.my_progress("99")
