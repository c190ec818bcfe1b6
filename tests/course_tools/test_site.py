"""The site of one made-up lecture and a half: what Sphinx makes of it, and what it must refuse."""

from __future__ import annotations

import base64
import errno
import re
import struct
import subprocess
import sys
import zlib
from html.parser import HTMLParser
from types import SimpleNamespace

import nbformat
import pytest
from docutils import nodes
from docutils.utils import new_document
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from typer.testing import CliRunner

from course_tools import cli, notebooks, site
from course_utils.exercises import quiz

# What the theme owes to a Sphinx to come is not ours.
pytestmark = pytest.mark.filterwarnings("ignore:.*Check CHANGES for Sphinx API modifications")
BADGES = (
    "[![Open in Colab](https://colab.example/colab-badge.svg)](https://colab.example/00.ipynb) "
    "[![Open in Binder](https://binder.example/badge.svg)](https://binder.example/00.ipynb)"
)
READY = "Course ready: profile ci (embedded assets, small sizes), seed 0\n"
README = """\
# A course of two

It begins with a *question*.

![scores](docs/scores.png)

## The lectures

| | lecture | what it answers | time | |
|---|---|---|---|---|
| 00 | [Made up](notebooks/00_made_up.ipynb) | What is *made up* for a test? | 99 min | |

## Licences

Text: CC BY 4.0.

## For CI

Nothing of this.
"""
ALT = 'A square of one colour: "grey", [as] the *mean* of black & white.'
TEXT = """\
## 1 · Text

Inline $\\sqrt{t/f}$, and `code with $5` in it. In lecture 01 you met it, in lectures 00, 01 and 07 not.

$$p(o \\mid c) = \\frac{1}{2}$$

See [other](01_other.ipynb), [a part](01_other.ipynb#2--a-part), [here](#1--text) and [a licence](../LICENSE).

![A picture from the repository, of one grey point.](../docs/grey.png)

% a line that begins with a sign

```
<details> [text](nowhere.ipynb)
```

<details><summary>Hint 1 · a **nudge** with $x^2$</summary>

Take the *root*, $\\sqrt{y}$.

<details><summary>Hint 2</summary>
It is `two`.

## A heading in a fold

</details>
</details>

After the fold."""


def picture(shade=128):
    """A PNG of one grey point."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data))
            + kind
            + data
            + struct.pack(">I", zlib.crc32(kind + data) & 0xFFFFFFFF)
        )

    pixels = zlib.compress(bytes([0, shade]))
    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def figure(alt, shade=128):
    data = {"image/png": base64.b64encode(picture(shade)).decode(), "text/plain": "Figure"}
    return new_output("display_data", data=data, metadata={"image/png": {"alt": alt}} if alt else {})


def fallback(text):
    return new_output("display_data", data={"text/plain": text})


def lecture():
    setup = {"course": {"role": "setup"}, "jupyter": {"source_hidden": True}}
    return new_notebook(
        cells=[
            new_markdown_cell(
                f"# 00 · Made up: what for?\n\n{BADGES}\n\nHello.\n\n**Time:** about 12 minutes."
            ),
            new_code_cell("zeppelin()", metadata=setup, outputs=[new_output("stream", text=READY)]),
            new_markdown_cell(TEXT),
            new_code_cell("two()", outputs=[figure(ALT), figure("Another figure, of a lighter grey.", 200)]),
            new_code_cell(
                "map()", outputs=[figure("The map of the course: two lectures, of which both are here.", 9)]
            ),
            new_code_cell("explorer()", outputs=[fallback("Run this cell to type <b>.")]),
            new_code_cell("def f():\n    return 'xylophone'", metadata={"tags": ["solution"]}),
            new_code_cell('quiz("00")', outputs=[fallback("Quiz, 4 questions.")]),
        ]
    )


def other():
    text = "# 01 · Other\n\nUnlike lecture 00, this tells of quokkas.\n\n## 2 · A part\n\nIt ends."
    return new_notebook(cells=[new_markdown_cell(text)])


def course(root, *notebooks):
    """A checkout with these notebooks; returns their folder."""
    folder = root / "notebooks"
    folder.mkdir(parents=True)
    for path, notebook in zip(("00_made_up.ipynb", "01_other.ipynb"), notebooks, strict=False):
        nbformat.write(notebook, folder / path)
    (root / "README.md").write_text(README, encoding="utf-8")
    (root / "LICENSE").write_text("free")
    (root / "docs").mkdir()
    (root / "docs" / "grey.png").write_bytes(picture())
    (root / "pyproject.toml").write_text('[project.urls]\nRepository = "https://github.com/some/where"\n')
    return folder


class Page(HTMLParser):
    """The tags of a page, each with its attributes, and its text."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.text, self.source = [], "", path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("course")


