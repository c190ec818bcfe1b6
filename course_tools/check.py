"""What is wrong with a lecture's form, and where: opening and ending, what it stores, imports, explains."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from course_tools import notebooks, sync
from course_tools.versions import CHECK, tagged
from course_utils.exercises import SOLUTION

Cells = list[tuple[int, NotebookNode]]
# The cell (0: the lecture as a whole), whether a rule is broken there, and the sentence that says so.
Rules = Iterator[tuple[int, object, str]]
ENDING, TAUGHT = notebooks.FORM["ending"], set(notebooks.FORM["taught"])
# Folders of one machine, in an output.
MACHINE_PATH = re.compile(r"(?:/(?:home|root|tmp|Users|work|opt|usr|var)/|\b[A-Z]:\\\\?)[\w.~-]")
LINK = re.compile(r"\]\((?!https?:|mailto:|attachment:)([^)#\s]*)(#?[^)\s]*)[^)]*\)")
PICTURE = re.compile(r"!\[([^\]]*)\]\((?![^)]*(?:badge|open-in-kaggle))")
HEADING = re.compile(r"^(#+)\s+(.+?)\s*$", re.MULTILINE)
HINTS = re.compile(
    r"\n\n<details><summary>Hint 1 · a nudge</summary>\n\n(.+?)"
    r"\n\n<details><summary>Hint 2 · the idea</summary>\n\n(.+?)"
    r"\n\n\*Still stuck\? The solution is in the folded cell below the stub\.\*\n\n</details>\n</details>$",
    re.DOTALL,
)


# What a reader takes: minutes for a word of prose, a line of code, an exercise.
PACE = {"word": 1 / 200, "line": 1 / 30, "exercise": 5}


def problems(path: Path) -> list[str]:
    """Everything that is wrong with a lecture, a line each, in the order of its cells."""
    try:
        cells = list(enumerate(notebooks.read(path).cells, start=1))
    except notebooks.LectureError as error:
        return [str(error)]
    code = [(number, cell) for number, cell in cells if cell.cell_type == "code"]
    text = [(number, cell) for number, cell in cells if cell.cell_type == "markdown"]
    rules = [of_the_file(path), of_text(path, code, text), of_code(code), of_time(cells)]
    rules.append(of_exercises(path, cells, code))
    faults = sorted({(number, said) for rule in rules for number, broken, said in rule if broken})
    return [f"cell {number}: {said}" if number else said for number, said in faults]


def core_minutes(cells: Cells) -> float:
    """How long a reader takes from the title to the last exercise, without what is headed *Further*."""
    total, counts = 0.0, True
    for _, cell in cells:
        heading = re.search(r"^## (.+)$", cell.source, re.MULTILINE) if cell.cell_type == "markdown" else None
        if heading:
            counts = "Further: " not in heading[1] and heading[1] not in ENDING[1:]
        if counts and cell.cell_type == "markdown":
            total += PACE["word"] * len(cell.source.split())
        elif counts and not tagged(cell, "solution"):
            lines = [line for line in cell.source.splitlines() if line.strip()]
            total += PACE["line"] * len(lines) + PACE["exercise"] * tagged(cell, "exercise")
    return total


def parsed(source: str) -> ast.Module | None:
    """A cell's Python, its magics turned into calls; None if it is none."""
    try:
        return ast.parse(TransformerManager().transform_cell(source))
    except SyntaxError:
        return None


def of_the_file(path: Path) -> Rules:
    """It is as `course run --update` and `course sync` write it."""
    text, notebook, size = path.read_text(encoding="utf-8"), notebooks.read(path), path.stat().st_size
    kernel, form = notebook.metadata.get("kernelspec", {}).get("name"), notebooks.normalise(notebook)
    yield 0, size > 3_000_000, f"the file has {size:,} bytes, more than 3,000,000"
    yield 0, kernel != "python3", f"the kernel is {kernel}, not python3"
    yield 0, text != notebooks.to_text(form), "the file is not in its stored form: run `course run --update`"
    repository = sync.repository(sync.project_root(path.parent))
    for line in sync.sync_notebook(notebook, path.name, repository):
        where, _, said = line.partition(": ")
        yield int(where.rpartition(" ")[2]), True, said


