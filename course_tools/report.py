"""The report of a run: one page that opens without a network, in light and dark."""

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2

from course_tools.drift import BOUNDS
from course_tools.notebooks import write_text
from course_utils.assets import size_text

PAGES = jinja2.Environment(
    loader=jinja2.PackageLoader("course_tools", ""), autoescape=True, trim_blocks=True, lstrip_blocks=True
)


def write_report(out: Path) -> Path:
    """Make ``OUT/report.html`` from ``OUT/run.json`` and the run's scoreboard."""
    run = json.loads((out / "run.json").read_text(encoding="utf-8"))
    table, picture = scoreboard(out / "scoreboard.json")
    PAGES.filters.update(bound=bound, value=figure_text, minutes=minutes, memory=size_text, share=share)
    page = PAGES.get_template("report.html").render(
        run=run,
        failed=[lecture for lecture in run["lectures"] if lecture["status"] != "passed"],
        expectations=[entry for lecture in run["lectures"] for entry in lecture["expectations"]],
        table=table,
        scoreboard=picture,
    )
    path = out / "report.html"
    write_text(page, path)
    return path


def scoreboard(file: Path) -> tuple[dict[str, Any] | None, str | None]:
    """The scoreboard that the run filled: its table (columns, rows) and its picture (PNG, base64)."""
    if not json.loads(file.read_text(encoding="utf-8")):
        return None, None
    from course_utils import plotting, results

    frame = results.scoreboard(file)
    columns = [column for column in frame.columns if column != "scores"]
    rows = [[figure_text(value) for value in row] for row in frame[columns].itertuples(index=False)]
    picture = io.BytesIO()
    plotting.scoreboard(frame).savefig(picture, format="png", dpi=110, bbox_inches="tight", facecolor="white")
    return {"columns": columns, "rows": rows}, base64.b64encode(picture.getvalue()).decode()


def moved(drift: dict[str, Any], most: int) -> Iterator[str]:
    """What moved since the last run, in lines for a terminal: those that have come nearest to a bound."""
    if drift["compared"]:
        count = f"{len(drift['moved'])} of {drift['compared']}"
        yield f"{count} figures moved by more than 1 % since the last run."
    for line in drift["moved"][:most]:
        values = f"{figure_text(line['before'])} → {figure_text(line['value'])}"
        within = "; ".join(filter(None, [share(line["change"]), bound(line)]))
        yield f"  {line['lecture']}, {line['name']}: {values} ({within})"


def bound(expectation: dict[str, Any]) -> str:
    """A bound in words."""
    return " and ".join(
        f"{word} {figure_text(expectation[key])}"
        for key, word in BOUNDS.items()
        if expectation.get(key) is not None
    )


def figure_text(value: Any) -> str:
    """A number with four significant digits; anything else as it is."""
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if type(value) is int else str(value)


def share(value: float | None) -> str:
    """A change as a percentage with its sign; nothing where there is none."""
    return "" if value is None else f"{value:+.1%}"


def minutes(seconds: float) -> str:
    """A duration to read: "48 s", "3 min 05 s"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole, rest = divmod(round(seconds), 60)
    return f"{whole} min {rest:02d} s"
