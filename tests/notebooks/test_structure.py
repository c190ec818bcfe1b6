"""Every lecture has the course's form: how it opens and ends, what it stores, what it may import, what it must explain."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest
from IPython.core.inputtransformer2 import TransformerManager

from course_tools import notebooks, sync
from course_utils.exercises import SOLUTION
from course_utils.lectures import LECTURES

ROOT = Path(__file__).parents[2]
REPOSITORY = sync.repository(ROOT)
PATHS = notebooks.find()
LONGEST_CELL = 30  # lines: what fits on a projector
LARGEST_FILE = 3_000_000  # bytes
SHORTEST_ALT = 20  # characters
ENDING = ["Exercises", "Quiz", "Recap", "Glossary", "Further reading"]
# What the lectures teach with; everything else belongs behind course_utils.
TAUGHT = {
    "IPython", "accelerate", "gensim", "huggingface_hub", "ipywidgets", "matplotlib", "numpy", "pandas",
    "safetensors", "scipy", "seaborn", "sklearn", "tokenizers", "torch", "transformers",
}  # fmt: skip
# Folders of one machine, in an output.
MACHINE_PATH = re.compile(r"(?:/(?:home|root|tmp|Users|work|opt|usr|var)/|\b[A-Z]:\\\\?)[\w.~-]")


def problems(path: Path, repository: str = REPOSITORY) -> list[str]:
    """Everything that is wrong with a lecture, a line each."""
    text = path.read_text(encoding="utf-8")
    notebook = notebooks.read(path)
    cells = list(enumerate(notebook.cells, start=1))
    found = []
    if len(text.encode()) > LARGEST_FILE:
        found.append(f"the file has {len(text.encode()):,} bytes, more than {LARGEST_FILE:,}")
    if text != notebooks.to_text(notebooks.normalise(notebook)):
        found.append("the file is not in its stored form: run `course run --update`")
    for check in (stored, opening, ending, code, figures, exercises, hints, ignored, links, unwritten):
        found += check(cells, path)
    found += sync.sync_notebook(notebook, path.name, repository)
    return found


def tags(cell) -> list[str]:
    return cell.metadata.get("tags", [])


def role(cell) -> str:
    course = cell.metadata.get("course", {})
    return "synced" if "source" in course else course.get("role", "")


def stored(cells, path) -> list[str]:
    """Executed once, in order, without warnings or errors, without traces of the machine."""
    found = []
    code_cells = [(number, cell) for number, cell in cells if cell.cell_type == "code"]
    for count, (number, cell) in enumerate(code_cells, start=1):
        if cell.execution_count != count:
            found.append(f"cell {number}: execution count {cell.execution_count}, not {count}")
        raises = "raises-exception" in tags(cell)
        errors = [output for output in cell.outputs if output.output_type == "error"]
        if errors and not raises:
            found.append(f"cell {number}: stores an error, {errors[0].ename}")
        if raises and not errors:
            found.append(f"cell {number}: is tagged raises-exception, and stores no error")
        if any(output.get("name") == "stderr" for output in cell.outputs):
            found.append(f"cell {number}: stores output on stderr")
        for output in cell.outputs:
            data = output.get("data", {})
            shown = [output.get("text", ""), output.get("evalue", ""), *output.get("traceback", [])]
            shown += [value for mime, value in data.items() if mime.startswith("text/")]
            for place in MACHINE_PATH.finditer("\n".join(map(str, shown))):
                found.append(f"cell {number}: shows a path of this machine, {place[0]}...")
    spec = notebooks.read(path).metadata.get("kernelspec", {}).get("name")
    if spec != "python3":
        found.append(f"the kernel is {spec}, not python3")
    if not code_cells:
        found.append("there is no code")
    return found


def opening(cells, path) -> list[str]:
    """Title and badge, what one learns, how long it takes, the set-up cell."""
    if not cells or cells[0][1].cell_type != "markdown" or not cells[0][1].source.startswith("# "):
        return ["the first cell is not a title (`# ...`)"]
    found = []
    setup = [position for position, (_, cell) in enumerate(cells) if role(cell) == "setup"]
    if len(setup) != 1:
        found.append(f"there are {len(setup)} set-up cells, not one")
    first_code = next(
        (position for position, (_, cell) in enumerate(cells) if cell.cell_type == "code"), None
    )
    if setup and setup[0] != first_code:
        found.append("code comes before the set-up cell")
    before = "\n".join(cell.source for _, cell in cells[: first_code or 1])
    for host in ("Colab", "Kaggle", "Binder"):
        if f"[![Open in {host}](" not in cells[0][1].source:
            found.append(f"there is no {host} badge below the title")
    if "What you will be able to do" not in before:
        found.append("the opening lacks 'What you will be able to do'")
    if not re.search(r"[Aa]bout \d+ minutes", before):
        found.append("the opening lacks a time, 'about NN minutes'")
    titles = [
        number
        for number, cell in cells
        if cell.cell_type == "markdown" and re.search(r"^# ", cell.source, re.M)
    ]
    if len(titles) != 1:
        found.append(f"there are several titles (`# ...`), in cells {titles}")
    return found


def ending(cells, path) -> list[str]:
    """Exercises, Quiz, Recap, Glossary, Further reading: the last sections, in that order."""
    text = "\n".join(cell.source for _, cell in cells if cell.cell_type == "markdown")
    headings = re.findall(r"^##\s+(?:\d+[.)]?\s+)?(.+?)\s*$", text, flags=re.MULTILINE)
    if headings[-len(ENDING) :] == ENDING:
        return []
    return [f"the last sections are {headings[-len(ENDING) :]}, not {ENDING}"]


def code(cells, path) -> list[str]:
    """Short cells, and no imports but the taught libraries."""
    found = []
    for number, cell in cells:
        if cell.cell_type != "code":
            continue
        length = len(cell.source.splitlines())
        if length > LONGEST_CELL and not role(cell):
            found.append(f"cell {number}: {length} lines, more than {LONGEST_CELL}")
        if re.search(r"#\s*(NBVAL_|PYTEST_VALIDATE_)", cell.source) or "nbval-skip" in tags(cell):
            found.append(f"cell {number}: switches nbval off; only the tag nbval-ignore-output may")
        try:
            tree = ast.parse(TransformerManager().transform_cell(cell.source))
        except SyntaxError:
            if "raises-exception" not in tags(cell):
                found.append(f"cell {number}: is not Python")
            continue
        for node in ast.walk(tree):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for top in {module.partition(".")[0] for module in modules}:
                if top != "course_utils" and top not in TAUGHT and top not in sys.stdlib_module_names:
                    found.append(f"cell {number}: imports {top}, which the course does not teach")
    return found


def figures(cells, path) -> list[str]:
    """Each image says in words what it shows, and no two say the same."""
    found, seen = [], set()
    for number, cell in cells:
        for output in cell.get("outputs", []):
            for mime in [mime for mime in output.get("data", {}) if mime.startswith("image/")]:
                alt = output.metadata.get(mime, {}).get("alt", "").strip()
                if len(alt) < SHORTEST_ALT:
                    found.append(
                        f"cell {number}: an image without alt text (of {SHORTEST_ALT} characters or more)"
                    )
                elif alt in seen:
                    found.append(f"cell {number}: an image with another image's alt text")
                seen.add(alt)
        if cell.cell_type == "markdown":
            for alt in re.findall(r"!\[([^\]]*)\]\((?![^)]*(?:badge|open-in-kaggle))", cell.source):
                if len(alt.strip()) < SHORTEST_ALT:
                    found.append(f"cell {number}: a picture in the text without alt text")
    return found


def exercises(cells, path) -> list[str]:
    """Stub, solution (folded away), check: three cells in a row."""
    found = []
    for position, (number, cell) in enumerate(cells):
        if "exercise" in tags(cell):
            rest = [each for _, each in cells[position + 1 :] if each.cell_type == "code"][:2]
            if not rest or "solution" not in tags(rest[0]):
                found.append(f"cell {number}: no solution follows the exercise")
            elif len(rest) < 2 or not re.search(r"\bcheck_\w+\(", rest[1].source):
                found.append(f"cell {number}: no check follows the exercise and its solution")
        if "solution" in tags(cell) and not cell.metadata.get("jupyter", {}).get("source_hidden"):
            found.append(f"cell {number}: the solution is not folded away (jupyter.source_hidden)")
        if "solution" in tags(cell) and not cell.source.startswith(SOLUTION):
            found.append(
                f"cell {number}: the solution does not begin with {SOLUTION!r}, so it would count as progress"
            )
        if "solution" in tags(cell) and (not position or "exercise" not in previous_code(cells, position)):
            found.append(f"cell {number}: the solution follows no exercise")
    return found


HINTS = re.compile(
    r"\n\n<details><summary>Hint 1 · a nudge</summary>\n\n(.+?)\n\n<details><summary>Hint 2 · the idea</summary>\n\n(.+?)\n\n"
    r"\*Still stuck\? The solution is in the folded cell below the stub\.\*\n\n</details>\n</details>$",
    re.DOTALL,
)


def hints(cells, path) -> list[str]:
    """Each question ends with a nudge, in it the idea, in it the way to the solution; neither is the solution."""
    found = []
    for position, (number, cell) in enumerate(cells):
        if "exercise" not in tags(cell):
            continue
        question = cells[position - 1][1].source if position else ""
        hint = HINTS.search(question)
        if not hint:
            found.append(f"cell {number}: the question before it does not end with its two hints")
            continue
        solution = next((each.source for _, each in cells[position:] if "solution" in tags(each)), "")
        lines = [line.strip() for line in solution.split('"""')[-1].splitlines() if len(line.strip()) > 12]
        given_away = [line for line in lines if line in question]
        if given_away or hint[1] == hint[2]:
            found.append(f"cell {number}: a hint gives the solution away, {given_away}")
    return found


