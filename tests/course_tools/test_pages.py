"""What the site and the slides share."""

import errno
import re

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from course_tools import notebooks, pages

PIXEL = "iVBORw0KGgo="


def test_a_formula_becomes_mathml():
    inline = pages.formula(r"\sqrt{t/f}", display=False)
    assert inline.startswith("<math") and "<msqrt>" in inline and 'display="inline"' in inline
    assert 'display="block"' in pages.formula(r"\frac{1}{2}", display=True)


def test_a_function_keeps_its_distance_but_not_from_a_bracket():
    assert '<mi>log</mi><mspace width="0.167em"/><mi>p</mi>' in pages.formula(r"\log p(x)", display=False)
    assert "mspace" not in pages.formula(r"\exp(x) + \tanh\Big(x\Big)", display=False)


def test_aligned_equations_stand_in_columns_and_primes_are_raised_once():
    rows = pages.formula(r"\begin{aligned} a &= b \\ c &= d \end{aligned}", display=True)
    assert rows.count("<mtr>") == 2 and "aligned" not in rows
    assert "<msup>" not in pages.formula("h' + 1", display=False)


@pytest.mark.parametrize("tex", [r"\left( a", "a^"])
def test_a_formula_that_cannot_be_read_is_refused(tex):
    with pytest.raises(notebooks.LectureError, match="cannot be set"):
        pages.formula(tex, display=False)


def test_every_formula_of_the_lectures_can_be_set():
    found = 0
    for path in notebooks.find():
        for cell in notebooks.read(path).cells:
            if cell.cell_type != "markdown":
                continue
            text = re.sub(r"`[^`]*`", "", cell.source)
            for block, inline in re.findall(r"\$\$(.+?)\$\$|\$([^$\n]+?)\$", text, flags=re.DOTALL):
                set_ = pages.formula(block or inline, display=bool(block))
                assert not re.search(r"merror|\\|aligned", set_), block or inline
                found += 1
    assert found > 100


