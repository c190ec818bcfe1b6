"""The `course` command on small lectures in a folder of their own, and the parts that it is made of."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import tomllib
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from typer.testing import CliRunner

from course_tools import PATIENCE, CourseError, cli, notebooks, report, run, sync
from course_utils import assets, doctor, results
from course_utils.assets import store

ROOT = Path(__file__).parents[2]
GOOD = """\
import os, sys
from course_utils import expect, record
expect("share", 0.95, at_least=0.9)
record("loss", 0.25)
print(os.environ["COURSE_PROFILE"], os.environ["COURSE_LECTURE"], os.environ["PYTHONHASHSEED"])"""
WIDGETS = """\
import ipywidgets as w
o = w.Output()
with o:
    print("inside")
w.VBox([w.IntSlider(), o])"""
MEMORY = "import time; block = bytearray(200_000_000); time.sleep(1); block = None"


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A root with lectures; returns functions to write one and to call the command."""
    monkeypatch.setenv("COURSE_NOTEBOOKS", str(tmp_path / "notebooks"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (tmp_path / "notebooks").mkdir()
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(
        re.sub("(?m)^Repository = .*$", 'Repository = "https://github.com/old/place"', text), encoding="utf-8"
    )

    class Course:
        root = tmp_path
        notebooks = tmp_path / "notebooks"

        def write(self, name, *sources, tags=()):
            cells = [new_markdown_cell("# A lecture"), *(new_code_cell(source) for source in sources)]
            cells[-1].metadata["tags"] = [*tags]
            path = self.notebooks / f"{name}.ipynb"
            nbformat.write(new_notebook(cells=cells), path)
            return path

        def __call__(self, *arguments):
            # Where a run hangs is told before it is given up.
            script = f"import faulthandler; faulthandler.dump_traceback_later({PATIENCE - 20})\n"
            command = [sys.executable, "-c", f"{script}from course_tools.cli import main; main()", *arguments]
            environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"}
            try:
                return subprocess.run(
                    command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=PATIENCE
                )
            except subprocess.TimeoutExpired as error:
                pytest.fail(f"course {' '.join(arguments)} hangs:\n{error.stdout}\n{error.stderr}")

    return Course()


def test_run_goes_past_a_failing_lecture_and_reports_everything(course):
    course.write("01_good", GOOD, WIDGETS, MEMORY)
    course.write("02_bad", "a = 1", "raise ValueError('<b>bold</b>')", "print('never')")
    course.write("03_hidden", "import ipywidgets as w\nwith w.Output():\n    1 / 0")
    course.write("04_calm", "pass", tags=["raises-exception"])
    course.write("05_dies", "import os; os._exit(3)")
    ran = course("run", "--jobs", "2")
    assert ran.returncode == 1, ran.stderr
    run = json.loads((course.root / "build" / "run.json").read_text())
    good, bad, hidden, calm, dies = run["lectures"]
    assert good["status"] == "passed"
    assert good["expectations"][0]["value"] == 0.95
    assert [(entry["name"], entry["value"]) for entry in good["figures"]] == [("loss", 0.25)]
    assert good["peak_bytes"] > 200_000_000
    assert good["seconds"] > 1
    assert (bad["status"], bad["error"]["cell"], bad["error"]["name"], bad["done"]) == (
        "failed",
        3,
        "ValueError",
        2,
    )
    assert hidden["error"]["name"] == "ZeroDivisionError"
    assert calm["error"]["name"] == "NothingRaised"
    assert dies["error"]["name"] == "DeadKernel"
    page = (course.root / "build" / "report.html").read_text()
    assert "4 of 5 lectures failed" in page
    assert "&lt;b&gt;bold" in page and "<b>bold" not in page
    assert "at least 0.9" in page and "0.95" in page
    assert not re.search(r"""(?:src|href)=["']?https?:""", page)
    assert "prefers-color-scheme: dark" in page
    executed = notebooks.read(course.root / "build" / "lectures" / "01_good.ipynb")
    assert "ci 01_good 0\n" in executed.cells[1].outputs[0].text
    assert "02_bad, cell 3: ValueError" in ran.stdout
    assert "1 of 1" in ran.stdout


def test_versions_are_written_beside_the_lectures_and_never_over_them(course):
    lecture = (ROOT / "notebooks" / "00_welcome.ipynb").read_bytes()
    (course.notebooks / "00_welcome.ipynb").write_bytes(lecture)
    for name in ("student", "solutions"):
        made = course(name)
        assert made.returncode == 0 and "1 notebook in" in made.stdout, made.stderr
        once = (course.root / "build" / name / "00_welcome.ipynb").read_bytes()
        assert course(name).returncode == 0
        assert once == (course.root / "build" / name / "00_welcome.ipynb").read_bytes() != lecture
        refused = course(name, "--out", "notebooks")
        assert refused.returncode == 2 and "choose another folder" in refused.stderr
        assert (course.notebooks / "00_welcome.ipynb").read_bytes() == lecture
    course.write("01_bare", "a = 1")
    solved = course.root / "build" / "solutions" / "00_welcome.ipynb"
    solved.write_text(solved.read_text().replace("Solutions", "My solutions"))
    lost = course("solutions")
    assert lost.returncode == 2 and lost.stdout.startswith("0 notebooks in")
    assert re.match(r"course: .*00_welcome\.ipynb stays as it is: .*\n01_bare\.ipynb: .*\n$", lost.stderr)
    assert "My solutions" in solved.read_text()


def test_clean_leaves_what_somebody_may_have_worked_in(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    for folder in ("lectures", "student", "solutions"):
        (tmp_path / "build" / folder).mkdir(parents=True)
        (tmp_path / "build" / folder / "00_welcome.ipynb").write_text("{}")
    for left in ({"student", "solutions"}, {"solutions"}):
        cleaned = subprocess.run(["make", "clean"], cwd=tmp_path, capture_output=True, text=True)
        assert cleaned.returncode == 0 and "build/student and build/solutions stay" in cleaned.stdout
        assert {path.name for path in (tmp_path / "build").iterdir()} == left
        shutil.rmtree(tmp_path / "build" / "student", ignore_errors=True)
    shutil.rmtree(tmp_path / "build" / "solutions")
    for _ in range(2):
        assert subprocess.run(["make", "clean"], cwd=tmp_path).returncode == 0
        assert not (tmp_path / "build").exists()


def test_a_second_run_says_what_moved(course):
    claim = "from course_utils import expect\nexpect('share <b>', {}, at_least=0.8)"
    course.write("01_good", claim.format(0.95))
    assert "since the last run" not in course("run").stdout
    course.write("01_good", claim.format(0.9))
    again = course("run")
    assert again.returncode == 0 and "1 of 1 figures moved" in again.stdout
    assert "01_good, share <b>: 0.95 → 0.9 (-5.3%; at least 0.8)" in again.stdout
    page = (course.root / "build" / "report.html").read_text()
    assert "Since the last run" in page and "share &lt;b&gt;" in page and "+33.3%" in page
    assert re.search(r"0\.95 \(\d{4}-\d\d-\d\d\)", page)  # and when that was


def test_a_kept_figure_outside_its_bound_is_no_failure_on_real_data(course):
    course.write(
        "01_own", "from course_utils import expect_kept\nexpect_kept('real: lead', 0.1, at_least=0.2)"
    )
    ran = course("run", "--profile", "laptop")
    assert ran.returncode == 0 and "0 of 1" in ran.stdout
    page = (course.root / "build" / "report.html").read_text()
    assert "· not in this run" in page and "missed" not in page
    assert course("run", "--profile", "ci").returncode == 1
    assert "missed" in (course.root / "build" / "report.html").read_text()


def test_assets_are_listed_fetched_verified_and_removed(course, monkeypatch):
    cache = course.root / "cache"
    monkeypatch.setenv("COURSE_CACHE", str(cache))
    monkeypatch.setenv("COURSE_TIMEOUT", "0.5")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("COURSE_MIRROR", raising=False)
    for proxy in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(proxy, "http://127.0.0.1:9")  # nothing listens there
    listed = course("assets", "list")
    assert listed.returncode == 0
    assert re.search(r"bert-base-uncased +\S+ MB +not yet +Apache-2.0", listed.stdout)
    assert re.search(r"bert-mini +\S+ MB +course +CC BY-SA 4.0", listed.stdout)
    stick = course("assets", "fetch", "bert-mini", "--to", "stick")
    assert stick.returncode == 0 and "bert-mini: course" in stick.stdout
    assert (course.root / "stick" / "bert-mini" / "model.safetensors").stat().st_size > 10**6
    lost = course("assets", "fetch", "bert-base-uncased")
    assert lost.returncode == 1 and "What helps" in lost.stdout
    wrong = course("assets", "fetch", "bert")
    assert wrong.returncode == 2 and "There is no asset 'bert'" in wrong.stderr
    name = assets.registry()["simlex-999"].files[0].name
    broken = cache / "assets" / "simlex-999" / name
    broken.parent.mkdir(parents=True)
    broken.write_text("half a file")
    damaged = course("assets", "verify")
    assert damaged.returncode == 1 and f"{name} has 11 bytes" in damaged.stdout
    assert "simlex-999: 0 kB freed" in course("assets", "remove", "simlex-999").stdout
    assert not broken.exists() and course("assets", "verify").returncode == 0


def test_update_twice_gives_the_same_bytes_and_drops_what_is_volatile(course):
    path = course.write("01_good", GOOD, WIDGETS, "import warnings; 1 / 0", tags=["raises-exception"])
    assert course("run", "--update").returncode == 0
    once = path.read_bytes()
    assert course("run", "01", "--update").returncode == 0
    assert path.read_bytes() == once
    stored = notebooks.read(path)
    assert [cell.execution_count for cell in stored.cells[1:]] == [1, 2, 3]
    assert stored.cells[2].outputs[0].data == {"text/plain": notebooks.WIDGET_FALLBACK}
    assert "widgets" not in stored.metadata
    assert "version" not in stored.metadata.language_info
    assert notebooks.to_text(notebooks.normalise(stored)) == path.read_text(encoding="utf-8")


def test_what_was_edited_while_it_ran_is_not_stored(course):
    edit = "from pathlib import Path\nfile = Path('{}')\n"
    edit += "file.write_text(file.read_text().replace('A lecture', 'My edit'))"
    edited = course.write("01_edited", edit.format("01_edited.ipynb"))
    moved = course.write("02_moved", "from pathlib import Path; Path('02_moved.ipynb').unlink()")
    course.write("03_good", "1")
    ran = course("run", "--update")
    assert ran.returncode == 1 and "Traceback" not in ran.stderr
    for name in ("01_edited", "02_moved"):
        assert f"{name}.ipynb: not stored, it was edited while it ran" in ran.stdout
    stored = notebooks.read(edited)
    assert stored.cells[0].source == "# My edit" and stored.cells[1].execution_count is None
    assert not moved.exists() and notebooks.read(course.notebooks / "03_good.ipynb").cells[1].execution_count


def test_update_refuses_stderr_failures_and_other_profiles(course):
    noisy = course.write("01_noisy", "import sys; print('careful', file=sys.stderr)")
    broken = course.write("02_broken", "1 / 0")
    before = noisy.read_bytes(), broken.read_bytes()
    ran = course("run", "--update")
    assert ran.returncode == 1
    assert "01_noisy.ipynb: not stored, cell 2 wrote to stderr: careful" in ran.stdout
    assert "02_broken.ipynb: not stored" in ran.stdout
    assert (noisy.read_bytes(), broken.read_bytes()) == before
    refused = course("run", "--update", "--profile", "laptop")
    assert refused.returncode == 2
    assert "--profile ci" in refused.stderr


def test_one_that_cannot_be_read_does_not_keep_the_others_from_running(course, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "4,2")
    conflict = "<<<<<<< HEAD\n{}\n=======\n{}\n>>>>>>> theirs\n"
    (course.notebooks / "01_conflict.ipynb").write_text(conflict)
    cut = "import os\nfrom course_utils import expect\nexpect('share', 1.0, at_least=0.9)\n"
    cut += "file = os.environ['{}']\n"
    cut += "with open(file, 'a') as report:\n    report.write('[{{\"name\": \"x')"
    course.write("02_record", cut.format("COURSE_REPORT"))
    course.write("03_scores", cut.format("COURSE_SCOREBOARD"))
    course.write("04_good", "import os\nassert os.environ['OMP_NUM_THREADS'] == '4'", "1")
    ran = course("run", "--jobs", "2")
    assert ran.returncode == 1 and "Traceback" not in ran.stderr
    run = json.loads((course.root / "build" / "run.json").read_text())
    assert [lecture["status"] for lecture in run["lectures"]] == ["failed"] * 3 + ["passed"]
    assert run["threads"] == 4 and len(run["lectures"][1]["expectations"]) == 1
    assert re.search(r"01_conflict, cell 1: LectureError: .*01_conflict\.ipynb is not a notebook", ran.stdout)
    assert ran.stdout.count("what it recorded is cut off") == 2
    assert "3 of 4 lectures failed" in (course.root / "build" / "report.html").read_text()


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", "NaN", '{"cells": 1}', b"\xff\xfe", None,
             '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{}]}',
             '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{"cell_type": "code", "metadata": {}}]}',
             '{"nbformat": 9, "nbformat_minor": 0, "metadata": {}, "cells": []}'],
)  # fmt: skip
def test_whatever_a_file_holds_it_is_named_and_nothing_is_raised(tmp_path, text):
    path = tmp_path / "01_odd.ipynb"
    path.mkdir() if text is None else path.write_bytes(text if isinstance(text, bytes) else text.encode())
    lecture = run.LectureRun(path, tmp_path / "out", "ci", 1)
    assert lecture.run().status == "failed" and "01_odd.ipynb" in lecture.outcome.error["message"]


def test_nobodys_own_settings_change_a_run(course, monkeypatch):
    """IPython's configuration and start-up files, Python's; another encoding; colours for a terminal; copies."""
    profile = course.root / "ipython" / "profile_default"
    (profile / "startup").mkdir(parents=True)
    (profile / "ipython_config.py").write_text(
        "c = get_config()\nc.InteractiveShell.ast_node_interactivity = 'all'"
    )
    (profile / "startup" / "mine.py").write_text("mine = 1")
    (course.root / "start.py").write_text("theirs = 1")
    monkeypatch.setenv("IPYTHONDIR", str(profile.parent))
    monkeypatch.setenv("PYTHONSTARTUP", str(course.root / "start.py"))
    monkeypatch.setenv("PYTHONWARNINGS", "always:old")
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    monkeypatch.setenv("FORCE_COLOR", "1")
    quiet = "import warnings; warnings.warn('old', DeprecationWarning, source=None, stacklevel=9)"
    path = course.write("01_good", "1\n'mine' in globals() or 'theirs' in globals()", quiet)
    copies = [path.with_name(f"{name}.ipynb") for name in ("01_good-Copy1", "01_good (1)", "Untitled")]
    for copied in copies:
        shutil.copy(path, copied)
    ran = course("run", "--update")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "01_good: started" in ran.stdout and len(ran.stdout.splitlines()) < 10, "bars are for terminals"
    (shown,) = notebooks.read(path).cells[1].outputs
    assert shown.data == {"text/plain": "False"}
    assert all(copied.name in ran.stderr for copied in copies) and ran.stderr.count("\n") == 1
    assert [file.name for file in (course.root / "build" / "lectures").iterdir()] == ["01_good.ipynb"]
    assert all(notebooks.read(copied).cells[1].execution_count is None for copied in copies)


@pytest.mark.skipif(os.name == "nt", reason="needs signals")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_an_interrupted_run_reports_what_had_passed_and_leaves_no_kernel(course, name):
    course.write("03_good", GOOD)  # the last is the first to run
    pid = course.root / "pid"
    course.write("02_long", f"import os, pathlib, time\npathlib.Path({str(pid)!r}).write_text(f'{{os.getpid()}}\\n')\n"
                 f"time.sleep({PATIENCE})")  # fmt: skip
    course.write("01_never", "1")
    process = subprocess.Popen(
        [sys.executable, "-m", "course_tools.cli", "run", "--jobs", "1"],
        cwd=course.root, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not (pid.exists() and pid.read_text().endswith("\n")):
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.05)
    number = getattr(signal, name)
    process.send_signal(number)
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + number and "Interrupted: the report has what had passed" in said
    assert not psutil.pid_exists(int(pid.read_text()))
    run = json.loads((course.root / "build" / "run.json").read_text())
    assert run["interrupted"] == number
    assert [lecture["status"] for lecture in run["lectures"]] == ["stopped", "stopped", "passed"]
    assert "Interrupted: 1 of 3 lectures had passed" in (course.root / "build" / "report.html").read_text()


def test_a_result_that_comes_long_after_its_cell_is_not_lost(course):
    late = "import sys, time\nsys.stdout.flush_timeout = sys.stderr.flush_timeout = 0.01\n"
    late += "get_ipython().kernel.iopub_thread.schedule(lambda: time.sleep(7))\n1 + 1"
    lecture = run.LectureRun(course.write("01_late", late), course.root, "ci", 1)
    assert lecture.run().passed
    assert [output.data for output in lecture.notebook.cells[1].outputs] == [{"text/plain": "2"}]


def test_a_kernel_that_is_only_starting_is_ended_too(course, monkeypatch):
    lecture = run.LectureRun(
        course.write("01_long", f"import time; time.sleep({PATIENCE})"), course.root, "ci", 1
    )
    started = run._Client.async_start_new_kernel_client

    async def stopped_just_before(client):
        lecture.stop()
        return await started(client)

    monkeypatch.setattr(run._Client, "async_start_new_kernel_client", stopped_just_before)
    assert lecture.run().status == "stopped"
    assert not lecture._processes()


@pytest.mark.parametrize(
    ("setting", "threads"), [("4,2", 4), ("", 3), (" 2 ", 2), ("many", 3), ("0", 3), ("-1", 3), ("1.5", 1)]
)
def test_threads_are_the_first_number_or_the_usual(monkeypatch, setting, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", setting)
    assert run.kernel_environment("ci", "10_x", 3)["OMP_NUM_THREADS"] == str(threads)


def command(monkeypatch, capsys, *arguments):
    """Run the command here; its exit code and what it said on stderr."""
    monkeypatch.setattr(sys, "argv", ["course", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code, capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["student"], ["solutions"], ["run"]], ids=lambda words: words[0])
def test_a_full_disk_is_said_in_a_sentence_and_nothing_is_half_written(
    course, monkeypatch, capsys, arguments
):
    lecture = (ROOT / "notebooks" / "00_welcome.ipynb").read_bytes()
    (course.notebooks / "00_welcome.ipynb").write_bytes(lecture)
    if arguments == ["run"]:
        course.write("00_welcome", "1")
    before, write_text = {path: path.read_bytes() for path in course.notebooks.iterdir()}, Path.write_text

    def full(path, text, **options):
        if "00_welcome" in path.name or path.suffix == ".part":
            write_text(path, text[:100], **options)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return write_text(path, text, **options)

    monkeypatch.setattr(Path, "write_text", full)
    code, said = command(monkeypatch, capsys, *arguments, "--out", course.root / "out")
    assert code == 2 and re.fullmatch(r"course: \S+: No space left on device\.\n", said)
    left = [path.name for path in (course.root / "out").rglob("*") if path.is_file()]
    assert set(left) <= {"00_welcome.log"}  # what the kernel itself had said
    assert {path: path.read_bytes() for path in course.notebooks.iterdir()} == before


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a place where nothing can be made")
@pytest.mark.parametrize("words", ["run 00 --out", "student 00 --out", "slides 00 --out"])
def test_a_folder_that_cannot_be_made_is_said_in_a_sentence(monkeypatch, capsys, words):
    code, said = command(monkeypatch, capsys, *words.split(), "/proc/x/y")
    assert code == 2 and said.startswith("course: ") and "/proc/x" in said and said.count("\n") == 1


def test_a_wrong_profile_in_the_environment_is_said_in_a_sentence(monkeypatch, capsys):
    monkeypatch.setenv("COURSE_PROFILE", "huge")
    for words in (["doctor"], ["run", "00"]):
        code, said = command(monkeypatch, capsys, *words)
        assert code == 2 and said.startswith("course: There is no profile 'huge'; choose one of ci,")


@pytest.mark.parametrize("package", ["typer", "rich"])
def test_without_the_extra_lab_it_says_what_to_install(package):
    script = f"import sys; sys.modules['{package}'] = None; from course_tools.cli import main; main()"
    ran = subprocess.run([sys.executable, "-c", script, "doctor"], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode and ran.stderr.startswith(f"course: {package}") and ran.stderr.count("\n") == 1
    assert "pip install" in ran.stderr


@pytest.mark.parametrize(
    "settings",
    [{"PYTHONIOENCODING": "cp1252"}, {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}],
)
def test_what_a_file_has_no_letter_for_is_no_error(settings, tmp_path):
    with (tmp_path / "said").open("wb") as file:
        command = [sys.executable, "-m", "course_tools.cli", "doctor"]
        ran = subprocess.run(
            command, cwd=ROOT, env=os.environ | settings, stdout=file, stderr=subprocess.PIPE
        )
    said = (tmp_path / "said").read_bytes()
    assert b"? Python" in said and b"Cache  " in said and not ran.stderr
    assert ran.returncode == (b"Something is missing" in said)


def test_unknown_names_are_said_in_a_sentence(course):
    course.write("01_good", "1")
    for arguments, words in {
        ("run", "7"): "01_good",
        ("run", "--profile", "huge"): "no profile 'huge'",
    }.items():
        ran = course(*arguments)
        assert ran.returncode == 2
        assert words in ran.stderr
        assert "Traceback" not in ran.stderr


def test_report_shows_the_scoreboard_of_all_lectures(course):
    add = "from course_utils import results\nresults.add_to_scoreboard({!r}, [0.9, 0.92], trainable=10, seconds=1, real=False)"
    course.write("01_one", add.format("majority"))
    course.write(
        "02_two", add.format("frozen encoder"), "assert len(results.scoreboard()) == 1  # only its own"
    )
    ran = course("run")
    assert ran.returncode == 0, ran.stdout
    page = (course.root / "build" / "report.html").read_text()
    assert "majority" in page and "frozen encoder" in page and "data:image/png;base64," in page
    assert len(results.scoreboard(course.root / "build" / "scoreboard.json")) == 2


def test_sync_rewrites_and_check_only_reports(course):
    path = course.write("01_small", "setup", "old source")
    notebook = notebooks.read(path)
    notebook.cells[1].metadata["course"] = {"role": "setup"}
    names = ["course_utils.expectations:expect", "course_utils.expectations:record"]
    notebook.cells[2].metadata["course"] = {"source": names}
    notebooks.write(notebook, path)
    before = path.read_bytes()
    checked = course("sync", "--check")
    assert checked.returncode == 1
    assert checked.stdout.count("01_small.ipynb, cell") == 3
    assert path.read_bytes() == before
    assert course("sync").returncode == 0
    assert course("sync", "--check").returncode == 0
    synced = notebooks.read(path)
    assert synced.cells[2].source == sync.source_of(names)
    assert "\n\n\ndef record(" in synced.cells[2].source
    assert re.search(r"github/old/place/blob/[\w.-]+/notebooks/01_small.ipynb", synced.cells[0].source)
    assert synced.cells[1].metadata["jupyter"] == {"source_hidden": True}
    (course.root / "README.md").write_text(
        "[x](https://github.com/old/place/y) https://mybinder.org/v2/gh/old/place/main old/place-2"
    )
    assert course("sync", "--repository", "new/home").returncode == 0
    readme = (course.root / "README.md").read_text()
    assert readme == "[x](https://github.com/new/home/y) https://mybinder.org/v2/gh/new/home/main old/place-2"
    assert sync.repository(course.root) == "new/home"
    assert "old/place" not in path.read_text(encoding="utf-8")
    assert course("sync", "--check").returncode == 0
    assert course("sync", "--repository", "nonsense").returncode == 2


def test_a_terms_tag_is_what_set_up_cells_install_and_badges_open(course, monkeypatch):
    path = course.write("01_small", "setup")
    notebook = notebooks.read(path)
    notebook.cells[1].metadata["course"] = {"role": "setup"}
    notebooks.write(notebook, path)
    monkeypatch.setattr(sync, "__file__", str(course.root / "course_tools" / "sync.py"))
    shutil.copytree(ROOT / "course_tools" / "skeleton", course.root / "course_tools" / "skeleton")
    shutil.copy(ROOT / "README.md", course.root)
    for tag in ("2027-spring", "v2.zip", "main"):
        assert CliRunner().invoke(cli.app, ["sync", "--tag", tag]).exit_code == 0
        badges, setup = (cell.source for cell in notebooks.read(path).cells)
        assert f"github.com/old/place/archive/{tag}.zip " in setup
        for link in (
            "/github/old/place/blob/{}/",
            ".com/old/place/{}/notebooks/",
            "/gh/old/place/{}?labpath=",
        ):
            assert link.format(tag) in badges
        assert f"/blob/{tag}/notebooks/00_welcome.ipynb" in (course.root / "README.md").read_text("utf-8")
    assert (course.root / "README.md").read_bytes() == (ROOT / "README.md").read_bytes()
    for wrong in (["--tag", "a b"], ["--tag", "main", "--check"]):
        assert CliRunner().invoke(cli.app, ["sync", *wrong]).exit_code != 0


def test_the_set_up_cell_installs_nothing_that_colab_has():
    source = sync.setup_cell("owner/name")
    assert source.startswith('# @title Set-up: run this cell first { display-mode: "form" }\n')
    assert "--no-deps" in source
    assert source.endswith("from course_utils import start\n\ncourse = start()")
    for name in ("torch", "numpy", "pandas", "ipywidgets"):
        assert name not in re.search(r"%pip.*", source)[0]


def test_lab_opens_a_lecture_for_root_in_a_container_too(monkeypatch):
    asked = []
    monkeypatch.setattr(subprocess, "call", lambda command: asked.append(command) or 0)
    assert CliRunner().invoke(cli.app, ["lab", "03"]).exit_code == 0
    (path,) = notebooks.find(["03"])
    page = f"--LabApp.default_url=/lab/tree/{path.name}"
    assert asked == [[sys.executable, "-m", "jupyterlab", str(path), page, "--allow-root"]]


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("host", ["colab", "kaggle", "laptop"])
def test_the_set_up_cell_installs_only_where_the_course_is_missing_on_a_host(monkeypatch, host, there):
    from IPython.core.inputtransformer2 import TransformerManager

    asked = []
    shell = SimpleNamespace(run_line_magic=lambda magic, line: asked.append((magic, line)))
    monkeypatch.delenv("KAGGLE_KERNEL_RUN_TYPE", raising=False)
    if host == "colab":
        monkeypatch.setitem(sys.modules, "google.colab", SimpleNamespace())
    if host == "kaggle":
        monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Interactive")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if there else None)
    source = sync.setup_cell("owner/name", needs="onnx ray[data]").partition(
        "from course_utils import start"
    )[0]
    exec(TransformerManager().transform_cell(source), {"get_ipython": lambda: shell})
    installs = host != "laptop" and not there
    assert [magic for magic, _ in asked] == ["pip", "pip"] * installs
    assert not installs or asked[1][1] == "install --quiet onnx ray[data]"


def test_on_colab_a_lecture_asks_for_a_gpu_and_brings_what_only_it_needs():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    named = {one.partition(">")[0] for one in extras["serve"] + extras["cluster"]}
    needs = {}
    for path in notebooks.find():
        metadata = notebooks.read(path).metadata
        assert metadata.get("accelerator") == (None if path.stem == "00_welcome" else "GPU"), path.name
        needs[notebooks.number(path.stem)] = set(metadata.get("course", {}).get("needs", "").split())
    assert needs.pop("15a") | needs.pop("15b") == named - {"httpx"}  # httpx: for the server's tests
    assert not any(needs.values())


@pytest.mark.parametrize(
    "name", ["course_utils.nothing:here", "course_utils.session:nothing", "math:pi", "nonsense"]
)
def test_a_synced_cell_without_source_is_an_error(name):
    with pytest.raises(notebooks.LectureError, match="has no source"):
        sync.source_of(name)


STUDENTS = {
    "provenance": [{"file_id": "1aB", "timestamp": 1}],
    "authorship_tag": "ABX9",
    "name": "Ada's copy",
    "include_colab_link": True,
}


def test_normalise_keeps_what_matters_and_nothing_else():
    cell = new_code_cell("1", execution_count=9, id="kept-id")
    cell.metadata.update(
        tags=["x"], collapsed=True, scrolled=False, run={"iopub": "1"}, jupyter={"outputs_hidden": True}
    )
    widget = {notebooks.WIDGET_VIEW: {"model_id": "volatile"}, "text/plain": "IntSlider(value=0)"}
    named = {notebooks.WIDGET_VIEW: {"model_id": "volatile"}, "text/plain": "A sentence", "image/png": "AAAA"}
    installed = new_output(
        "error",
        ename="E",
        evalue="",
        traceback=["File /home/me/lib/site-packages/torch/nn.py:3, File ~/transfer/course_utils/files.py:7"],
    )
    cell.outputs = [
        new_output("stream", name="stdout", text="a"),
        new_output("stream", name="stdout", text="b"),
        new_output("display_data", data=widget),
        new_output("display_data", data=named, metadata={"image/png": {"alt": "words"}}),
        new_output("execute_result", data={"text/plain": "1"}, execution_count=9),
        installed,
    ]
    unrun = new_code_cell("2")
    notebook = new_notebook(
        cells=[cell, unrun], metadata={"widgets": {}, "colab": {"gpuType": "T4", **STUDENTS}}
    )
    stored = notebooks.normalise(notebook)
    assert notebooks.normalise(stored) == stored
    first = stored.cells[0]
    assert (first.id, first.execution_count, first.metadata) == ("kept-id", 1, {"tags": ["x"]})
    assert first.outputs[0].text == "ab"
    assert first.outputs[1].data == {"text/plain": notebooks.WIDGET_FALLBACK}
    assert first.outputs[2].data == {"text/plain": "A sentence", "image/png": "AAAA"}
    assert first.outputs[2].metadata == {"image/png": {"alt": "words"}}
    assert first.outputs[3].execution_count == 1
    assert first.outputs[4].traceback == ["File torch/nn.py:3, File course_utils/files.py:7"]
    assert stored.cells[1].execution_count is None
    assert stored.metadata.keys() == {"colab", "kernelspec", "language_info"}
    assert stored.metadata.colab == {"gpuType": "T4", "provenance": []}
    assert cell.execution_count == 9, "the original is left alone"
    assert notebooks.refusals(stored) == ["cell 1 raised E: ", "cell 2 was not run"]


def test_reading_something_else_names_the_file(tmp_path):
    (tmp_path / "x.ipynb").write_text("no notebook")
    with pytest.raises(notebooks.LectureError, match=r"x\.ipynb"):
        notebooks.read(tmp_path / "x.ipynb")


def test_kernel_environment_is_the_same_whoever_asks(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    environment = run.kernel_environment("ci", "10_x", 3)
    assert "MPLBACKEND" not in environment
    assert environment["OMP_NUM_THREADS"] == "3"
    assert environment["HF_HUB_OFFLINE"] == "1"
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    assert run.kernel_environment("laptop", "10_x", 3)["OMP_NUM_THREADS"] == "2"
    assert "HF_HUB_OFFLINE" not in run.kernel_environment("laptop", "10_x", 3)


def test_a_message_whose_arrival_was_missed_is_found(monkeypatch):
    monkeypatch.setattr(run, "ASK_AGAIN", 0.01)
    waited = []

    async def get_msg(timeout):
        waited.append(timeout)
        if len(waited) < 3:  # it is there, and the socket does not tell
            await asyncio.sleep(timeout)
            raise queue.Empty
        return "reply"

    patient = run.asked_again(get_msg)
    assert asyncio.run(patient()) == "reply" and max(waited) <= 0.01
    waited.clear()
    assert asyncio.run(patient(timeout=PATIENCE)) == "reply" and max(waited) <= 0.01

    async def nothing(timeout):
        await asyncio.sleep(timeout)
        raise queue.Empty

    with pytest.raises(queue.Empty):
        asyncio.run(run.asked_again(nothing)(timeout=0.05))  # runs out


def test_a_run_asks_again_on_both_channels(course, monkeypatch, tmp_path):
    wrapped = []
    monkeypatch.setattr(run, "asked_again", lambda get_msg: wrapped.append(get_msg) or get_msg)
    path = course.write("01_small", "print(1)")
    assert run.LectureRun(path, tmp_path / "out", "ci", 1).run().passed
    assert len(wrapped) == 2


def test_report_words():
    assert report.bound({"at_least": 0.5, "at_most": 2, "equals": None}) == "at least 0.5 and at most 2"
    assert [report.minutes(9.44), report.minutes(185)] == ["9.4 s", "3 min 05 s"]
    assert report.figure_text(1234567) == "1,234,567"


def test_doctor_finds_this_machine_fit(capsys):
    assert doctor.machine_check(), capsys.readouterr().out
    printed = capsys.readouterr().out
    assert "✓ Python" in printed
    assert not re.search(r"/(home|root|tmp)/", printed), "a lecture stores this output"


def test_doctor_says_what_to_do(monkeypatch, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "file" / "below"))
    monkeypatch.setattr(
        doctor,
        "_requirements",
        lambda: [doctor.Requirement("no-such-package>=1"), doctor.Requirement("numpy>=99")],
    )
    assert not doctor.machine_check()
    found = {check.name: check for check in doctor.doctor()}
    for name in ("Packages", "Cache folder"):
        assert found[name].status == "problem"
        assert found[name].advice
    assert '"no-such-package>=1"' in found["Packages"].advice
    assert "COURSE_CACHE" in found["Cache folder"].advice
    assert "Something is missing" in capsys.readouterr().out


def test_each_asset_that_cannot_be_fetched_says_why_and_one_alone_what_helps(monkeypatch):
    def resolve(name, profile):
        raise assets.AssetError(f"{name} was not found.\nWhat helps: much", f"{name}.example: no connection")

    monkeypatch.setattr(assets, "resolve", resolve)
    shown = CliRunner().invoke(cli.app, ["assets", "fetch", "wnut17", "genesis"])
    assert shown.exit_code == 1 and "What helps" not in shown.output
    for name in ("wnut17", "genesis"):
        assert f"{name}: not fetched ({name}.example: no connection)" in shown.output
    assert "2 could not be fetched: each says what helps if you fetch it alone." in shown.output
    shown = CliRunner().invoke(cli.app, ["assets", "fetch", "wnut17"])
    assert shown.exit_code == 1 and "What helps: much" in shown.output


def test_a_disk_that_is_full_for_one_asset_leaves_room_for_the_others(monkeypatch, tmp_path):
    copyfile = shutil.copyfile

    def full(source, target):
        if "simlex" in str(source):
            Path(target).write_bytes(b"half")
            raise OSError(28, "No space left on device")
        copyfile(source, target)

    monkeypatch.setattr(shutil, "copyfile", full)
    names = ["wordsim-353", "simlex-999", "google-analogies"]
    shown = CliRunner().invoke(cli.app, ["assets", "fetch", *names, "--to", str(tmp_path / "usb")])
    assert (
        shown.exit_code == 1
        and "wordsim-353: wheel" in shown.output
        and "google-analogies: wheel" in shown.output
    )
    assert (
        f"simlex-999: not fetched ({tmp_path / 'usb'} cannot be written (No space left on device))"
        in shown.output
    )
    assert "Choose another folder, with 18 kB free" in shown.output
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [
        "questions-words.txt",
        "wordsim353.tsv",
    ]


@pytest.mark.parametrize("to", ["/proc/x", "/dev/null"])
def test_a_mirror_where_nothing_can_be_written_is_said_in_a_sentence(to):
    shown = CliRunner().invoke(cli.app, ["assets", "fetch", "simlex-999", "--to", to])
    assert shown.exit_code == 1 and isinstance(shown.exception, SystemExit)
    assert f"{to} cannot be written" in shown.output and "Choose another folder" in shown.output


def test_verify_says_what_mends_each_place(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_MIRROR", str(tmp_path / "usb"))
    (tmp_path / "usb" / "simlex-999").mkdir(parents=True)
    (tmp_path / "usb" / "simlex-999" / "simlex999.txt").write_text("cut o")
    kept = tmp_path / "course-cache" / "assets" / "wikipedia-sample" / "made-1.txt"
    kept.parent.mkdir(parents=True)
    kept.write_text("no seal")
    shown = CliRunner().invoke(cli.app, ["assets", "verify", "simlex-999", "wikipedia-sample"])
    assert shown.exit_code == 1
    assert f"`course assets fetch simlex-999 --to {tmp_path / 'usb'}`" in shown.output
    assert "`course assets remove wikipedia-sample`" in shown.output
    for command in (["fetch", "simlex-999", "--to", str(tmp_path / "usb")], ["remove", "wikipedia-sample"]):
        assert CliRunner().invoke(cli.app, ["assets", *command]).exit_code == 0
    assert CliRunner().invoke(cli.app, ["assets", "verify", "simlex-999", "wikipedia-sample"]).exit_code == 0


def test_doctor_says_what_mends_a_damaged_asset(monkeypatch):
    line = "wheel toy: toy.txt is missing. What helps: pip install --force-reinstall --no-deps toy"
    monkeypatch.setattr(assets, "status", lambda name: ("", [line] if name == "minilm" else []))
    monkeypatch.setattr(doctor, "_answers", lambda address: False)
    (check,) = (check for check in doctor.doctor() if check.name == "minilm")
    assert (check.status, check.finding, check.advice) == ("problem", "damaged", line)


def test_the_command_fixes_paths_for_the_kernels_that_it_starts(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COURSE_MIRROR", "usb")
    assert CliRunner().invoke(cli.app, ["assets", "remove", "genesis"]).exit_code == 0
    assert os.environ["COURSE_MIRROR"] == str(tmp_path / "usb")


@pytest.mark.parametrize(
    ("make", "status", "finding"),
    [
        (lambda folder: None, "problem", "does not exist"),
        (lambda folder: folder.mkdir(), "problem", "holds 0 of 16"),
        (
            lambda folder: [assets.copy_to(name, folder) for name in ("simlex-999", "wordsim-353")],
            "ok",
            "holds 2 of 16",
        ),
    ],
)
def test_doctor_knows_the_mirror(monkeypatch, tmp_path, make, status, finding):
    monkeypatch.setenv("COURSE_PROFILE", "laptop")
    monkeypatch.setattr(doctor, "_answers", lambda address: False)
    folder = tmp_path / "usb"
    make(folder)
    assert not [check for check in doctor.doctor() if check.name == "Mirror"]  # none is named
    monkeypatch.setenv("COURSE_MIRROR", str(folder))
    (check,) = (check for check in doctor.doctor() if check.name == "Mirror")
    assert (check.status, check.finding) == (status, finding.replace("16", str(len(assets.registry()))))
    assert str(folder) in check.advice or status == "ok"
    monkeypatch.setenv("COURSE_PROFILE", "ci")
    assert not [check for check in doctor.doctor() if check.name == "Mirror"]  # not read there


class Deaf(BaseHTTPRequestHandler):
    """A server that has nothing, but is there."""

    def do_HEAD(self):
        self.send_error(404)

    def log_message(self, *_):
        pass


def test_doctor_tells_what_can_be_fetched_from_what_cannot(monkeypatch):
    monkeypatch.setenv("COURSE_PROFILE", "laptop")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}"
    with ThreadingHTTPServer(("127.0.0.1", 0), Deaf) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        somebody = f"http://127.0.0.1:{server.server_port}"
        known = assets.registry()
        files = known["genesis"]
        made = {
            name: replace(
                files, name=name, sources=[{"url": f"{host}/x/y.zip"} for host in hosts], stand_in=None
            )
            for name, hosts in {"far": [nobody], "near": [nobody, somebody]}.items()
        }
        monkeypatch.setattr(assets, "registry", lambda: made)
        monkeypatch.setattr(assets, "status", lambda name: store.status(made[name]))
        checks = {check.name: check for check in doctor._assets()}
        server.shutdown()
    assert "not here yet: 382 kB, fetched when" in checks["near"].finding
    assert f"no answer from {nobody.removeprefix('http://')}" in checks["far"].finding
    assert checks["far"].status == "note" and "COURSE_MIRROR" in checks["far"].advice


@pytest.mark.parametrize("command", ["student", "solutions", "slides", "site"])
def test_nothing_is_written_among_other_things(tmp_path, command):
    (tmp_path / "thesis.tex").write_text("years of work")
    ran = CliRunner().invoke(cli.app, [command, "00", "--out", str(tmp_path)])
    assert isinstance(ran.exception, CourseError) and "choose another folder" in str(ran.exception)
    for name in (command, "run"):
        ran = CliRunner().invoke(cli.app, [name, "00", "--out", str(tmp_path / "thesis.tex")])
        assert isinstance(ran.exception, CourseError) and "choose another folder" in str(ran.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


LAB = (
    "nbformat",
    "nbclient",
    "nbconvert",
    "jupyter_client",
    "ipykernel",
    "zmq",
    "sphinx",
    "sphinx_revealjs",
)


@pytest.fixture
def installed(tmp_path):
    """The packages as a wheel brings them, outside a checkout; ``bare`` is without what only a checkout's extras bring."""
    packages, elsewhere = tmp_path / "site-packages", tmp_path / "elsewhere"
    for name in ("course_utils", "course_tools"):
        shutil.copytree(ROOT / name, packages / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "data", packages / "course_utils" / "data")
    elsewhere.mkdir()

    def call(*arguments, bare=False):
        blocked = f"import sys; sys.modules.update(dict.fromkeys({LAB}))\n" if bare else ""
        environment = {name: value for name, value in os.environ.items() if name != "COURSE_NOTEBOOKS"}
        environment |= {"PYTHONPATH": str(packages), "COLUMNS": "100"}
        return subprocess.run(
            [sys.executable, "-c", f"{blocked}from course_tools.cli import main; main()", *arguments],
            cwd=elsewhere, env=environment, capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip

    return call


def test_outside_a_checkout_doctor_and_assets_work(installed):
    listed = installed("assets", "list", bare=True)
    assert listed.returncode == 0 and re.search(r"bert-mini +\S+ MB +course", listed.stdout), listed.stderr
    checked = installed("doctor", bare=True)
    assert "✓ Python" in checked.stdout and "Cache  " in checked.stdout and "Traceback" not in checked.stderr


@pytest.mark.parametrize(
    "command",
    [
        "run",
        "lab",
        "student",
        "solutions",
        "slides",
        "site",
        "sync",
        "check",
        "grade homework",
        "new 17_pipes Pipes",
    ],
)
def test_outside_a_checkout_the_others_say_in_a_sentence_what_they_need(installed, command):
    for bare in (False, True):
        ran = installed(*command.split(), bare=bare)
        assert ran.returncode == 2 and ran.stderr.startswith("course: ") and ran.stderr.count("\n") == 1, (
            ran.stderr
        )
        assert "a checkout of the course" in ran.stderr


def test_a_missing_asset_is_said_in_a_sentence(monkeypatch, capsys):
    def absent(*_, **__):
        raise assets.AssetError("genesis was not found.")

    monkeypatch.setattr(assets, "status", absent)
    monkeypatch.setattr(sys, "argv", ["course", "assets", "verify", "genesis"])
    with pytest.raises(SystemExit, match="2"):
        cli.main()
    assert capsys.readouterr().err == "course: genesis was not found.\n"
    assert not issubclass(assets.AssetError, notebooks.LectureError)


def test_the_command_runs_as_a_module():
    ran = subprocess.run([sys.executable, "-m", "course_tools.cli", "--help"], capture_output=True, text=True)
    assert ran.returncode == 0 and "doctor" in ran.stdout


def test_the_readme_lists_the_lectures_that_are_here():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"(?m)^\| \d\d[a-z]? \| \[[^]]+\]\(notebooks/(\w+\.ipynb)\)", readme)
    assert listed == [path.name for path in notebooks.find()]


def test_a_lecture_goes_by_its_number_with_or_without_a_nought():
    assert notebooks.find(["7"]) == notebooks.find(["07"]) and len(notebooks.find(["7", "10"])) == 2


def test_constraints_are_read_in_a_checkout():
    assert doctor.constraints()["torch"] == "2.13.0"