def previous_code(cells, position: int) -> list[str]:
    """The tags of the last code cell before a position."""
    before = [cell for _, cell in cells[:position] if cell.cell_type == "code"]
    return tags(before[-1]) if before else []


def ignored(cells, path) -> list[str]:
    """Output that nbval does not compare shows a picture or a widget, or trained numbers that `expect` guards."""
    found = []
    code_cells = [(number, cell) for number, cell in cells if cell.cell_type == "code"]
    exempt = [(number, cell) for number, cell in code_cells if "nbval-ignore-output" in tags(cell)]
    if 2 * len(exempt) > len(code_cells):
        found.append(f"{len(exempt)} of {len(code_cells)} code cells are not compared: more than half")
    for place, (number, cell) in enumerate(code_cells):
        if "nbval-ignore-output" not in tags(cell):
            continue
        kinds = {mime for output in cell.outputs for mime in output.get("data", {})}
        visual = any(kind.startswith("image/") for kind in kinds) or any(
            output.get("data", {}).get("text/plain") == notebooks.WIDGET_FALLBACK for output in cell.outputs
        )
        guarded = any(
            re.search(r"\bexpect\(|machine_check\(", near.source) for _, near in code_cells[place : place + 3]
        )
        if not visual and not guarded:
            found.append(
                f"cell {number}: is not compared, shows no picture or widget, and no expect() follows closely"
            )
    return found


