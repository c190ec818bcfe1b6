"""Feedback for a class: the check of each exercise that was handed in, each in a process of its own.

It runs what students wrote. Its limits stop accidents, not attacks; a pass can be forged: docs/teaching.md.
"""

import ast
import contextlib
import ctypes
import json
import multiprocessing
import os
import re
import signal
import tempfile
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import joblib  # type: ignore[import-untyped]
import pandas as pd
import psutil
from IPython.core.interactiveshell import InteractiveShell

from course_tools import CourseError, notebooks, report
from course_tools.check import parsed
from course_tools.run import kernel_environment
from course_tools.versions import CHECK, tagged
from course_utils import start
from course_utils.exercises import SOLUTION, CheckFailed, kept, progress

MEMORY, LARGEST_FILE = 4 * 2**30, 2**30  # bytes; the first beyond what the libraries take
# Imported once: every process begins as a copy.
LIBRARIES = ["course_tools.grade", "course_utils.features", "course_utils.training", "course_utils.widgets"]
LIBRARIES += ["course_utils.exercises.quiz", "sklearn.metrics", "transformers"]
# How Moodle and Canvas name it: NAME_NUMBER_assignsubmission_file_, NAME_LATE_NUMBER_NUMBER_FILE.
UPLOADED = re.compile(r"(.+?)_(?:LATE_)?(\d{4,})_.+")
NEW_PART = re.compile(r"^(?:## |\*\*Exercise \d)", re.MULTILINE)
LECTURE = re.compile(r"exercises\.lecture_(\d\d[a-z]?)\b|^# (\d\d[a-z]?) · ", re.MULTILINE)
NEW_NAMESPACES = 0x10000000 | 0x40000000  # CLONE_NEWUSER | CLONE_NEWNET: a network in which nothing is
DEFINITIONS, IMPORTS = ast.FunctionDef | ast.ClassDef, ast.Import | ast.ImportFrom


@dataclass
class Answer:
    """What a student wrote for an exercise, and what its check says; or why there is no exercise."""

    student: str
    file: Path
    message: str
    lecture: str = ""
    exercise: str = ""
    digest: str = ""  # of the file
    given: list[str] = field(default_factory=list)  # imports and definitions that stand before it
    cells: list[str] = field(default_factory=list)  # its own, up to the call of its check
    code: frozenset[str] = frozenset()  # what these define, to be compared
    alike: str = ""  # whose it is, too
    passed: bool = False
    offline: bool = True


def grade_all(folder: Path, out: Path, seconds: int, say: Callable[[str], None]) -> None:
    """Run what was handed in; write ``OUT/grades.csv`` and ``OUT/grades.html``, also when interrupted.

    Raises:
        CourseError: if nothing was handed in.
    """
    found = [answer for student, path in submissions(folder, out) for answer in answers(student, path)]
    if not found:
        raise CourseError(f"Nothing is in {folder}: it should hold notebooks, or a folder for each student.")
    found.sort(key=lambda answer: (answer.student, answer.lecture))
    tasks = [answer for answer in found if answer.cells]
    for answer in tasks:
        answer.alike = alike(answer, tasks)
    os.environ.update(kernel_environment("ci", "", 1, MPLBACKEND="agg"))
    multiprocessing.set_forkserver_preload(LIBRARIES)
    pool = ThreadPoolExecutor(joblib.cpu_count())
    try:
        for answer in pool.map(lambda task: run(task, seconds), tasks):
            say(f"{'✓' if answer.passed else '✗'} {answer.student}, {answer.lecture} {answer.exercise}")
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            end(process)
        pool.shutdown()
        write(found, out, seconds)


def submissions(folder: Path, out: Path) -> Iterator[tuple[str, Path]]:
    """Each notebook that was handed in, or another file where there is none, and whose it is.

    The name is that of the folder below ``folder``, or of the file, without what Moodle, Canvas and the
    lecture add.
    """
    lectures = re.compile("|".join(path.stem for path in notebooks.find()))
    handed_in: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if (
            not path.is_file()
            or out in path.parents
            or any(part.startswith((".", "__MACOSX")) for part in parts)
        ):
            continue
        name = unicodedata.normalize("NFC", parts[0] if len(parts) > 1 else path.stem)
        uploaded = UPLOADED.fullmatch(name)
        own = lectures.sub("", name).strip(" _-") or name
        handed_in[(uploaded[1], uploaded[2]) if uploaded else (own, "")].append(path)
    students = [student for student, _ in handed_in]
    for (student, number), files in sorted(handed_in.items()):
        named = f"{student} ({number})" if students.count(student) > 1 else student
        for path in [file for file in files if file.suffix.lower() == ".ipynb"] or files[:1]:
            yield named, path


def answers(student: str, path: Path, folded: bool = False) -> list[Answer]:
    """What a notebook holds for each exercise of its lecture, or why it holds nothing.

    An answer's cells are those after the check, the heading or the question before it; folded solutions count if asked for.
    """
    try:
        digest, cells = notebooks.digest(path.read_bytes()), notebooks.read(path).cells
        named = LECTURE.search("\n".join(cell.source for cell in cells))
        lecture = (named[1] or named[2]) if named else ""
        if lecture not in progress.lectures_with_exercises():
            raise CourseError(f"{path.name} holds no exercises of a lecture.")
        found, given, own = {}, [], []
        for check in progress.to_do(lecture)["exercises"]:
            missing = f"The notebook does not call {check}."
            found[check] = Answer(student, path, missing, lecture, check, digest)
        for cell in cells:
            is_code = cell.cell_type == "code"
            solution = tagged(cell, "solution") or cell.source.startswith(SOLUTION)
            own += [cell.source] if is_code and (folded or not solution) else []
            called = [found[check] for check in CHECK.findall(cell.source) if is_code and check in found]
            if not called and (is_code or not NEW_PART.search(cell.source)):
                continue
            nodes = [node for source in own for node in definitions(source)]
            for answer in called:
                answer.given, answer.cells = [*given], [*own]
                answer.code = frozenset(ast.dump(node) for node in nodes if isinstance(node, DEFINITIONS))
                answer.message = "It was not run: the grading was interrupted."
            given, own = given + [ast.unparse(node) for node in nodes], []
        return list(found.values())
    except Exception as error:  # whatever can be handed in
        return [Answer(student, path, notebooks.shorten(str(error).replace(str(path), path.name)))]