# Which lectures


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Stores two lectures, and one of them executed, with these cells."""
    monkeypatch.setenv("COURSE_NOTEBOOKS", str(tmp_path / "notebooks"))

    def store(*cells):
        stored = new_notebook(cells=[new_markdown_cell("# 07 · Rain")])
        for name in ("07_rain", "08_snow"):
            notebooks.write(stored, tmp_path / "notebooks" / f"{name}.ipynb")
        executed = new_notebook(cells=[*stored.cells, *cells])
        notebooks.write(executed, tmp_path / "ran" / "07_rain.ipynb")
        return tmp_path / "notebooks", tmp_path / "ran"

    return store


def test_lectures_are_the_stored_ones_or_those_that_a_run_has_left(folders, capsys):
    home, ran = folders(new_markdown_cell("Executed."))
    assert [path.name for path in pages.lectures(None)] == ["07_rain.ipynb", "08_snow.ipynb"]
    ((path, notebook),) = pages.lectures(None, ran).items()
    assert path == home / "07_rain.ipynb", "links and pictures start from where the lecture is at home"
    assert notebook.cells[-1].source == "Executed."
    assert capsys.readouterr().err == f"Not in {ran}: 08_snow\n"
    assert [path.stem for path in pages.lectures(["7"], ran)] == ["07_rain"] and not capsys.readouterr().err


def test_what_a_folder_of_executed_lectures_lacks_is_said(folders, tmp_path):
    _, ran = folders()
    with pytest.raises(notebooks.LectureError, match=r"ran lacks 08_snow: `course run`"):
        pages.lectures(["7", "8"], ran)
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "nowhere", ran / "07_rain.ipynb"):
        with pytest.raises(notebooks.LectureError, match=r"There are no lectures in .*: `course run`"):
            pages.lectures(None, folder)
    (ran / "07_rain.ipynb").write_text("<<<<<<< HEAD")
    with pytest.raises(notebooks.LectureError, match=r"^07_rain\.ipynb: .* is not a notebook"):
        pages.lectures(["7"], ran)


def test_progress_bars_of_a_run_are_gone_and_what_a_widget_says_is_left(folders):
    def shown(text):
        return new_output("display_data", data={notebooks.WIDGET_VIEW: {"model_id": "1"}, "text/plain": text})

    bars = ["epochs:  30%|###       | 3/10 [00:02<00:04]", "GloVe:   1%|1 | 225k/16.3M", "100%|##########|"]
    said = ["Run this cell to see rain.", "a|b: 30 % | wet"]
    _, ran = folders(new_code_cell("train()", outputs=[shown(text) for text in [*bars, *said]]))
    cell = pages.lectures(["7"], ran)[folders()[0] / "07_rain.ipynb"].cells[-1]
    assert [output.data for output in cell.outputs] == [{"text/plain": text} for text in said]


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("image.png", "![image.png](attachment:image.png)"),
        ("Bild 1 (2).png", "![wet](attachment:Bild%201%20(2).png)"),
        ("ü.png", '<img src="attachment:%C3%BC.png" alt="wet">'),
    ],
)
def test_a_pasted_picture_stands_in_the_text(folders, name, written):
    cell = new_markdown_cell(
        f"Rain.\n\n{written}", attachments={name: {"image/png": f"{PIXEL[:4]}\n{PIXEL[4:]}"}}
    )
    home, ran = folders(cell)
    source = pages.lectures(["7"], ran)[home / "07_rain.ipynb"].cells[-1].source
    assert f"data:image/png;base64,{PIXEL}" in source and "attachment:" not in source
    assert pages.markdown(source).count(f'src="data:image/png;base64,{PIXEL}"') == 1


@pytest.mark.parametrize(
    "attachments", [{}, {"b.png": {"image/png": PIXEL}}, {"a.svg": {"image/svg+xml": "<svg/>"}}]
)
def test_a_pasted_picture_that_is_not_there_is_named(folders, attachments):
    _, ran = folders(new_markdown_cell("![a](attachment:a.svg)", attachments=attachments))
    with pytest.raises(
        notebooks.LectureError, match=r"^07_rain\.ipynb: The picture a\.svg is not in its cell"
    ):
        pages.lectures(["7"], ran)


@pytest.mark.parametrize(
    ("printed", "told"),
    [
        (
            "Course ready: profile ci (embedded assets, small sizes), seed 0",
            "profile ci (small sizes, stand-in data)",
        ),
        (
            "A line.\nCourse ready: profile gpu (NVIDIA), seed 0",
            "profile gpu (real data, unless a figure says stand-in)",
        ),
        ("Of Course ready: profile ci", "Without figures: this lecture has not been run"),
    ],
)
def test_a_lecture_says_which_profile_its_figures_are_from(printed, told):
    cells = [
        new_markdown_cell("Profile ci"),
        new_code_cell("1", outputs=[new_output("stream", text=f"{printed}\n")]),
    ]
    assert pages.origin(new_notebook(cells=cells)).removeprefix("Figures from ") == told


# Where they are written


def test_a_folder_is_replaced_when_all_is_written(tmp_path):
    out = tmp_path / "deep" / "out"
    for word in ("old", "new"):
        with pages.replacing(out) as made:
            (made / word).write_text(word)
            assert not (out / word).exists()
    assert [path.name for path in out.iterdir()] == ["new"] and [*out.parent.iterdir()] == [out]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_what_is_half_written_goes_and_what_was_there_stays(tmp_path, error):
    out = tmp_path / "out"
    (out / "kept").mkdir(parents=True)
    with pytest.raises((notebooks.LectureError, KeyboardInterrupt)) as caught, pages.replacing(out) as made:
        (made / "half").write_text("half")
        raise error
    assert [*tmp_path.iterdir()] == [out] and [path.name for path in out.iterdir()] == ["kept"]
    if isinstance(error, OSError):
        assert str(caught.value).startswith(f"{out} cannot be written") and "No space left" in str(
            caught.value
        )


def test_a_folder_that_cannot_be_made_is_said_in_a_sentence(tmp_path):
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file" / "out", "/proc/nowhere/out"):
        with (
            pytest.raises(notebooks.LectureError, match="cannot be written"),
            pages.replacing(pages.Path(out)),
        ):
            pass
    assert (tmp_path / "file").read_text() == "mine"


def test_a_mounted_volume_is_not_replaced():
    with (
        pytest.raises(notebooks.LectureError, match="such as /proc/new"),
        pages.replacing(pages.Path("/proc")),
    ):
        pass
