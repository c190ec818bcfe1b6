"""A file is replaced whole or not at all, whatever happens while it is written."""

import os
import signal
import stat
import subprocess
import sys
import threading
import time

import pytest

from course_utils.files import STALE_SECONDS, replace_file


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_made_with_its_folders_and_replaced(tmp_path):
    file = tmp_path / "deep" / "er" / "notes.txt"
    for text in ("first", "second, longer"):
        with replace_file(file) as part:
            assert part.parent == file.parent and not part.exists()
            part.write_text(text)
        assert file.read_text() == text and names(file.parent) == ["notes.txt"]


def test_until_the_block_ends_the_old_file_is_there(tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("old")
    with replace_file(file) as part:
        part.write_text("new")
        assert file.read_text() == "old"
    assert file.read_text() == "new"


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_keeps_the_old_file_and_leaves_nothing_over(tmp_path, error):
    file = tmp_path / "notes.txt"
    file.write_text("old")
    with pytest.raises(type(error)), replace_file(file) as part:
        part.write_text("half")
        raise error
    assert file.read_text() == "old" and names(tmp_path) == ["notes.txt"]


def test_a_file_that_cannot_be_put_in_its_place_leaves_nothing_over(tmp_path):
    file = tmp_path / "notes.txt"
    (file / "in the way").mkdir(parents=True)
    with pytest.raises(OSError), replace_file(file) as part:
        part.write_text("new")
    assert names(tmp_path) == ["notes.txt"] and names(file) == ["in the way"]


def test_a_folder_that_cannot_be_made_is_an_error_of_the_system(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OSError), replace_file(tmp_path / "file" / "notes.txt"):
        pytest.fail("there is nowhere to write to")


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX permissions")
def test_others_may_read_the_file_as_far_as_the_system_lets_them(tmp_path):
    before = os.umask(0o022)
    try:
        with replace_file(tmp_path / "notes.txt") as part:
            part.write_text("new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "notes.txt").stat().st_mode) == 0o644


def test_writers_at_the_same_time_never_mix(tmp_path):
    file, wrong = tmp_path / "notes.txt", []

    def write(letter):
        for _ in range(50):
            with replace_file(file) as part:
                part.write_text(letter * 100_000)
            text = file.read_text()
            if len(text) != 100_000 or len(set(text)) > 1:
                wrong.append(text[:20])

    writers = [threading.Thread(target=write, args=(letter,)) for letter in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert not wrong and names(tmp_path) == ["notes.txt"]


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_what_a_killed_process_left_goes_but_not_what_another_is_writing(tmp_path):
    file = tmp_path / "[notes].txt"
    code = (
        "import sys, time; from pathlib import Path; from course_utils.files import replace_file\n"
        "with replace_file(Path(sys.argv[1])) as part:\n"
        "    part.write_text('half'); print('writing', flush=True); input()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline().strip() == "writing"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (left,) = tmp_path.iterdir()
    with replace_file(file) as part:
        part.write_text("whole")
    assert left.exists()  # it could be at work
    old = time.time() - STALE_SECONDS - 1
    os.utime(left, (old, old))
    with replace_file(file) as part:
        part.write_text("again")
    assert names(tmp_path) == ["[notes].txt"] and file.read_text() == "again"
