"""Progress: what is done stays done, over restarts and between lectures, and nothing that goes wrong loses it."""

import json
import linecache
import subprocess
import sys
from pathlib import Path

import pytest

from course_tools import PATIENCE
from course_tools import notebooks as lectures
from course_utils.exercises import CHECKS, SOLUTION, CheckFailed, kept, progress, quiz
from course_utils.exercises.lecture_00 import check_first_contact

PASSED = {"exercises": ["check_first_contact"]}


@pytest.fixture(autouse=True)
def place(monkeypatch, tmp_path):
    """Each test starts as a new kernel with an empty folder; here the file of lecture 00 will be."""
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "kept"))
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    for variable in progress.HOSTS:
        monkeypatch.delenv(variable, raising=False)
    restart(monkeypatch)
    return tmp_path / "kept" / "progress-00.json"


@pytest.fixture
def displayed(monkeypatch):
    sent = []
    monkeypatch.setattr("IPython.display.display", lambda data, **options: sent.append(data["text/plain"]))
    return sent


def restart(monkeypatch):
    monkeypatch.setattr(kept, "_memory", {})
    monkeypatch.setattr(kept, "trouble", "")
    progress._panels.clear()


def share(labels):
    return sum(labels) / len(labels)


def exercises(lecture, passed):
    """What is shown of a lecture's exercises, however many it has."""
    total = len(progress.to_do(lecture)["exercises"])
    return f"Lecture {lecture}: exercises {'●' * passed}{'○' * (total - passed)} {passed} of {total}"


def test_a_check_that_passes_is_remembered_after_a_restart(monkeypatch, place, displayed):
    with pytest.raises(CheckFailed):
        check_first_contact(sum)
    assert not place.exists()
    check_first_contact(share)
    restart(monkeypatch)
    assert progress.done("00") == PASSED
    progress.my_progress("00")
    assert exercises("00", 1) in displayed[0] and "✓ first_contact" in displayed[0]
    assert displayed[0].endswith(f"Kept in {place.parent}")


def test_what_the_folded_solution_passes_is_not_the_students(monkeypatch, place, capsys):
    source = f"{SOLUTION}.\ndef share(labels):\n    return sum(labels) / len(labels)\n"
    names = {}
    exec(compile(source, "<cell 1>", "exec"), names)
    # As IPython does with every cell.
    monkeypatch.setitem(linecache.cache, "<cell 1>", (len(source), None, source.splitlines(True), "<cell 1>"))
    check_first_contact(names["share"])
    assert "✓" in capsys.readouterr().out and progress.done("00") == {} and not place.exists()
    check_first_contact(share)
    assert progress.done("00") == PASSED


def test_right_answers_are_remembered_and_wrong_ones_are_not():
    question = quiz.questions("10")[0]
    letters = dict(zip("abc", question.choices, strict=True))
    wrong = next(letter for letter, choice in letters.items() if not choice.right)
    right = next(letter for letter, choice in letters.items() if choice.right)
    quiz.answer("10", 1, wrong)
    assert progress.done("10") == {}
    quiz.answer("10", 1, right)
    quiz.answer("10", 1, right)
    assert progress.done("10") == {"quiz": [question.key]}


def test_the_quiz_widget_records_a_right_choice(monkeypatch):
    panels = []
    monkeypatch.setattr(quiz, "show_widget", lambda panel, text: panels.append(panel))
    quiz.quiz("00")
    _, box, *_ = panels[0].children
    _, radio, button, _ = box.children
    question = quiz.questions("00")[0]
    for place, _ in sorted(enumerate(question.choices), key=lambda item: item[1].right):
        assert progress.done("00") == {}
        radio.index = place
        button.click()
    assert progress.done("00") == {"quiz": [question.key]}


def test_what_is_shown_follows_what_is_done(displayed):
    progress.my_progress("00")
    progress.my_progress()
    (one, everything) = progress._panels
    assert exercises("00", 0) in displayed[0] and "○ first_contact" in displayed[0]
    check_first_contact(share)
    assert exercises("00", 1) in one.value and "✓ first_contact" in one.value
    assert exercises("00", 1) in everything.value
    assert exercises("10", 0) in everything.value


def test_another_kernel_at_the_same_lecture_loses_nothing(monkeypatch, place):
    progress.record("00", "exercises", "a")
    restart(monkeypatch)  # another kernel, which has not read the file
    progress.record("00", "quiz", "b")
    progress.record("00", "exercises", "c")
    assert json.loads(place.read_text()) == {"exercises": ["a", "c"], "quiz": ["b"]}


