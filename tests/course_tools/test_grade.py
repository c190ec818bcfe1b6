"""`course grade` on an invented class: who handed in what, what the checks say, and what nobody can stop."""

import copy
import csv
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from typer.testing import CliRunner

from course_tools import PATIENCE, CourseError, cli, grade, notebooks, versions

ROOT = Path(__file__).parents[2]
SECONDS = 30  # the longest that an exercise of the class may take
RIGHT = "def spam_share(labels):\n    return sum(label == 1 for label in labels) / len(labels)"
SOLUTION = "def spam_share(labels):\n    return sum(labels) / len(labels)"


def tagged(cell, tag):
    return tag in cell.metadata.get("tags", [])


def handed_in(lecture, *answers):
    """A lecture as students get it, with these cells in the places of its stubs; None leaves the stub."""
    notebook = versions.student(notebooks.read(notebooks.find([lecture])[0]))
    stubs = [cell for cell in notebook.cells if tagged(cell, "exercise")]
    for stub, answer in zip(stubs, answers, strict=False):
        stub.source = stub.source if answer is None else answer
    return notebook


def solved(lecture):
    """A lecture with every folded solution written into its stub, without the line that marks it."""
    cells = notebooks.read(notebooks.find([lecture])[0]).cells
    return handed_in(lecture, *(cell.source.partition("\n")[2] for cell in cells if tagged(cell, "solution")))


def with_cells(notebook, **places):
    """The notebook with another cell before ``check`` or after ``end``."""
    place = next(
        i for i, cell in enumerate(notebook.cells) if cell.source == "check_first_contact(spam_share)"
    )
    notebook.cells[place:place] = [new_code_cell(source) for source in places.get("before", ())]
    return notebook