def of_text(path: Path, code: Cells, text: Cells) -> Rules:
    """Title, goals, time; sections 1, 2, 3 and five at the end; links lead somewhere, pictures have words."""
    first, whole = code[0][0] if code else 0, "\n".join(cell.source for _, cell in text)
    before = "\n".join(cell.source for number, cell in text if number < first)
    headings = [(number, *words) for number, cell in text for words in HEADING.findall(cell.source)]
    titles = [number for number, level, _ in headings if level == "#"]
    sections = [(number, name) for number, level, name in headings if level == "##"]
    last = [name for _, name in sections[-len(ENDING) :]]
    yield 1, not before.startswith("# "), "the first cell is not a title (`# ...`)"
    yield 0, len(titles) > 1, f"there are several titles (`# ...`), in cells {titles}"
    yield 1, "What you will be able to do" not in before, "the opening lacks 'What you will be able to do'"
    yield 1, not re.search(r"[Aa]bout \d+ minutes", before), "the opening lacks a time, 'about NN minutes'"
    yield 0, last != ENDING, f"the last sections are {last}, not {ENDING}"
    for place, (number, name) in enumerate(section for section in sections if section[1] not in ENDING):
        wrong = not name.startswith(f"{place + 1} · ")
        yield number, wrong, f"section {place + 1} is headed '{name}', not '{place + 1} · ...'"
    anchors = {re.sub(r"\s+", "-", name) for *_, name in headings}
    anchors |= {re.sub(r"[^\w\- ]", "", name).replace(" ", "-").lower() for *_, name in headings}
    anchors |= set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", whole))
    for number, cell in text:
        for file, anchor in LINK.findall(cell.source):
            yield number, not (path.parent / file).exists(), f"a link leads nowhere: {file}"
            yield number, not file and anchor[1:] not in anchors, f"a link leads to no section: {anchor}"
        short = [alt for alt in PICTURE.findall(cell.source) if len(alt.strip()) < 20]
        yield number, short, "a picture in the text without alt text"
        yield number, "TODO" in cell.source, "still says TODO"


def of_time(cells: Cells) -> Rules:
    """The opening says how long the core takes, and that is an hour at most."""
    claimed = re.search(r"[Aa]bout (\d+) minutes", "\n".join(cell.source for _, cell in cells[:1]))
    core = core_minutes(cells)
    said = f"the core takes {core:.0f} minutes (prose, code, exercises), the opening says {claimed and claimed[1]}"
    yield 1, claimed and not 0.8 * core <= int(claimed[1]) <= 1.25 * core, said
    long = f"the core takes {core:.0f} minutes, more than 60: head what can be skipped 'N · Further: ...'"
    yield 0, round(core) > 60, long