@pytest.fixture(scope="module")
def built(root):
    """The site of both lectures, built once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_NOTEBOOKS", str(course(root, lecture(), other())))
        assert len(site.build(None, root / "build" / "site")) == 2
    return root / "build" / "site"


@pytest.fixture(scope="module")
def page(built):
    return Page(built / "00_made_up.html")


@pytest.fixture
def refused(tmp_path, monkeypatch):
    """Builds the site of a lecture that must be refused; returns why, and sees that nothing is left."""

    def try_it(notebook):
        monkeypatch.setenv("COURSE_NOTEBOOKS", str(course(tmp_path, notebook)))
        with pytest.raises(notebooks.LectureError) as caught:
            site.build(["00"], tmp_path / "build" / "site")
        assert not list((tmp_path / "build").iterdir())
        return str(caught.value)

    return try_it


def test_every_figure_has_its_words(built, page):
    alts = [image["alt"] for image in page.all("img")]
    assert ALT in alts and "Another figure, of a lighter grey." in alts and len(alts) == 4
    for image in page.all("img"):
        assert (built / image["src"]).read_bytes().startswith(b"\x89PNG")
    index = Page(built / "index.html")
    assert [image["alt"] for image in index.all("img")] == [
        "The map of the course: two lectures, of which both are here."
    ]


def test_nothing_comes_from_the_network(built):
    for path in built.glob("*.html"):
        for tag, attrs in Page(path).tags:
            loaded = [attrs.get("src"), attrs.get("srcset"), attrs.get("href") if tag == "link" else None]
            assert not [address for address in loaded if address and re.match("(https?:)?//", address)]
        assert not re.search(
            r"mathjax\.|require(\.min)?\.js|unpkg|cdn", path.read_text(encoding="utf-8"), re.I
        )
    for path in built.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//", path.read_text(encoding="utf-8"))


def test_formulas_are_mathml(page):
    assert page.source.count("<math ") == 4 and "<msqrt>" in page.source and 'display="block"' in page.source
    assert "</math>,</span>" in page.source  # a line does not begin with a comma
    assert "code with $5" in page.text and not re.search(r"\\(sqrt|frac|mid)", page.source)


def test_folded_parts_hold_their_markdown(page):
    folded = page.source[page.source.index("Hint 1") : page.source.index("After the fold")]
    assert "<strong>nudge</strong>" in folded and "<em>root</em>" in folded and "<code" in folded
    assert (
        folded.count("<details") == 1 and folded.count("</details>") == 2
    )  # the first began before "Hint 1"
    assert "<strong>A heading in a fold</strong>" in folded and "<section" not in folded
    assert page.source.count("<details") == page.source.count("</details>")
    assert "<details> [text](nowhere.ipynb)" in page.text  # in a block of code nothing is touched
    assert "% a line that begins with a sign" in page.source


def test_solution_and_set_up_are_folded_and_say_so(page):
    for words, inside in [("Show the solution", "xylophone"), ("Show the set-up code", "zeppelin")]:
        block = page.source[: page.source.index(inside)]
        assert words in block and block.rindex("<details") < block.rindex(words)
        assert "</details>" not in block[block.rindex("<details") :]
    assert "Toggle hidden content" not in page.source  # it would hide the words from screen readers
    assert not [attrs for attrs in page.all("details") if "open" in attrs]


def test_widgets_become_a_note_and_the_quiz_explains_itself(page):
    assert '<p class="course-widget">Run this cell to type &lt;b&gt;.</p>' in page.source
    assert quiz.quiz_markup(quiz.questions("00")) in page.source and "Quiz, 4 questions." not in page.source


def test_links_lead_on(page, built):
    links = [attrs.get("href") for attrs in page.all("a")]
    assert "https://colab.example/00.ipynb" in links and "badge.svg" not in page.source
    assert "01_other.html" in links and "01_other.html#a-part" in links
    assert "https://github.com/some/where/blob/main/LICENSE" in links
    # Where the text names lectures; not itself, and not one that is not there.
    assert '<a class="reference internal" href="01_other.html">lecture 01</a>' in page.source
    assert 'lectures 00, <a class="reference internal" href="01_other.html">01</a> and 07' in page.source
    assert 'href="00_made_up.html">lecture 00</a>' in (built / "01_other.html").read_text(encoding="utf-8")


def test_the_index_is_told_by_readme_and_lectures(built):
    text = (built / "index.html").read_text(encoding="utf-8")
    for said in (
        "A course of two",
        "<em>question</em>",
        "What is <em>made up</em> for a test?",
        "12\u00a0min",
        'href="https://binder.example/00.ipynb">Binder</a>',
        'href="00_made_up.html"',
        "Text: CC BY 4.0.",
    ):
        assert said in text
    assert "99 min" not in text and "Nothing of this" not in text


def test_the_search_knows_the_text(built):
    words = (built / "searchindex.js").read_text(encoding="utf-8")
    assert "quokka" in words and "xylophon" in words
    texts = (built / "_static" / "course-texts.js").read_text(encoding="utf-8")
    assert "this tells of quokkas" in texts and "xylophone" in texts and "window.fetch" in texts
    assert '<script src="_static/course-texts.js"></script>' in (built / "search.html").read_text()


def test_twice_gives_the_same_bytes_and_an_earlier_site_is_replaced(built, root, monkeypatch):
    monkeypatch.setenv("COURSE_NOTEBOOKS", str(root / "notebooks"))
    before = {path.relative_to(built): path.read_bytes() for path in built.rglob("*") if path.is_file()}
    (built / "stale.html").write_text("from before")
    site.build(None, built)
    after = {path.relative_to(built): path.read_bytes() for path in built.rglob("*") if path.is_file()}
    assert before.keys() == after.keys()
    assert not [str(path) for path in before if before[path] != after[path]]
    assert str(root) not in "".join(path.read_text() for path in built.glob("*.html"))


def test_some_lectures_link_to_the_others_at_home(root, built, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_NOTEBOOKS", str(root / "notebooks"))
    site.build(["00"], tmp_path / "site")
    text = (tmp_path / "site" / "00_made_up.html").read_text(encoding="utf-8")
    assert "https://github.com/some/where/blob/main/notebooks/01_other.ipynb#2--a-part" in text
    assert "In lecture 01 you met it" in text and not (tmp_path / "site" / "01_other.html").exists()


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        (new_markdown_cell("[away](02_nowhere.ipynb)"), r"00_made_up.ipynb, cell 2: .*02_nowhere.ipynb"),
        (new_markdown_cell("Half of $\\left( a$."), r"00_made_up: The formula .* cannot be set"),
        (new_markdown_cell("![From afar](https://example.org/a.png)"), "from the network"),
        (new_code_cell("draw()", outputs=[figure("")]), "has no alt text"),
        (new_code_cell('quiz("77")', outputs=[fallback("Quiz")]), r"00_made_up.ipynb: .*'77' has no quiz"),
    ],
    ids=["link", "formula", "remote", "alt", "quiz"],
)
def test_a_damaged_page_is_refused(cell, why, refused):
    assert re.search(why, refused(new_notebook(cells=[lecture().cells[0], cell])))


def test_a_site_for_a_class_solves_nothing(root, built, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_NOTEBOOKS", str(root / "notebooks"))
    site.build(["00"], tmp_path / "site", solutions=False)
    for name, given_away in (
        ("00_made_up", "xylophone"),
        ("00_made_up", "colab.example/00"),
        ("index", "run it"),
    ):
        whole, without = ((folder / f"{name}.html").read_text() for folder in (built, tmp_path / "site"))
        assert given_away in whole and given_away not in without


def test_a_lecture_without_its_title_is_refused(refused):
    assert "number and its title" in refused(new_notebook(cells=[new_markdown_cell("# Nameless")]))


def test_every_page_says_which_profile_the_figures_are_from(built):
    told = "Figures from profile ci (small sizes, stand-in data)"
    other = "Without figures: this lecture has not been run"
    for name, said in [("00_made_up", told), ("01_other", other), ("index", f"{told}: 00; {other}: 01")]:
        page = (built / f"{name}.html").read_text(encoding="utf-8")
        assert re.search(rf'</h1>\s*<p class="course-origin">{re.escape(said)}\.</p>', page), name
    for page in built.glob("*.html"):
        assert told in page.read_text() or other in page.read_text(), page.name


def test_pages_have_an_icon_a_description_and_buttons_that_copy(built):
    for page in [Page(path) for path in built.glob("*.html")]:
        assert [link["href"] for link in page.all("link") if link.get("rel") == "icon"] == [
            "_static/favicon.svg"
        ]
        assert next(meta["content"] for meta in page.all("meta") if meta.get("name") == "description")
        assert any("_static/site.js" in script.get("src", "") for script in page.all("script"))
    assert (built / "_static" / "favicon.svg").read_text().startswith("<svg")
    descriptions = {page: (built / f"{page}.html").read_text() for page in ("index", "00_made_up")}
    assert 'content="It begins with a question."' in descriptions["index"]
    assert 'content="Lecture 00: Made up: what for?"' in descriptions["00_made_up"]


def test_a_picture_is_as_large_as_the_lecture_says(root, built, tmp_path, monkeypatch):
    large = figure("A figure with twice as many points as it has room for.")
    large.metadata["image/png"]["width"] = 400
    monkeypatch.setenv(
        "COURSE_NOTEBOOKS",
        str(
            course(tmp_path, new_notebook(cells=[*lecture().cells[:1], new_code_cell("x", outputs=[large])]))
        ),
    )
    site.build(None, tmp_path / "site")
    (image,) = Page(tmp_path / "site" / "00_made_up.html").all("img")
    assert image["width"] == "400" and image["alt"].startswith("A figure with twice")


def test_a_picture_pasted_into_a_cell_is_shown(tmp_path, monkeypatch):
    data = base64.b64encode(picture()).decode()
    cell = new_markdown_cell(
        "Look: ![wet](attachment:image.png)", attachments={"image.png": {"image/png": data}}
    )
    monkeypatch.setenv(
        "COURSE_NOTEBOOKS", str(course(tmp_path, new_notebook(cells=[lecture().cells[0], cell])))
    )
    site.build(None, tmp_path / "site")
    (image,) = Page(tmp_path / "site" / "00_made_up.html").all("img")
    assert image["src"] == f"data:image/png;base64,{data}" and image["alt"] == "wet"


def test_executed_lectures_are_shown_and_those_that_lack_are_named(root, built, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_NOTEBOOKS", str(root / "notebooks"))
    executed = lecture()
    executed.cells[1].outputs = [new_output("stream", text="Course ready: profile gpu (T4), seed 0\n")]
    (tmp_path / "ran").mkdir()
    nbformat.write(executed, tmp_path / "ran" / "00_made_up.ipynb")
    arguments = ["site", "--from", str(tmp_path / "ran"), "--out", str(tmp_path / "site")]
    said = CliRunner().invoke(cli.app, arguments)
    assert said.exit_code == 0, said.exception
    assert said.stderr == f"Not in {tmp_path / 'ran'}: 01_other\n" and said.stdout.startswith(
        "1 lecture: open"
    )
    page = Page(tmp_path / "site" / "00_made_up.html")
    assert (
        "Figures from profile gpu (real data" in page.text
        and not (tmp_path / "site" / "01_other.html").exists()
    )
    assert "A picture from the repository, of one grey point." in [image["alt"] for image in page.all("img")]
    with pytest.raises(notebooks.LectureError, match="lacks 01_other"):
        site.build(["01"], tmp_path / "site", source=tmp_path / "ran")
    with pytest.raises(notebooks.LectureError, match="There are no lectures in"):
        site.build(None, tmp_path / "site", source=tmp_path)


@pytest.mark.parametrize("place", ["write_text", "Sphinx"])
def test_a_full_disk_is_said_in_a_sentence_and_an_earlier_site_stays(root, built, monkeypatch, place):
    monkeypatch.setenv("COURSE_NOTEBOOKS", str(root / "notebooks"))
    before = sorted(built.parent.rglob("*"))

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(site if place == "Sphinx" else notebooks, place, full)
    with pytest.raises(notebooks.LectureError, match=r"site cannot be written .*No space left on device"):
        site.build(None, built)
    assert sorted(built.parent.rglob("*")) == before


def test_somebody_elses_folder_is_left_alone(built, root, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_NOTEBOOKS", str(root / "notebooks"))
    (tmp_path / "precious.txt").write_text("mine")
    for out in (tmp_path, tmp_path / "precious.txt", tmp_path / "precious.txt" / "deep"):
        with pytest.raises(notebooks.LectureError, match=r"is not an earlier site|cannot be written"):
            site.build(None, out)
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_the_command_says_what_to_open(root, built, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_NOTEBOOKS", str(root / "notebooks"))
    said = CliRunner().invoke(cli.app, ["site", "01", "--out", str(tmp_path / "site")])
    assert said.exit_code == 0 and said.output == f"1 lecture: open {tmp_path / 'site' / 'index.html'}\n"
    assert (tmp_path / "site" / "index.html").exists()


def test_an_earlier_site_survives_a_refusal(built, root, monkeypatch, tmp_path):
    broken = course(tmp_path, new_notebook(cells=[lecture().cells[0], new_markdown_cell("[a](b.md)")]))
    monkeypatch.setenv("COURSE_NOTEBOOKS", str(broken))
    with pytest.raises(notebooks.LectureError):
        site.build(None, built)
    assert (built / "00_made_up.html").exists() and not list(built.parent.glob(".site-*"))


def test_a_missing_package_is_named(monkeypatch, tmp_path, capsys):
    for name in [
        name for name in sys.modules if name.partition(".")[0] == "sphinx" or "course_tools.site" in name
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sphinx", None)
    monkeypatch.setattr(sys, "argv", ["course", "site", "00", "--out", str(tmp_path / "site")])
    with pytest.raises(SystemExit, match="2"):
        cli.main()
    assert re.search(r"course: sphinx(\.\w+)* is not installed: pip install -e \"", capsys.readouterr().err)
    assert not (tmp_path / "site").exists()


def test_the_command_does_not_need_sphinx():
    script = (
        "import sys; import course_tools.cli; "
        "print(sorted({'sphinx', 'nbformat', 'nbclient'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


def test_of_two_halves_a_lecture_is_the_first():
    page = new_document("/site/03_here.ipynb")
    page += nodes.paragraph("", "See lecture 17, lecture 17b and lectures 03, 17a.")
    page[0] += nodes.Text(page[0].rawsource)
    about = {"03_here": [], "17a_pipes": [], "17b_more": []}
    site._link_lectures(SimpleNamespace(config=SimpleNamespace(course_about=about)), page)
    links = [(link.astext(), link["refuri"]) for link in page.findall(nodes.reference)]
    assert links == [
        ("lecture 17", "17a_pipes.html"),
        ("lecture 17b", "17b_more.html"),
        ("17a", "17a_pipes.html"),
    ]