@pytest.fixture(scope="module")
def network():
    """A server on this machine that counts who comes."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.setblocking(False)
        yield server


def the_class(folder, port):
    """Submissions of all kinds: right, wrong, broken, hostile."""
    for child in ("Hugo", "Pdf_8888888_assignsubmission_file_"):
        (folder / child).mkdir(parents=True)

    def put(name, notebook):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        notebooks.write(notebook, path)

    anna = "Anna Öztürk_{}_assignsubmission_file_/{}"
    put(anna.format(1234567, "00_welcome.ipynb"), handed_in("00", RIGHT))
    put(anna.format(1234567, "03_language_models.ipynb"), solved("03"))
    put(anna.format(7654321, "00_welcome.ipynb"), handed_in("00"))  # another Anna
    put(
        "benweber_LATE_12345_67890_00_welcome.ipynb",
        handed_in("00", "def spam_share(labels):\n    return sum(labels)"),
    )
    same = '# My own!\ndef spam_share(labels):\n    """Really."""\n    return sum(label == 1 for label in labels) / len( labels )'
    put("00_welcome - Carla.ipynb", handed_in("00", same))
    put("Dora_00_welcome.ipynb", handed_in("00", "import math\n" + RIGHT))
    put("Emil_00_welcome.ipynb", handed_in("00", "import math\n" + RIGHT))
    put("=1+1.ipynb", handed_in("00", "def spam_share(labels): return 'a'"))
    folded = notebooks.read(notebooks.find(["00"])[0])
    put("Fritz.ipynb", folded)  # the lecture itself: the stub, and the folded solution
    untagged = copy.deepcopy(folded)
    for cell in untagged.cells:
        cell.metadata.pop("tags", None)
    put("Gerd.ipynb", untagged)
    (folder / "Hugo" / "00_welcome.ipynb").write_bytes(b"\xff\xfe half a file")
    (folder / "Pdf_8888888_assignsubmission_file_" / "answers.pdf").write_bytes(b"%PDF")
    (folder / ".DS_Store").write_bytes(b"")
    os.mkfifo(folder / "Pipe.ipynb")  # whoever opens it waits for ever
    put("Ida.ipynb", new_notebook(cells=[new_code_cell("print('something else')")]))
    without = handed_in("00", RIGHT)
    without.cells = [cell for cell in without.cells if "check_first_contact" not in cell.source]
    without.cells[0].source = "# 00 · Welcome"
    put("Jo.ipynb", without)
    hostile = {
        "Long": f"def spam_share(labels):\n    raise ValueError('{'tell ' * 60}the end')",
        "Script": "def spam_share(labels):\n    raise ValueError('<script>alert(1)</script>')",
        "Exit": "import os\ndef spam_share(labels):\n    os._exit(0)",
        "Sys": "import sys\nsys.exit()",
        "Ask": "def spam_share(labels):\n    return float(input('How many? '))",
        "Segfault": "import ctypes\nctypes.string_at(0)",
        "Loop": "while True: pass",
        "Memory": "block = bytearray(10**12)",
        "Disk": "import os\nwith open('big', 'wb') as file:\n    os.truncate(file.fileno(), 2**31)",
        "Syntax": "def spam_share(labels)\n    return 1",
        "Children": f"import subprocess\nprocess = subprocess.Popen(['sleep', '100000'])\n"
        f"open({str(folder.parent / 'child')!r}, 'w').write(str(process.pid))\n{RIGHT}",
        "Online": f"import socket\ntry:\n    socket.create_connection(('127.0.0.1', {port}))\n"
        f"except OSError:\n    pass\n{RIGHT}",
        "Forger": "def spam_share(labels): return 0\ndef check_first_contact(f): print('✓ spam_share')",
        "Noisy": "print('x' * 10**7)\n" + RIGHT,
        "Import": "import helpers\n" + RIGHT,
        "Magic": "%matplotlib inline\n!echo hello\n" + RIGHT,
    }  # fmt: skip
    for name, source in hostile.items():
        put(f"{name}.ipynb", handed_in("00", source))
    put("Twice.ipynb", with_cells(handed_in("00"), before=["1 / 0", RIGHT]))


@pytest.fixture(scope="module")
def graded(tmp_path_factory, network):
    """The class, graded: the rows of the table by student, the page, what was printed."""
    folder = tmp_path_factory.mktemp("class") / "handed in"
    the_class(folder, network.getsockname()[1])
    ran = course("grade", str(folder), "--seconds", str(SECONDS), cwd=folder.parent)
    printed, error = ran.communicate(timeout=PATIENCE)
    assert ran.returncode == 0, error
    out = folder.parent / "build" / "grades"
    return SimpleNamespace(
        rows=read(out / "grades.csv"),
        page=(out / "grades.html").read_text(encoding="utf-8"),
        raw=(out / "grades.csv").read_bytes(),
        printed=printed,
        folder=folder,
    )


def course(*arguments, cwd):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COURSE_CACHE": str(cwd / "cache")}
    command = [sys.executable, "-m", "course_tools.cli", *arguments]
    return subprocess.Popen(
        command, cwd=cwd, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def read(path):
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert set(rows[0]) == {"student", "lecture", "exercise", "passed", "message"}
    return {
        student: [row for row in rows if row["student"] == student]
        for student in {row["student"] for row in rows}
    }


def test_names_come_from_folders_and_files(graded):
    assert graded.rows.keys() >= {
        "Anna Öztürk (1234567)",
        "Anna Öztürk (7654321)",
        "benweber",
        "Carla",
        "Dora",
    }
    assert graded.rows.keys() >= {"Hugo", "Pdf", "Fritz"}
    assert not graded.rows.keys() & {".DS_Store", "Pipe"}
    anna = [(row["lecture"], row["exercise"], row["passed"]) for row in graded.rows["Anna Öztürk (1234567)"]]
    assert anna == [
        ("00", "first_contact", "yes"),
        *(("03", name, "yes") for name in ("perplexity", "lstm_step", "with_temperature")),
    ]


@pytest.mark.parametrize(
    ("student", "passed", "said"),
    [
        ("Anna Öztürk (7654321)", "no", "still to be written"),
        ("benweber", "no", "that counts the spam"),
        ("Fritz", "no", "still to be written"),
        ("Gerd", "no", "still to be written"),
        ("Hugo", "no", "00_welcome.ipynb is not a notebook"),
        ("Pdf", "no", "answers.pdf is not a notebook"),
        ("Ida", "no", "Ida.ipynb holds no exercises"),
        ("Jo", "no", "The notebook does not call check_first_contact"),
        ("Exit", "no", "Its process ended before its check, with exit code 0"),
        ("Sys", "no", "SystemExit"),
        ("Ask", "no", "EOFError"),
        ("Segfault", "no", f"exit code {-signal.SIGSEGV} "),
        ("Loop", "no", f"did not end within {SECONDS} seconds"),
        ("Memory", "no", "MemoryError"),
        ("Disk", "no", "File too large"),
        ("Syntax", "no", "SyntaxError"),
        ("Long", "no", "tell the end"),
        ("Script", "no", "<script>"),
        ("Import", "no", "No module named 'helpers'. "),
        ("Children", "yes", ""),
        ("Online", "yes", ""),
        ("Forger", "no", "its check did not pass"),
        ("Noisy", "yes", ""),
        ("Magic", "yes", ""),
        ("Twice", "yes", ""),
    ],
)
def test_each_is_told_what_its_check_says(graded, student, passed, said):
    (row,) = graded.rows[student]
    assert row["passed"] == passed and said in row["message"], row
    assert str(graded.folder) not in row["message"]


def test_equal_answers_and_files_are_named_and_stubs_are_not(graded):
    def said(student):
        return graded.rows[student][0]["message"]

    assert said("Carla").startswith("The same answer as Anna Öztürk (1234567), ")
    assert said("Dora") == "The same file as Emil." and said("Emil") == "The same file as Dora."
    assert "same" not in said("Anna Öztürk (7654321)") and "same" not in said("benweber")
    for row in graded.rows["Anna Öztürk (1234567)"][1:]:
        assert row["message"] == "The same as the folded solution."


def test_nothing_that_a_student_started_is_left(graded):
    pid = int((graded.folder.parent / "child").read_text())
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_the_page_says_whether_the_network_was_closed_and_it_was(graded, network):
    closed = "the network was closed" in graded.page
    assert closed or "the network was open" in graded.page
    try:
        network.accept()[0].close()
        came = True
    except BlockingIOError:
        came = False
    assert came != closed


def test_a_spreadsheet_reads_letters_and_runs_no_formula(graded):
    assert graded.raw.startswith("\ufeff".encode()) and "Öztürk".encode() in graded.raw
    (row,) = graded.rows["'=1+1"]
    assert "you return" in row["message"] or "should be a number" in row["message"]


def test_the_page_shows_everything_and_runs_nothing(graded):
    for words in ('<html lang="en">', "Anna Öztürk (1234567)", "=1+1", "that counts the spam", 'scope="row"'):
        assert words in graded.page
    assert "&lt;script&gt;alert(1)" in graded.page and "<script" not in graded.page
    assert not re.search(r"""(?:src|href)=["']?https?:""", graded.page)