def definitions(source: str) -> Iterator[ast.stmt]:
    """What a cell imports and defines, without docstrings, and without stubs that are still to be written."""
    tree = parsed(source)
    for node in tree.body if tree else []:
        if isinstance(node, DEFINITIONS) and ast.get_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
        if isinstance(node, DEFINITIONS | IMPORTS) and "NotImplementedError" not in ast.dump(node):
            yield node


@cache
def solutions(lecture: str) -> dict[str, frozenset[str]]:
    """For each check of a lecture, what its folded solution defines."""
    found = answers("", notebooks.find([lecture])[0], folded=True)
    return {answer.exercise: answer.code for answer in found}


def alike(answer: Answer, tasks: list[Answer]) -> str:
    """Whether an answer is the folded solution, or also another student's."""
    others = [each for each in tasks if each.exercise == answer.exercise and each.student != answer.student]
    file = ", ".join(sorted({other.student for other in others if other.digest == answer.digest}))
    same = ", ".join(sorted({other.student for other in others if other.code == answer.code}))
    if file:
        return f"The same file as {file}."
    if answer.code and answer.code >= solutions(answer.lecture)[answer.exercise]:
        return "The same as the folded solution."
    return f"The same answer as {same}." if answer.code and same else ""


def run(answer: Answer, seconds: int) -> Answer:
    """Run an answer in a process of its own, for at most so many seconds."""
    context: Any = multiprocessing.get_context("forkserver" if os.name == "posix" else "spawn")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        results, theirs = context.Pipe(duplex=False)
        process = context.Process(target=examine, args=(theirs, folder, answer))
        process.start()
        theirs.close()
        answer.message = f"It did not end within {seconds} seconds."
        try:
            if results.poll(seconds):
                # Text, not pickles: what comes back was made where a student's code ran.
                answer.passed, answer.message, answer.offline = json.loads(results.recv_bytes(2**20))
        except (EOFError, OSError, ValueError):
            process.join(seconds)
            code = f"{process.exitcode} (-9: killed from outside; -11: a crash in native code)"
            answer.message = f"Its process ended before its check, with exit code {code}."
        finally:
            end(process)
    return answer


def end(process: Any) -> None:
    """Kill a process, and all that it has started."""
    with contextlib.suppress(AttributeError, OSError):  # not on Windows; or it has ended
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()


def examine(results: Any, folder: str, answer: Answer) -> None:
    """In a process of its own: run an answer; send whether its check passed, a message, whether offline."""
    offline = confine(folder)
    shell = InteractiveShell.instance()
    shell.user_ns["course"] = start("ci")
    shell.enable_gui = lambda gui=None: None  # as in a notebook: %matplotlib has nothing to open
    for source in answer.given:
        shell.run_cell(source)
    ran = [shell.run_cell(source) for source in answer.cells]
    errors = [result.error_before_exec or result.error_in_exec for result in ran if not result.success]
    passed = answer.exercise in kept.done(answer.lecture).get("exercises", [])
    said = [str(error) for error in errors if isinstance(error, CheckFailed)][-1:]
    said += [f"{type(error).__name__}: {error}." for error in errors]
    message = "" if passed else [*said, "Its cells ran, and its check did not pass."][0]
    results.send_bytes(json.dumps([passed, notebooks.shorten(message, width=600), offline]).encode())


def confine(folder: str) -> bool:
    """Shut this process into a folder, without a voice, much memory and the network.

    Returns:
        whether the network could be shut off.
    """
    os.chdir(folder)
    os.environ["IPYTHONDIR"] = folder
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    # What this system does not know, or does not allow.
    with contextlib.suppress(ImportError, AttributeError, OSError, ValueError):
        import resource

        os.setsid()
        most = psutil.Process().memory_info().vms + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))
        return ctypes.CDLL(None).unshare(NEW_NAMESPACES) == 0
    return False


def write(found: list[Answer], out: Path, seconds: int) -> None:
    """Write the table and the page."""
    columns = ["student", "lecture", "exercise", "passed", "message"]
    rows = []
    for answer in found:
        passed, message = "yes" if answer.passed else "no", f"{answer.message} {answer.alike}".strip()
        rows.append([answer.student, answer.lecture, answer.exercise.removeprefix("check_"), passed, message])
    # A spreadsheet takes what begins with these for a formula, and the mark at the start for UTF-8.
    table = pd.DataFrame(rows, columns=columns).replace(r"^(?=[=+\-@\t\r])", "'", regex=True)
    notebooks.write_text("\ufeff" + table.to_csv(index=False, lineterminator="\n"), out / "grades.csv")
    page = report.PAGES.get_template("grades.html").render(answers=found, seconds=seconds)
    notebooks.write_text(page, out / "grades.html")