def test_kernels_that_write_at_once_lose_nothing(place):
    script = (
        "import sys\nfrom course_utils.exercises import progress\nname = sys.argv[1]\nsys.stdin.readline()\n"
        "for i in range(20): progress.record('00', 'exercises', f'{name}{i:02}')"
    )
    kernels = [
        subprocess.Popen([sys.executable, "-c", script, name], stdin=subprocess.PIPE, text=True)
        for name in "ab"
    ]
    for kernel in kernels:
        kernel.stdin.write("\n")
        kernel.stdin.flush()
    assert [kernel.wait(PATIENCE) for kernel in kernels] == [0, 0]
    for kernel in kernels:
        kernel.stdin.close()
    assert progress.done("00") == {"exercises": [f"{name}{i:02}" for name in "ab" for i in range(20)]}
    assert [path.name for path in place.parent.iterdir()] == [place.name]


def test_it_waits_for_another_writer_but_not_for_ever(monkeypatch, place, displayed):
    monkeypatch.setattr(kept, "PATIENCE", 0.05)
    locks = Path(kept.cache_folder())
    locks.mkdir(parents=True)
    with kept.filelock.FileLock(locks / f"{place.name}.lock"):
        check_first_contact(share)
        assert not place.exists() and "could not be kept" in kept.trouble
        assert progress.done("00") == PASSED
    progress.my_progress("00")
    assert json.loads(place.read_text()) == PASSED and "could not be kept" not in displayed[0]


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"quiz": [3]}', '{"quiz": "abc"}', "\x80"])
def test_damaged_files_are_laid_aside_one_after_the_other(monkeypatch, place, text, displayed):
    place.parent.mkdir()
    for number in (1, 2):
        place.write_bytes(text.encode("latin-1"))
        assert progress.done("00") == {} or number == 2
        assert place.exists()  # reading moves nothing
        progress.my_progress("00")
        assert f"is now called progress-00.damaged-{number}.json" in displayed[-1]
        check_first_contact(share)
        assert json.loads(place.read_text()) == PASSED
        aside = place.with_name(f"progress-00.damaged-{number}.json")
        assert aside.read_bytes() == text.encode("latin-1")


def test_a_folder_that_cannot_be_written_is_told_and_the_check_passes(place, displayed, capsys):
    place.parent.write_text("a file where the folder should be")
    check_first_contact(share)
    assert "✓" in capsys.readouterr().out
    progress.my_progress("00")
    assert exercises("00", 1) in displayed[0] and "could not be kept" in displayed[0]
    place.parent.unlink()
    progress.my_progress("00")  # the disk is back: what was remembered is written now
    assert "could not be kept" not in displayed[1] and place.exists()


@pytest.mark.parametrize("off", ["off", "OFF", "Off"])
def test_off_keeps_it_in_memory(monkeypatch, tmp_path, displayed, off):
    monkeypatch.setenv("COURSE_PROGRESS", off)
    check_first_contact(share)
    progress.my_progress("00")
    (shown,) = displayed
    assert shown.startswith(f"{exercises('00', 1)}, quiz ○") and "\n  ✓ first_contact" in shown
    assert "Kept" not in shown
    assert not list(tmp_path.iterdir())


def test_on_colab_a_mounted_drive_keeps_it(monkeypatch, tmp_path, displayed):
    monkeypatch.delenv("COURSE_PROGRESS")
    monkeypatch.setitem(sys.modules, "google.colab", object())
    drive = tmp_path / "MyDrive"
    monkeypatch.setattr(kept, "DRIVE", drive)
    check_first_contact(share)
    restart(monkeypatch)
    progress.my_progress("00")
    assert "mount Google Drive" in displayed[0] and exercises("00", 1) in displayed[0]
    drive.mkdir()  # mounted later: what was done before is kept now
    progress.my_progress("00")
    assert displayed[1].endswith(f"Kept in {drive / 'transfer-learning-course'}")
    restart(monkeypatch)
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "another machine"))
    assert progress.done("00") == PASSED


@pytest.mark.parametrize(("variable", "host"), progress.HOSTS.items())
def test_hosts_that_forget_are_no_promise(monkeypatch, displayed, variable, host):
    monkeypatch.setenv(variable, "x")
    progress.my_progress("00")
    assert displayed[0].endswith(f"Kept until this session ends: {host} starts anew each time.")


def test_without_a_choice_it_is_kept_in_the_cache(monkeypatch, tmp_path):
    monkeypatch.delenv("COURSE_PROGRESS")
    progress.record("00", "exercises", "a")
    assert (tmp_path / "cache" / "progress-00.json").exists()


def test_every_exercise_of_every_lecture_is_counted():
    for path in lectures.find():
        number = lectures.number(path.name)
        cells = lectures.read(path).cells
        stubs = sum("exercise" in cell.metadata.get("tags", []) for cell in cells)
        assert stubs == len(progress.to_do(number)["exercises"]) == len(CHECKS[number])
    assert progress.lectures_with_exercises() == [lectures.number(path.name) for path in lectures.find()]


def test_a_lecture_that_is_not_there():
    with pytest.raises(ValueError, match="no quiz"):
        progress.my_progress("99")
