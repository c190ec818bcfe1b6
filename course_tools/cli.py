"""The ``course`` command: re-execute, open and sync the lectures, and look after the machine."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from course_tools import MISSING, CourseError

try:
    import typer
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
    from rich.table import Column, Table
except ModuleNotFoundError as error:
    sys.exit(f"course: {MISSING.format(error.name)}")

from course_utils import assets
from course_utils import doctor as machine
from course_utils.session import cache_folder, current_profile, fix_paths

# Commands import what they need: `doctor` and `assets` work without the others' packages.
if TYPE_CHECKING:
    from course_tools.run import LectureRun, Outcome

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help=__doc__,
    callback=fix_paths,
)
console = Console(highlight=False)
MOST_MOVED = 10  # lines on the terminal; the report has them all
Lectures = Annotated[list[str] | None, typer.Argument(help="Numbers or names, such as 10; all by default.")]
Out = Annotated[Path, typer.Option(help="The folder to write to.")]
Executed = Annotated[
    Path | None, typer.Option("--from", help="Show lectures as a run has left them there: build/lectures.")
]


def _say(line: str) -> None:
    console.print(line, markup=False, soft_wrap=True)


def _profile(name: str | None = None) -> str:
    try:
        return current_profile(name)
    except ValueError as error:
        raise CourseError(str(error)) from error


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


@app.command()
def run(
    names: Lectures = None,
    profile: Annotated[str | None, typer.Option(help="ci, laptop or gpu.")] = None,
    jobs: Annotated[int, typer.Option(min=0, help="Lectures at a time; 0: one per core.")] = 0,
    out: Annotated[Path, typer.Option(help="Where the executed lectures and the report go.")] = Path("build"),
    update: Annotated[bool, typer.Option(help="Store the outputs in the lectures (profile ci).")] = False,
    keep: Annotated[bool, typer.Option(help="Keep key figures on real data in data/results.")] = False,
) -> None:
    """Execute lectures, each in a fresh kernel, and write OUT/report.html."""
    from joblib import cpu_count  # type: ignore[import-untyped]

    from course_tools import notebooks, report
    from course_tools.run import run_all

    profile = _profile(profile or ("ci" if update and not os.environ.get("COURSE_PROFILE") else None))
    if update and profile != "ci":
        raise CourseError(f"--update stores outputs of profile ci, and this is {profile}: add --profile ci.")
    if keep and profile == "ci":
        raise CourseError("--keep keeps figures on real data, and profile ci has none: add --profile laptop.")
    paths, out = notebooks.find(names), out.resolve()
    notebooks.refuse_foreign(out, "*")
    jobs = min(jobs or (1 if profile == "gpu" else cpu_count()), len(paths))
    # Stored outputs come from one thread, as in the tests: sums in another order give other last digits.
    threads = 1 if update else max(1, cpu_count() // jobs)
    with _Display() as display:
        runs, summary = run_all(paths, out, profile, jobs, threads, display.changed)
    outcomes = [run.outcome for run in runs]
    page = report.write_report(out)
    refused = [line for run in runs for line in _store(run)] if update else []
    refused += [line for run in runs for line in _keep(run, profile)] if keep else []
    if keep and (
        rows := [row for run in runs if run.outcome.kept and run.outcome.passed for row in run.scores]
    ):
        _scores(rows)
    console.print(_summary(outcomes))
    for outcome in outcomes:
        if fault := outcome.error:
            where = f"{outcome.lecture}, cell {fault['cell']}"
            _say(f"{where}: {fault['name']}: {notebooks.shorten(fault['message'])}")
    for line in [*refused, *report.moved(summary["drift"], MOST_MOVED), f"Report: {page}"]:
        _say(line)
    if summary["interrupted"]:
        _say("Interrupted: the report has what had passed by then.")
        raise typer.Exit(128 + summary["interrupted"])
    raise typer.Exit(int(bool(refused) or not all(outcome.passed for outcome in outcomes)))


def _store(run: LectureRun) -> list[str]:
    """Write an executed lecture back; return why it was not."""
    from course_tools import notebooks

    wrong = [] if run.outcome.passed else [f"it {run.outcome.status}"]
    if run.edited():
        wrong.append("it was edited while it ran: run it again")
    if reasons := wrong or notebooks.refusals(run.notebook):
        return [f"{run.path.name}: not stored, {reason}" for reason in reasons]
    notebooks.write(notebooks.settle(run.notebook, notebooks.read(run.path)), run.path)
    return []


def _keep(run: LectureRun, profile: str) -> list[str]:
    """Keep a run's key figures; return why they were not."""
    from course_tools.keep import keep, show_headlines

    try:
        _say(f"Kept: {keep(run, profile)}")
        show_headlines()
    except CourseError as error:
        return [str(error)]
    return []