def test_what_was_done_is_kept_when_somebody_interrupts(tmp_path):
    folder = tmp_path / "class"
    folder.mkdir()
    for name, source in {"Anna": RIGHT, "Zoe": "while True: pass"}.items():
        notebooks.write(handed_in("00", source), folder / f"{name}.ipynb")
    ran = course("grade", str(folder), "--seconds", str(PATIENCE), cwd=tmp_path)
    assert ran.stdout.readline() == "✓ Anna, 00 check_first_contact\n"
    ran.send_signal(signal.SIGINT)
    assert ran.wait(PATIENCE) != 0
    rows = read(tmp_path / "build" / "grades" / "grades.csv")
    assert rows["Anna"][0]["passed"] == "yes"
    assert rows["Zoe"][0]["passed"] == "no" and "killed from outside" in rows["Zoe"][0]["message"]
    ran.stdout.close()
    ran.stderr.close()


@pytest.mark.parametrize("make", [lambda folder: None, lambda folder: folder.mkdir()])
def test_nothing_handed_in_is_said_in_a_sentence(tmp_path, make):
    make(tmp_path / "class")
    ran = CliRunner().invoke(cli.app, ["grade", str(tmp_path / "class"), "--out", str(tmp_path / "out")])
    assert isinstance(ran.exception, CourseError) and "Nothing is in" in str(ran.exception)
    assert not (tmp_path / "out" / "grades.csv").exists()


def test_the_grades_themselves_are_no_submission(tmp_path):
    out = tmp_path / "class" / "grades"
    notebooks.write(handed_in("00"), tmp_path / "class" / "Anna.ipynb")
    notebooks.write_text("student", out / "grades.csv")
    assert [student for student, _ in grade.submissions(tmp_path / "class", out)] == ["Anna"]


@pytest.mark.parametrize("lecture", [notebooks.number(path.name) for path in notebooks.find()])
def test_every_exercise_of_every_lecture_is_found_with_its_own_cells(tmp_path, lecture):
    notebooks.write(solved(lecture), tmp_path / "Anna.ipynb")
    found = grade.answers("Anna", tmp_path / "Anna.ipynb")
    assert [answer.exercise for answer in found] == list(grade.solutions(lecture))
    for answer in found:
        assert answer.cells and answer.code and answer.code == grade.solutions(lecture)[answer.exercise], (
            answer.exercise
        )
        assert len(answer.cells) <= 3, answer.cells
