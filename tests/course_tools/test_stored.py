"""`course run --update` stores what changed for a reason, and leaves alone what is merely random."""

from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from course_tools import notebooks

SOURCES = {"first": "a = 1", "random": "a + noise()", "compared": "a", "later": "train(a)"}


@pytest.fixture(autouse=True)
def package(monkeypatch):
    monkeypatch.setattr(notebooks, "_package", lambda: "the package")


def ran(luck: str, **changed: str):
    """A lecture after a run: each cell shows its source and the luck of the run."""
    cells = [new_markdown_cell("# A lecture", id="title")]
    for count, (name, source) in enumerate((SOURCES | changed).items(), start=1):
        tags = [notebooks.UNCOMPARED] if name in ("random", "later") else []
        result = new_output("execute_result", data={"text/plain": f"{source}: {luck}"}, execution_count=count)
        cells.append(
            new_code_cell(source, id=name, execution_count=count, outputs=[result], metadata={"tags": tags})
        )
    return new_notebook(cells=cells)


def once(notebook=None):
    """A lecture that was stored by a run with the luck "old"."""
    return notebooks.settle(notebook or ran("old"), notebook or ran("old"))


def again(before, **changed: str):
    """The same lecture, with changed sources, run with the luck "new"; its metadata are as stored."""
    after = ran("new", **changed)
    for cell, old in zip(after.cells, before.cells, strict=True):
        cell.metadata = old.metadata
        old.source = cell.source  # what the author has edited before the run
    return notebooks.settle(after, before)


def luck(notebook):
    return {cell.id: cell.outputs[0].data["text/plain"].rpartition(": ")[2] for cell in notebook.cells[1:]}


def test_without_a_change_what_is_not_compared_stays_and_the_rest_is_new():
    settled = again(once())
    assert luck(settled) == {"first": "new", "random": "old", "compared": "new", "later": "old"}
    assert settled.cells[4].outputs == once().cells[4].outputs
    assert luck(again(settled)) == luck(settled), "and so it goes on"


def test_the_same_run_twice_gives_the_same_bytes():
    first = once()
    assert notebooks.to_text(notebooks.settle(ran("old"), first)) == notebooks.to_text(first)


@pytest.mark.parametrize(
    ("edited", "new"),
    [
        ("first", {"random", "later"}),
        ("random", {"random", "later"}),
        ("compared", {"later"}),
        ("later", {"later"}),
    ],
)
def test_what_stands_at_or_below_edited_code_is_new(edited, new):
    settled = luck(again(once(), **{edited: "b = 2"}))
    assert {name for name in ("random", "later") if settled[name] == "new"} == new


def test_a_text_that_was_edited_changes_no_output():
    before = once()
    before.cells[0].source = "# A better title"
    assert luck(again(before))["later"] == "old"


def test_a_changed_package_makes_all_new(monkeypatch):
    before = once()
    monkeypatch.setattr(notebooks, "_package", lambda: "another package")
    assert set(luck(again(before)).values()) == {"new"}


@pytest.mark.parametrize(
    "other", [[], [new_output("stream", name="stdout", text="run in JupyterLab")]], ids=["none", "other"]
)
def test_an_output_that_no_run_has_stored_is_not_kept(other):
    before = once()
    before.cells[4].outputs = other
    assert luck(again(before)) == {"first": "new", "random": "old", "compared": "new", "later": "new"}


def test_what_jupyterlab_adds_to_an_output_does_not_make_it_another():
    before = once()
    kept = before.cells[4].outputs[0]
    before.cells[4].outputs = [type(kept)(dict(reversed(kept.items())))]
    assert luck(again(before))["later"] == "old"


def test_a_lecture_that_was_stored_before_there_were_digests_is_new():
    before = ran("old")
    assert set(luck(again(before)).values()) == {"new"}


def test_the_package_is_its_code_its_styles_and_its_data_and_no_exercise(monkeypatch, tmp_path):
    monkeypatch.undo()
    package = tmp_path / "course_utils"
    (package / "exercises").mkdir(parents=True)
    monkeypatch.setattr(notebooks, "__file__", str(tmp_path / "course_tools" / "notebooks.py"))
    monkeypatch.setattr(notebooks, "data_folder", lambda: tmp_path / "data")
    (tmp_path / "data" / "deep").mkdir(parents=True)
    digests = [notebooks._package.__wrapped__()]
    for file in ("course_utils/charts.py", "course_utils/course.mplstyle", "data/deep/words.csv"):
        Path(tmp_path, file).write_text("new")
        digests.append(notebooks._package.__wrapped__())
    (package / "exercises" / "lecture_01.py").write_text("new")
    assert len({*digests}) == 4 and notebooks._package.__wrapped__() == digests[-1]