@app.command()
def scores(
    files: Annotated[list[Path] | None, typer.Argument(help="OUT/scoreboard.json of runs.")] = None,
) -> None:
    """Put scores on real data of runs (of build, by default) into data/scoreboard.json, and renew what README shows of it."""
    found = files or [Path("build/scoreboard.json")]
    if lost := [str(file) for file in found if not file.is_file()]:
        raise CourseError(f"No scores in {', '.join(lost)}: `course run --profile laptop` writes them.")
    _scores([row for file in found for row in json.loads(file.read_text(encoding="utf-8"))])


def _scores(rows: list[dict[str, Any]]) -> None:
    from course_tools.keep import keep_scores

    _say(f"Kept: {keep_scores(rows)}")


class _Display(Progress):
    """Cells done per lecture: bars on a terminal, a line at the start and the end of each elsewhere."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        # The file's own word: with FORCE_COLOR=1 the console takes everything for a terminal.
        super().__init__(*columns, console=console, disable=not sys.stdout.isatty())
        self.bars: dict[str, TaskID] = {}

    def changed(self, outcome: Outcome) -> None:
        ended = outcome.status not in ("waiting", "running")
        if self.disable:
            if ended or not outcome.done:
                words = f"{outcome.status}, {outcome.seconds:.1f} s" if ended else "started"
                _say(f"{outcome.lecture}: {words}")
            return
        if outcome.lecture not in self.bars:
            self.bars[outcome.lecture] = self.add_task(outcome.lecture, total=outcome.cells)
        self.update(self.bars[outcome.lecture], completed=outcome.done)
        if ended:
            self.stop_task(self.bars[outcome.lecture])


def _summary(outcomes: list[Outcome]) -> Table:
    from course_tools import report

    table = Table(box=None, pad_edge=False)
    for name in ("Lecture", "Result", "Time", "Memory", "Expectations met"):
        table.add_column(name, justify="left" if name in ("Lecture", "Result") else "right", no_wrap=True)
    for outcome in outcomes:
        met = sum(entry["passed"] for entry in outcome.expectations)
        table.add_row(
            outcome.lecture,
            "[green]✓ passed[/]" if outcome.passed else f"[red]✗ {outcome.status}[/]",
            report.minutes(outcome.seconds),
            assets.size_text(outcome.peak_bytes),
            f"{met} of {len(outcome.expectations)}",
        )
    return table


@app.command()
def lab(name: Annotated[str, typer.Argument(metavar="[LECTURE]")] = "00") -> None:
    """Open a lecture in JupyterLab; the welcome lecture by default."""
    from course_tools import notebooks

    path = notebooks.find([name])[0]
    # Named as the default page, too: without a browser on this machine the address is all that one sees.
    page = f"--LabApp.default_url=/lab/tree/{path.name}"
    # In a container everybody is root, whom Jupyter refuses unless it is told.
    command = [sys.executable, "-m", "jupyterlab", str(path), page, "--allow-root"]
    raise typer.Exit(subprocess.call(command))


@app.command()
def student(names: Lectures = None, out: Out = Path("build/student")) -> None:
    """Write the lectures without solutions and outputs, to be handed out."""
    _write_versions(names, out, "student")


@app.command()
def solutions(names: Lectures = None, out: Out = Path("build/solutions")) -> None:
    """Write a notebook of solutions for each lecture: questions, answers and checks, ready to run."""
    _write_versions(names, out, "solutions")


@app.command()
def slides(
    names: Lectures = None,
    out: Out = Path("build/slides"),
    source: Executed = None,
    short: Annotated[bool, typer.Option(help="Only figures, formulas and what to remember.")] = False,
) -> None:
    """Write slides for each lecture, to be shown without a server or a network; press S for the notes."""
    from course_tools.slides import write_slides

    decks = write_slides(names, out.resolve(), source=source, short=short)
    slide_count = sum(len(stack) for deck in decks for stack in deck.stacks)
    _say(f"{slide_count} slides for {_count(len(decks), 'lecture')}: open {out.resolve() / 'index.html'}")


@app.command()
def site(
    names: Lectures = None,
    out: Out = Path("build/site"),
    source: Executed = None,
    without_solutions: Annotated[bool, typer.Option(help="Leave out solutions and answers.")] = False,
) -> None:
    """Write the lectures as pages with a search, to be read without a server, a network or a kernel."""
    from course_tools.site import build

    written = build(names, out.resolve(), solutions=not without_solutions, source=source)
    _say(f"{_count(len(written), 'lecture')}: open {out.resolve() / 'index.html'}")


def _write_versions(names: list[str] | None, out: Path, kind: str) -> None:
    from course_tools import notebooks, versions

    paths, out = notebooks.find(names), out.resolve()
    if out == notebooks.notebooks_folder():
        raise CourseError(f"{out} holds the lectures themselves; choose another folder for --out.")
    notebooks.refuse_foreign(out, "*.ipynb", ".ipynb_checkpoints", versions.RECORD)
    left = versions.hand_out(paths, out, getattr(versions, kind))
    _say(f"{_count(len(paths) - len(left), 'notebook')} in {out}")
    if left:
        raise CourseError("\n".join(left))


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NN_NAME", help="Such as 09_bert_features.")],
    title: Annotated[str, typer.Argument(help='Such as "BERT features: what do the layers know?"')],
) -> None:
    """Write the skeleton of a new lecture: notebook, exercises, quiz and their test."""
    from course_tools import notebooks
    from course_tools.new import write_lecture

    for path in write_lecture(name, title):
        _say(str(path))
    _say(
        f"What is to be written says TODO. Then `course run {notebooks.number(name)} --update` stores the outputs; "
        "README.md, course_utils/lectures.py and the map in lecture 00 want a line about it, too."
    )


@app.command()
def check(names: Lectures = None) -> None:
    """Say in seconds what is wrong with the form of lectures, and in which cell; nothing is executed."""
    from course_tools import notebooks
    from course_tools.check import problems

    paths = notebooks.find(names)
    lines = [f"{path.name}, {line}" for path in paths for line in problems(path)]
    for line in lines or [f"{_count(len(paths), 'lecture')}: the form is right."]:
        _say(line)
    raise typer.Exit(int(bool(lines)))


@app.command()
def grade(
    folder: Annotated[Path, typer.Argument(help="Notebooks, or a folder for each student.")],
    out: Out = Path("build/grades"),
    seconds: Annotated[int, typer.Option(min=1, help="The longest that one exercise may take.")] = 60,
) -> None:
    """Check a class's exercises, for feedback: a table and a page. It executes what students wrote!"""
    from course_tools import notebooks
    from course_tools.grade import grade_all

    out = out.resolve()
    notebooks.refuse_foreign(out, "grades.csv", "grades.html")
    grade_all(folder.resolve(), out, seconds, _say)
    _say(f"Table: {out / 'grades.csv'}\nPage:  {out / 'grades.html'}")


