"""The ``course`` command: re-execute, open and sync the lectures, and look after the machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from nbformat import NotebookNode
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from course_tools import notebooks as lectures
from course_tools import report, sync, versions
from course_tools import run as execution
from course_tools import site as website
from course_tools import slides as decks_of
from course_tools.run import LectureRun, Outcome
from course_utils import assets
from course_utils import doctor as machine
from course_utils.session import cache_folder, current_profile

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
console = Console(highlight=False)
MOST_MOVED = 10  # lines on the terminal; the report has them all
Lectures = Annotated[list[str] | None, typer.Argument(help="Numbers or names, such as 10; all by default.")]


@app.command()
def run(
    names: Lectures = None,
    profile: Annotated[str | None, typer.Option(help="ci, laptop or gpu.")] = None,
    jobs: Annotated[int, typer.Option(min=0, help="Lectures at a time; 0: one per core.")] = 0,
    out: Annotated[Path, typer.Option(help="Where the executed lectures and the report go.")] = Path("build"),
    update: Annotated[bool, typer.Option(help="Store the outputs in the lectures (profile ci).")] = False,
) -> None:
    """Execute lectures, each in a fresh kernel, and write OUT/report.html."""
    try:
        stored = "ci" if update and "COURSE_PROFILE" not in os.environ else None
        profile = current_profile(profile or stored)
    except ValueError as error:
        raise lectures.LectureError(str(error)) from error
    if update and profile != "ci":
        raise lectures.LectureError(
            f"--update stores outputs of profile ci only, and this is {profile}: add --profile ci."
        )
    paths, out = lectures.find(names), out.resolve()
    jobs = min(jobs or (1 if profile == "gpu" else execution.cores()), len(paths))
    # Stored outputs come from one thread, as in the tests: sums in another order give other last digits.
    threads = 1 if update else max(1, execution.cores() // jobs)
    with _Display() as display:
        runs, drift = execution.run_all(paths, out, profile, jobs, threads, display.changed)
    outcomes = [run.outcome for run in runs]
    page = report.write_report(out)
    refused = [line for run in runs for line in _store(run)] if update else []
    console.print(_summary(outcomes))
    for outcome in outcomes:
        if outcome.error:
            what = f"{outcome.error['name']}: {lectures.shorten(outcome.error['message'])}"
            console.print(
                f"{outcome.lecture}, cell {outcome.error['cell']}: {what}", markup=False, soft_wrap=True
            )
    for line in refused:
        console.print(line, markup=False, soft_wrap=True)
    if drift["compared"]:
        console.print(
            f"{len(drift['moved'])} of {drift['compared']} figures moved by more than 1 % since the last run."
        )
        for line in drift["moved"][:MOST_MOVED]:
            bound = f"; {words}" if (words := report.bound(line)) else ""
            console.print(
                f"  {line['lecture']}, {line['name']}: {report.figure_text(line['before'])} → "
                f"{report.figure_text(line['value'])} ({report.share(line['change'])}{bound})",
                markup=False,
                soft_wrap=True,
            )
    console.print(f"Report: {page}", markup=False, soft_wrap=True)
    raise typer.Exit(int(bool(refused) or not all(outcome.passed for outcome in outcomes)))


def _store(run: LectureRun) -> list[str]:
    """Write an executed lecture back; return why it was not."""
    name = run.path.name
    if not run.outcome.passed:
        return [f"{name}: not stored, it {run.outcome.status}"]
    if reasons := lectures.refusals(run.notebook):
        return [f"{name}: not stored, {reason}" for reason in reasons]
    lectures.write(lectures.normalise(run.notebook), run.path)
    return []


class _Display:
    """Cells done per lecture: bars on a terminal, a line at the start and the end of each elsewhere."""

    def __init__(self) -> None:
        self.tasks: dict[str, TaskID] = {}
        words = TextColumn("{task.description}")
        columns = (words, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self.bars = Progress(*columns, console=console, disable=not console.is_terminal)
        self.plain = not console.is_terminal

    def __enter__(self) -> _Display:
        self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bars.stop()

    def changed(self, outcome: Outcome) -> None:
        ended = outcome.status not in ("waiting", "running")
        if self.plain:
            if ended or not outcome.done:
                words = f"{outcome.status}, {outcome.seconds:.1f} s" if ended else "started"
                console.print(f"{outcome.lecture}: {words}", markup=False)
            return
        if outcome.lecture not in self.tasks:
            self.tasks[outcome.lecture] = self.bars.add_task(outcome.lecture, total=outcome.cells)
        task = self.tasks[outcome.lecture]
        self.bars.update(task, completed=outcome.done)
        if ended:
            self.bars.stop_task(task)


def _summary(outcomes: list[Outcome]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("Lecture", "Result", "Time", "Peak memory", "Expectations met"):
        table.add_column(column, justify="left" if column in ("Lecture", "Result") else "right", no_wrap=True)
    for outcome in outcomes:
        met = sum(entry["passed"] for entry in outcome.expectations)
        table.add_row(
            outcome.lecture,
            "[green]✓ passed[/]" if outcome.passed else f"[red]✗ {outcome.status}[/]",
            report.minutes(outcome.seconds),
            report.memory(outcome.peak_bytes),
            f"{met} of {len(outcome.expectations)}",
        )
    return table


@app.command()
def lab(name: Annotated[str, typer.Argument(metavar="[LECTURE]")] = "00") -> None:
    """Open a lecture in JupyterLab; the welcome lecture by default."""
    path = lectures.find([name])[0]
    # Named as the default page, too: without a browser on this machine the address is all that one sees.
    page = f"--LabApp.default_url=/lab/tree/{path.name}"
    command = [sys.executable, "-m", "jupyterlab", str(path), page]
    if (
        getattr(os, "geteuid", lambda: None)() == 0
    ):  # in a container everybody is root, and Jupyter would refuse
        command.append("--allow-root")
    raise typer.Exit(subprocess.call(command))


@app.command()
def student(
    names: Lectures = None,
    out: Annotated[Path, typer.Option(help="Where they go.")] = Path("build/student"),
) -> None:
    """Write the lectures without solutions and outputs, to be handed out."""
    _write_versions(names, out, versions.student)


@app.command()
def solutions(
    names: Lectures = None,
    out: Annotated[Path, typer.Option(help="Where they go.")] = Path("build/solutions"),
) -> None:
    """Write a notebook of solutions for each lecture: questions, answers and checks, ready to run."""
    _write_versions(names, out, versions.solutions)


@app.command()
def slides(
    names: Lectures = None,
    out: Annotated[Path, typer.Option(help="Where they go.")] = Path("build/slides"),
) -> None:
    """Write slides for each lecture, to be shown without a server or a network; press S for the notes."""
    out = out.resolve()
    decks = decks_of.write_slides(lectures.find(names), out)
    console.print(
        f"{sum(deck.count for deck in decks)} slides for {len(decks)} "
        f"{'lecture' if len(decks) == 1 else 'lectures'}: open {out / 'index.html'}",
        markup=False,
        soft_wrap=True,
    )


@app.command()
def site(
    names: Lectures = None,
    out: Annotated[Path, typer.Option(help="Where it goes.")] = Path("build/site"),
    without_solutions: Annotated[bool, typer.Option(help="Leave out solutions and answers.")] = False,
) -> None:
    """Write the lectures as pages with a search, to be read without a server, a network or a kernel."""
    written = website.build(names, out, solutions=not without_solutions)
    console.print(
        f"{len(written)} {'lecture' if len(written) == 1 else 'lectures'}: open {out.resolve() / 'index.html'}",
        markup=False,
        soft_wrap=True,
    )


def _write_versions(names: list[str] | None, out: Path, make: Callable[[NotebookNode], NotebookNode]) -> None:
    paths, out = lectures.find(names), out.resolve()
    if out == lectures.notebooks_folder():
        raise lectures.LectureError(f"{out} holds the lectures themselves; choose another folder for --out.")
    lectures.refuse_foreign(out, "*.ipynb", ".ipynb_checkpoints")
    for path in paths:
        try:
            lectures.write(make(lectures.read(path)), out / path.name)
        except lectures.LectureError as error:
            raise lectures.LectureError(f"{path.name}: {error}") from error
    console.print(
        f"{len(paths)} {'notebook' if len(paths) == 1 else 'notebooks'} in {out}",
        markup=False,
        soft_wrap=True,
    )


Names = Annotated[
    list[str] | None, typer.Argument(help="Names as `course assets list` prints them; all by default.")
]
shelf = typer.Typer(no_args_is_help=True, help="Data sets and models: what there is, and where.")
app.add_typer(shelf, name="assets")


def _chosen(names: list[str] | None) -> list[str]:
    known = list(assets.registry())
    if wrong := [name for name in names or [] if name not in known]:
        raise lectures.LectureError(f"There is no asset {wrong[0]!r}; the course has {', '.join(known)}.")
    return names or known


@shelf.command(name="list")
def list_assets() -> None:
    """Every asset: its size, where it is on this machine, its licence. Nothing is downloaded."""
    table = Table(box=None, pad_edge=False)
    for column in ("Asset", "Size", "Here", "Licence"):
        table.add_column(column, justify="right" if column == "Size" else "left", overflow="fold")
    for name in _chosen(None):
        state = assets.status(name, profile="laptop")
        here = "damaged" if state["problems"] else state["origin"] or "not yet"
        table.add_row(name, assets.size_text(state["bytes"]), here, state["licence"])
    console.print(table)


@shelf.command()
def fetch(
    names: Names = None,
    to: Annotated[
        Path | None, typer.Option(help="Also copy them there, as a COURSE_MIRROR for a classroom.")
    ] = None,
) -> None:
    """Download what is missing, so that lectures run without a network."""
    failed = []
    for name in _chosen(names):
        try:
            found = assets.copy_to(name, to) if to else assets.resolve(name, profile="laptop")
        except assets.AssetError as error:
            console.print(f"{name}: not fetched ({error.short})", markup=False, soft_wrap=True)
            failed.append(str(error))
            continue
        if not found.real:
            failed.append(f"{name}: only the stand-in is here.")
        console.print(f"{name}: {found.origin}", markup=False)
    # What helps is the same for all: say it once.
    for line in failed[-1:]:
        console.print(f"{len(failed)} could not be fetched. {line}", markup=False, soft_wrap=True)
    raise typer.Exit(int(bool(failed)))


@shelf.command()
def verify(names: Names = None) -> None:
    """Compare every file that is here with its SHA-256."""
    states = [assets.status(name, profile="laptop") for name in _chosen(names)]
    damaged = [line for state in states for line in state["problems"]]
    for line in damaged:
        console.print(f"{line}: `course assets remove`, then fetch it again", markup=False, soft_wrap=True)
    if not damaged:
        here = sum(bool(state["origin"]) for state in states)
        console.print(f"{here} of {len(states)} are here, and every file is what it should be.")
    raise typer.Exit(int(bool(damaged)))


@shelf.command(name="remove")
def remove_assets(
    names: Annotated[list[str], typer.Argument(help="Names, as in `course assets list`.")],
) -> None:
    """Delete downloaded assets from the cache; what came with the course, a wheel or a mirror stays."""
    for name in _chosen(names):
        console.print(f"{name}: {assets.size_text(assets.remove(name))} freed", markup=False)


@app.command(name="sync")
def sync_command(
    check: Annotated[bool, typer.Option(help="Only report what has drifted.")] = False,
    repository: Annotated[
        str | None, typer.Option(metavar="OWNER/NAME", help="Move the course's address.")
    ] = None,
) -> None:
    """Rewrite the lectures' synced cells, set-up cells and badges from their one source."""
    if check and repository:
        raise typer.BadParameter("--check and --repository do not go together.")
    for path in sync.move_repository(repository) if repository else []:
        console.print(f"{path.name}: address changed", markup=False)
    drifted = sync.sync_all(check=check)
    for line in drifted:
        console.print(line, markup=False, soft_wrap=True)
    if not drifted:
        console.print("Every lecture is in step with the package.")
    raise typer.Exit(int(check and bool(drifted)))


@app.command()
def doctor() -> None:
    """Check this machine, and say what to do about each problem."""
    well = machine.machine_check()
    console.print(f"Python {sys.executable}\nCache  {cache_folder()}", markup=False, soft_wrap=True)
    raise typer.Exit(0 if well else 1)


def main() -> None:
    """Entry point: errors that a user can mend are said in a sentence, without a traceback."""
    try:
        app()
    except lectures.LectureError as error:
        print(f"course: {error}", file=sys.stderr)
        sys.exit(2)