def links(cells, path) -> list[str]:
    """Links to other lectures, to files and to sections lead somewhere."""
    found = []
    text = "\n".join(cell.source for _, cell in cells if cell.cell_type == "markdown")
    titles = re.findall(r"^#+\s+(.+?)\s*$", text, flags=re.MULTILINE)
    anchors = {re.sub(r"\s+", "-", title) for title in titles}
    anchors |= {re.sub(r"[^\w\- ]", "", title).replace(" ", "-").lower() for title in titles}
    anchors |= set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", text))
    for target in re.findall(r"\]\(([^)\s]+)[^)]*\)", text):
        if re.match(r"https?:|mailto:|attachment:", target):
            continue
        file, _, anchor = target.partition("#")
        if file and not (path.parent / file).exists():
            found.append(f"a link leads nowhere: {target}")
        if not file and anchor not in anchors:
            found.append(f"a link leads to no section: {target}")
    return found


def unwritten(cells, path) -> list[str]:
    """Nothing is left of what `course new` wrote as TODO."""
    return [f"cell {number}: still says TODO" for number, cell in cells if "TODO" in cell.source]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_lecture_has_the_courses_form(path):
    found = problems(path)
    assert not found, "\n".join([path.name, *found])


def test_lectures_are_numbered_once():
    numbers = [path.name[:2] for path in PATHS]
    assert all(re.fullmatch(r"\d\d_[a-z0-9_]+\.ipynb", path.name) for path in PATHS)
    assert len(numbers) == len(set(numbers))


def test_the_map_in_the_welcome_lecture_marks_the_lectures_that_are_here():
    (line,) = [
        line
        for cell in notebooks.read(notebooks.find(["00"])[0]).cells
        for line in cell.source.splitlines()
        if line.startswith("here = ")
    ]
    present = [path.name[:2] for path in notebooks.find()]
    assert ast.literal_eval(line.removeprefix("here = ")) == present, (
        f"set here = {present} in lecture 00, then `course run 00 --update`"
    )
    drawn = [entry[:2] for group in LECTURES.values() for entry in group]
    assert set(present) <= set(drawn), "add the new lecture to course_utils/lectures.py"