Names = Annotated[list[str] | None, typer.Argument(help="As `course assets list` has them; all by default.")]
shelf = typer.Typer(no_args_is_help=True, help="Data sets and models: what there is, and where.")
app.add_typer(shelf, name="assets")


def _chosen(names: list[str] | None) -> list[str]:
    known = list(assets.registry())
    if wrong := [name for name in names or [] if name not in known]:
        raise assets.AssetError(f"There is no asset {wrong[0]!r}; the course has {', '.join(known)}.")
    return names or known


@shelf.command(name="list")
def list_assets() -> None:
    """Every asset: its size, where it is on this machine, its licence. Nothing is downloaded."""
    size, *others = [Column(name, overflow="fold") for name in ("Size", "Asset", "Here", "Licence")]
    size.justify = "right"
    table = Table(others[0], size, *others[1:], box=None, pad_edge=False)
    for name in _chosen(None):
        asset, (origin, damaged) = assets.registry()[name], assets.status(name, profile="laptop")
        here = "damaged" if damaged else origin or "not yet"
        table.add_row(name, assets.size_text(asset.bytes), here, asset.licence)
    console.print(table)


@shelf.command()
def fetch(
    names: Names = None,
    to: Annotated[Path | None, typer.Option(help="Copy them there, too, as a COURSE_MIRROR.")] = None,
) -> None:
    """Download what is missing, so that lectures run without a network."""
    failed = []
    for name in _chosen(names):
        try:
            resolved = assets.copy_to(name, to) if to else assets.resolve(name, profile="laptop")
        except assets.AssetError as error:
            _say(f"{name}: not fetched ({error.short})")
            failed.append(str(error))
            continue
        if not resolved.real:
            failed.append(f"{name}: only the stand-in is here.")
        _say(f"{name}: {resolved.origin}")
    if len(failed) > 1:  # what helps one may not help the others
        failed = [f"{len(failed)} could not be fetched: each says what helps if you fetch it alone."]
    for line in failed:
        _say(line)
    raise typer.Exit(int(bool(failed)))


