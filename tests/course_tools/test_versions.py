"""What is handed out: lectures without solutions, and the solutions alone, the same bytes each time."""

import re

import nbformat
import pytest

from course_tools import notebooks, versions
from course_utils import start
from course_utils.exercises import CheckFailed

LECTURES = notebooks.find()


@pytest.fixture(params=LECTURES, ids=lambda path: path.stem)
def lecture(request):
    return notebooks.read(request.param)


@pytest.fixture
def shell(monkeypatch):
    """Runs the cells of one notebook, as its kernel would after the set-up cell."""
    monkeypatch.setenv("COURSE_PROFILE", "ci")
    names = {"course": start()}
    return lambda cell: exec(compile(cell.source, "cell", "exec"), names)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tagged(notebook, tag):
    return [cell for cell in code(notebook) if tag in cell.metadata.get("tags", [])]


def test_nothing_is_given_away(lecture):
    handed_out = versions.student(lecture)
    text = notebooks.to_text(handed_out)
    assert tagged(lecture, "solution") and not tagged(handed_out, "solution")
    assert [cell.source for cell in tagged(handed_out, "exercise")] == [
        cell.source for cell in tagged(lecture, "exercise")
    ]
    for cell in tagged(lecture, "solution"):
        answer = cell.source.split('"""')[-1].strip()  # below the docstring, which the stub has, too
        assert not [other for other in handed_out.cells if answer in other.source]
    assert not re.search(r"folded (?:cell|solution)|Answers<|\[!\[", text)
    assert all(cell.execution_count is None and not cell.outputs for cell in code(handed_out))


def test_the_rest_is_as_it_was(lecture):
    handed_out = versions.student(lecture)
    left = [cell for cell in lecture.cells if "solution" not in cell.metadata.get("tags", [])]
    assert [cell.id for cell in handed_out.cells] == [cell.id for cell in left]
    for ours, theirs in zip(code(handed_out), [c for c in left if c.cell_type == "code"], strict=True):
        assert ours.source == theirs.source and ours.metadata == theirs.metadata


@pytest.mark.parametrize("make", [versions.student, versions.solutions])
def test_twice_gives_the_same_bytes_and_the_lecture_stays(make, lecture):
    before = notebooks.to_text(lecture)
    once = notebooks.to_text(make(lecture))
    assert once == notebooks.to_text(make(lecture)) and notebooks.to_text(lecture) == before
    nbformat.validate(nbformat.reads(once, as_version=4))


def test_solutions_pass_their_checks_and_stubs_say_kindly_that_they_are_stubs(lecture, shell, capsys):
    setup, imports, checks, *answers = code(versions.solutions(lecture))
    assert setup.metadata.course.role == "setup"
    shell(imports)
    shell(checks)
    stubs = tagged(versions.student(lecture), "exercise")
    assert len(answers) == 2 * len(stubs)
    for stub, solution, check in zip(stubs, answers[::2], answers[1::2], strict=True):
        shell(stub)
        with pytest.raises(CheckFailed, match="still to be written"):
            shell(check)
        shell(solution)
        shell(check)
    assert capsys.readouterr().out.count("✓") == len(stubs)


@pytest.fixture
def handed(tmp_path):
    """Hands out what `version` makes of two small lectures; returns lines and texts."""
    folder, out = tmp_path / "notebooks", tmp_path / "out"
    folder.mkdir()
    for name in ("01_one", "02_two"):
        title = nbformat.v4.new_markdown_cell(f"# {name}", id="title")
        notebooks.write(nbformat.v4.new_notebook(cells=[title]), folder / f"{name}.ipynb")

    def hand_out(version=versions.student):
        left = versions.hand_out(sorted(folder.iterdir()), out, version)
        return left, {path.name: path.read_text() for path in sorted(out.glob("*.ipynb"))}

    hand_out.lectures, hand_out.out = folder, out
    return hand_out


def edit(path, old="#", new="# Solved:"):
    path.write_text(path.read_text().replace(old, new))


def test_a_version_in_which_somebody_has_worked_stays(handed):
    assert handed()[0] == []
    edit(handed.out / "01_one.ipynb")
    for name in ("01_one", "02_two"):
        edit(handed.lectures / f"{name}.ipynb", "# 0", "# Term 2: 0")
    for _ in range(2):
        (line,), texts = handed()
        assert "01_one.ipynb stays as it is: it was changed since it was written" in line
        assert "Solved" in texts["01_one.ipynb"] and "Term 2" in texts["02_two.ipynb"]
    (handed.out / "01_one.ipynb").rename(handed.out / "01_mine.ipynb")
    left, texts = handed()
    assert not left and "Term 2" in texts["01_one.ipynb"] and "Solved" in texts["01_mine.ipynb"]


@pytest.mark.parametrize("record", [None, '{"01_one.ip'])
def test_without_a_record_only_what_is_the_same_is_written_over(handed, record):
    handed()
    file = handed.out / versions.RECORD
    file.unlink() if record is None else file.write_text(record)
    assert handed()[0] == []  # nothing has changed, and now there is a record again
    edit(handed.lectures / "01_one.ipynb")
    assert handed()[0] == []
    file.unlink()
    edit(handed.lectures / "01_one.ipynb")
    assert len(handed()[0]) == 1


def test_one_that_cannot_be_handed_out_does_not_keep_the_others(handed):
    (handed.lectures / "01_one.ipynb").write_text("<<<<<<< HEAD")
    (line,), texts = handed()
    assert line.startswith("01_one.ipynb: ") and list(texts) == ["02_two.ipynb"]


def test_it_is_not_handed_out_who_opened_a_lecture_on_colab(lecture):
    lecture.metadata.colab = {
        "provenance": [{"file_id": "ada-file"}],
        "authorship_tag": "ada-tag",
        "name": "ada-copy.ipynb",
    }
    lecture.cells[1].metadata.update(
        id="ab12", outputId="ada-output", executionInfo={"user": {"displayName": "ada-name"}}
    )
    for version in (versions.student, versions.solutions, notebooks.normalise):
        assert "ada-" not in notebooks.to_text(version(lecture))


def test_what_cannot_be_handed_out_is_refused(lecture):
    tagged(lecture, "exercise")[0].source = "def done():\n    return 1"
    with pytest.raises(notebooks.LectureError, match="no stub"):
        versions.student(lecture)
    lecture.cells[0].source = "no title"
    with pytest.raises(notebooks.LectureError, match="number and its title"):
        versions.solutions(lecture)


def test_a_lecture_without_solutions_and_a_solution_without_its_check():
    title = nbformat.v4.new_markdown_cell("# 11 · A title")
    with pytest.raises(notebooks.LectureError, match="no cell with the tag"):
        versions.solutions(nbformat.v4.new_notebook(cells=[title]))
    lost = nbformat.v4.new_code_cell("a = 1", metadata={"tags": ["solution"]})
    with pytest.raises(notebooks.LectureError, match="between its question and its check"):
        versions.solutions(nbformat.v4.new_notebook(cells=[title, lost]))