def of_code(code: Cells) -> Rules:
    """Run in order; no errors, warnings, traces of the machine; short, of taught libraries; alt texts."""
    setup = [number for number, cell in code if cell.metadata.get("course", {}).get("role") == "setup"]
    free, seen = [number for number, cell in code if tagged(cell, "nbval-ignore-output")], set()
    yield 0, not code, "there is no code"
    yield 0, len(setup) != 1, f"there are {len(setup)} set-up cells, not one"
    yield 0, setup and setup[0] != code[0][0], "code comes before the set-up cell"
    yield 0, 2 * len(free) > len(code), f"{len(free)} code cells, more than half, are not compared"
    for count, (number, cell) in enumerate(code, start=1):
        outputs, raises = cell.outputs, tagged(cell, "raises-exception")
        tree, length = parsed(cell.source), len(cell.source.splitlines())
        errors = [output.ename for output in outputs if output.output_type == "error"]
        shown = [(output, *pair) for output in outputs for pair in output.get("data", {}).items()]
        images = [(output, kind) for output, kind, _ in shown if kind.startswith("image/")]
        alts = [output.metadata.get(kind, {}).get("alt", "").strip() for output, kind in images]
        said = [output.get(key) for output in outputs for key in ("text", "evalue", "traceback")]
        said += [value for _, kind, value in shown if kind.startswith("text/")]
        paths = MACHINE_PATH.findall("\n".join(map(str, said)))
        nodes = list(ast.walk(tree)) if tree else []
        modules = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
        modules += [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
        foreign = {module.partition(".")[0] for module in modules} - TAUGHT - sys.stdlib_module_names
        off = re.search(r"#\s*(NBVAL_|PYTEST_VALIDATE_)", cell.source) or tagged(cell, "nbval-skip")
        near = "\n".join(other.source for _, other in code[count - 1 : count + 2])
        guarded = (
            alts
            or notebooks.WIDGET_FALLBACK in said
            or re.search(r"\bexpect(?:_kept)?\(|machine_check\(", near)
        )
        yield number, cell.execution_count != count, f"execution count {cell.execution_count}, not {count}"
        yield number, errors and not raises, f"stores an error, {', '.join(errors)}"
        yield number, raises and not errors, "is tagged raises-exception, and stores no error"
        yield number, "stderr" in [output.get("name") for output in outputs], "stores output on stderr"
        yield number, paths, f"shows a path of this machine, {', '.join(paths)}..."
        wide = [line for line in cell.source.splitlines() if len(line) > sync.LINE_LENGTH]
        # What is the package's is shown whole, as it stands there.
        ours = {"role", "source"} & cell.metadata.get("course", {}).keys()
        yield number, wide and not ours, f"a line of code is longer than {sync.LINE_LENGTH} characters"
        yield number, length > 30 and not ours, f"{length} lines, more than 30"
        yield number, off, "switches nbval off; only the tag nbval-ignore-output may"
        unsorted = [
            it for it in nodes if isinstance(it, ast.Call) and ast.unparse(it.func).endswith(".unstack")
        ]
        unsorted = [it for it in unsorted if "sort" in [keyword.arg for keyword in it.keywords]]
        yield number, unsorted, "unstack(sort=False) mixes up values before pandas 3: take results.unstack"
        yield number, not tree and not raises, "is not Python"
        yield number, foreign, f"imports {', '.join(foreign)}, which the course does not teach"
        yield number, any(len(alt) < 20 for alt in alts), "an image without alt text of 20 characters or more"
        yield number, seen & set(alts) or len(set(alts)) < len(alts), "an image with another image's alt text"
        bare = number in free and not guarded
        yield number, bare, "is not compared, shows no picture or widget, and no expect() follows closely"
        yield number, "TODO" in cell.source, "still says TODO"
        seen |= set(alts)


def of_exercises(path: Path, cells: Cells, code: Cells) -> Rules:
    """A question with hints; then three code cells: stub, folded solution, a check that has a test."""
    tests = (sync.project_root(path.parent) / "tests" / "course_utils").glob("test_exercises*.py")
    tested = set(re.findall(r"\bcheck_\w+", "".join(test.read_text(encoding="utf-8") for test in tests)))
    row = [*(cell for _, cell in code), new_code_cell(), new_code_cell()]
    for place, (number, cell) in enumerate(code):
        if tagged(cell, "solution"):
            folded = cell.metadata.get("jupyter", {}).get("source_hidden")
            yield number, not folded, "the solution is not folded away (jupyter.source_hidden)"
            unmarked = not cell.source.startswith(SOLUTION)
            yield number, unmarked, f"begin it with {SOLUTION!r}: the solution would count as progress"
            yield number, not tagged(row[place - 1], "exercise"), "the solution follows no exercise"
        if tagged(cell, "exercise"):
            solution, check = row[place + 1 : place + 3]
            checks, question = CHECK.findall(check.source), cells[number - 2][1].source
            yield number, not tagged(solution, "solution"), "no solution follows the exercise"
            yield number, not checks, "no check follows the exercise and its solution"
            untested = ", ".join(set(checks) - tested)
            yield number, untested, f"{untested} has no test in tests/course_utils/test_exercises_NN.py"
            hints, lines = HINTS.search(question), solution.source.split('"""')[-1].splitlines()
            yield number, not hints, "the question before it does not end with its two hints"
            told = [line.strip() for line in lines if len(line.strip()) > 12 and line.strip() in question]
            yield number, told or (hints and hints[1] == hints[2]), f"a hint gives the solution away, {told}"