@shelf.command()
def verify(names: Names = None) -> None:
    """Compare every file that is here with its SHA-256."""
    states = [assets.status(name, profile="laptop") for name in _chosen(names)]
    damaged = [line for _, lines in states for line in lines]
    for line in damaged:
        _say(line)
    if not damaged:
        here = sum(bool(origin) for origin, _ in states)
        console.print(f"{here} of {len(states)} are here, and every file is what it should be.")
    raise typer.Exit(int(bool(damaged)))


@shelf.command(name="remove")
def remove_assets(names: Annotated[list[str], typer.Argument(help="As in `course assets list`.")]) -> None:
    """Delete downloaded assets from the cache; what came with the course, a wheel or a mirror stays."""
    for name in _chosen(names):
        _say(f"{name}: {assets.size_text(assets.remove(name))} freed")


@app.command(name="sync")
def sync_command(
    check: Annotated[bool, typer.Option(help="Only report what has drifted.")] = False,
    repository: Annotated[str | None, typer.Option(metavar="OWNER/NAME", help="Move the address.")] = None,
    tag: Annotated[str | None, typer.Option(help="What set-up cells install, such as 2027-spring.")] = None,
) -> None:
    """Rewrite the lectures' synced cells, set-up cells and badges from their one source."""
    from course_tools import sync

    if check and (repository or tag):
        raise typer.BadParameter("--check goes with neither --repository nor --tag: these write.")
    moved = sync.move_repository(repository) if repository else []
    for path in [*moved, *(sync.fix_tag(tag) if tag else [])]:
        _say(f"{path.name}: address changed")
    drifted = sync.sync_all(check=check)
    for line in drifted:
        _say(line if check else f"{line}: rewritten")
    if not drifted:
        console.print("Every lecture is in step with the package.")
    raise typer.Exit(int(check and bool(drifted)))


@app.command()
def doctor() -> None:
    """Check this machine, and say what to do about each problem."""
    _profile()
    well = machine.machine_check()
    _say(f"Python {sys.executable}\nCache  {cache_folder()}")
    raise typer.Exit(0 if well else 1)


def main() -> None:
    """Entry point: errors that a user can mend are said in a sentence, without a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a file's encoding may lack ✓
            stream.reconfigure(errors="replace")
    try:
        app()
    except (CourseError, assets.AssetError) as error:
        sentence = str(error)
    except OSError as error:  # a full disk, a folder that is read-only
        sentence = f"{error.filename}: {error.strerror}." if error.filename else str(error)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("course_"):
            raise
        sentence = MISSING.format(error.name)
    print(f"course: {sentence}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
