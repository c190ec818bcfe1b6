"""What a run on real data keeps: a lecture's key figures in ``data/results/NN.json``, and its rows of the scoreboard in
``data/scoreboard.json``, from which the README has its picture and its table."""

import ast
import json
import platform
import re
import time
import tomllib
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from joblib import cpu_count  # type: ignore[import-untyped]
from nbformat import NotebookNode

from course_tools import CourseError, notebooks
from course_tools.check import parsed
from course_tools.run import LectureRun
from course_utils import plotting, results
from course_utils.session import data_folder, set_style

# Two tables of README.md that are made from what runs kept.
TABLE = re.compile(r"(?<=<!-- scores -->\n).*?(?=<!-- /scores -->)", re.DOTALL)
HEADLINES = re.compile(r"(?<=<!-- headlines -->\n).*?(?=<!-- /headlines -->)", re.DOTALL)

# What a cell only shows, asks, checks or hands out does not change a figure.
BESIDE = re.compile(
    r"(?:display|expect|expect_kept|my_progress|plotting|print|quiz|record|widgets)(?:\.|$)|check_|show|results\.keep$|$"
)


def recipe(notebook: NotebookNode) -> str:
    """A digest of the code that a lecture's kept figures come from, however it is laid out.

    What stands after the last ``results.keep`` does not count, nor do exercises, comments, and what only
    draws, prints or checks a bound, in a loop as well.
    """
    parts: list[str] = []
    last = 0
    for cell in notebook.cells:
        tags = {"exercise", "solution"} & set(cell.metadata.get("tags", []))
        if cell.cell_type != "code" or tags or cell.metadata.get("course", {}).get("role"):
            continue
        tree = parsed(cell.source)
        for statement in tree.body if tree else []:
            if _called(statement) == "results.keep":
                last = len(parts)
            if not _only_shows(statement):
                for node in ast.walk(statement):
                    if (
                        isinstance(node, ast.FunctionDef | ast.ClassDef)
                        and ast.get_docstring(node) is not None
                    ):
                        node.body = node.body[1:]
                parts.append(str(_plain(statement)))
    return notebooks.digest("\n".join(parts[: last or None]).encode())


def _plain(node: Any) -> Any:
    """A syntax tree as lists that are the same in every version of Python: without what is empty."""
    if isinstance(node, list):
        return [_plain(part) for part in node]
    if not isinstance(node, ast.AST):
        return node
    fields = [
        (name, _plain(value)) for name, value in ast.iter_fields(node) if value is not None and value != []
    ]
    return [type(node).__name__, fields]


def _called(statement: ast.stmt) -> str:
    """The name of the function that a statement calls for its own sake, "" for other statements."""
    call = statement.value if isinstance(statement, ast.Expr) else None
    return ast.unparse(call.func) if isinstance(call, ast.Call) else ""


def _only_shows(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.For | ast.If):  # what is left of it is what computes
        statement.body = [inner for inner in statement.body if not _only_shows(inner)]
        statement.orelse = [inner for inner in statement.orelse if not _only_shows(inner)]
        return not statement.body and not statement.orelse
    if not isinstance(statement, ast.Expr):  # a figure depends on what is called, not on what lies ready
        return isinstance(statement, ast.Import | ast.ImportFrom)
    return bool(BESIDE.match(_called(statement)))  # no call: a name at the end of a cell


def keep(run: LectureRun, profile: str) -> Path:
    """Write what a lecture's run kept to ``data/results``.

    Raises:
        CourseError: if the lecture failed, or keeps nothing: it ran on stand-in data, or never calls
            ``results.keep``.
    """
    number = notebooks.number(run.path.stem)
    if not run.outcome.passed:
        raise CourseError(f"{run.path.name}: nothing kept, it {run.outcome.status}.")
    if not run.outcome.kept:
        raise CourseError(f"{run.path.name}: nothing kept. It had no real data, or it offers no key figures.")
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    content = {
        "command": f"course run {number} --profile {profile} --keep",
        "machine": f"{cpu_count()} cores, {platform.machine()}, {accelerator or 'no accelerator'}",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "recipe": recipe(run.notebook),
        "figures": run.outcome.kept,
    }
    path = data_folder() / "results" / f"{number}.json"
    path.parent.mkdir(exist_ok=True)
    notebooks.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", path)
    return path


def headlines_table() -> str:
    """The rows of ``data/headlines.toml`` as a table in Markdown: what was published, what was found here, whether it holds.

    Raises:
        CourseError: if a row names a figure or a method that no run has kept.
    """
    lines = [
        "| lecture | question | published | here: mean difference, 95 % interval | holds? |",
        "|---|---|---|---|---|",
    ]
    for row in tomllib.loads((data_folder() / "headlines.toml").read_text(encoding="utf-8"))["row"]:
        path = data_folder() / "results" / f"{row['lecture']}.json"
        try:
            figure = json.loads(path.read_text(encoding="utf-8"))["figures"][row["figure"]]
            pairs = zip(figure[row["method"]], figure[row["minus"]], strict=True)
            mean, low, high = results.interval([row["times"] * (one - other) for one, other in pairs])
        except (OSError, KeyError, ValueError) as error:
            raise CourseError(
                f"data/headlines.toml, lecture {row['lecture']}, {row['figure']}: {error!r}"
            ) from error
        holds = "yes" if low > 0 else "no, the reverse" if high < 0 else "cannot be told apart"
        here = f"{mean:+.1f} ({low:+.1f} to {high:+.1f})"
        lines.append(
            f"| {row['lecture']} | {row['question']} | {row['published'] or '–'} | {here} | {holds} |"
        )
    return "\n".join(lines) + "\n"


def show_headlines() -> None:
    """Make the README's table of what was published and what was found anew."""
    readme = data_folder().parent / "README.md"
    text = HEADLINES.sub(lambda _: headlines_table(), readme.read_text(encoding="utf-8"))
    notebooks.write_text(text, readme)


def keep_scores(rows: list[dict[str, Any]]) -> Path:
    """Renew ``data/scoreboard.json``, its picture and the README's table: those of these rows that come from real data take
    the place of all rows of their lectures.

    Raises:
        CourseError: if no row comes from real data.
    """
    new = [row for row in rows if row["real"]]
    if not new:
        raise CourseError("No scores kept: none come from real data.")
    path, readme = data_folder() / "scoreboard.json", data_folder().parent / "README.md"
    renewed = {row["lecture"] for row in new}
    old = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    table = [row for row in old if row["lecture"] not in renewed] + new
    table.sort(key=lambda row: row["lecture"])
    notebooks.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", path)
    frame = results.scoreboard(path)
    set_style()
    picture = plotting.scoreboard(frame)
    picture.savefig(
        readme.parent / "docs" / "scoreboard.png", dpi=150, bbox_inches="tight", facecolor="white"
    )
    notebooks.write_text(TABLE.sub(lambda _: scores_table(frame), readme.read_text(encoding="utf-8")), readme)
    return path


def scores_table(frame: pd.DataFrame) -> str:
    """The scoreboard as a table in Markdown: the mean of each method on each task, the best on spam first."""
    means = frame.pivot(index=["method", "lecture"], columns="task", values="mean").reindex(
        columns=results.TASKS
    )
    lines = ["| method | lecture | spam F1 | accuracy on reviews |", "|---|---|---|---|"]
    for (method, lecture), row in means.sort_values("spam", ascending=False).iterrows():
        shown = " | ".join("" if pd.isna(mean) else f"{mean:.3f}" for mean in row)
        lines.append(f"| {method} | {lecture} | {shown} |")
    return "\n".join(lines) + "\n"
