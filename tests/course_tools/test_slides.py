"""The rules by which a lecture becomes slides, one by one, on a small lecture made for them."""

import base64
import errno
import html
import re
import struct
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from course_tools import cli, notebooks, slides
from course_utils.exercises.quiz import questions

pytest.importorskip("nbconvert")
pytest.importorskip("latex2mathml")
ROOT = Path(__file__).parents[2]
OPENING = """\
# 07 · A lecture: what for?

[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.example/x) \
[![Open in Kaggle](https://kaggle.com/badge.svg)](https://kaggle.com/x)

It rained all night. Nobody had looked. *Why does it rain?* Much more prose about the weather of that year.

**What you will be able to do**

- predict the weather;
- carry an umbrella.

**Time:** about 5 minutes."""
PROSE = """\
## 1 · Rain

Rain falls from clouds and makes everything wet. It does so in spring. It does so in autumn. **Clouds** drip.
(Brackets hold what can wait.)

A second paragraph that only the speaker knows by heart.

$$w = \\frac{1}{2} c$$

| kind | wet |
|---|---|
| drizzle | little |

1. one drop
2. another drop"""
SEE = """\
**What you should see:** a curve that goes up and up, and never down. It stops in May. Nobody knows why. \
*Trap: a curve that goes up says nothing about rain, however steep. Measure it twice. Then measure again.*"""
PLOT = """\
wet = measure()
share = wet / 2
drops = 7
print(wet)
plotting.show(
    plotting.lines(wet, "Rain"),
    alt="x",
)
expect("share", share, at_least=0)"""


def png(width, height):
    return base64.b64encode(
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height) + bytes(20)
    ).decode()


def code(source, *outputs, tags=(), **metadata):
    return new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags), **metadata})


def printed(text):
    return new_output("stream", text=text)


def shown(alt="Rain <rises>", size=(800, 400), **data):
    data = data or {"image/png": png(*size), "text/plain": "Figure"}
    return new_output("display_data", data=data, metadata={"image/png": {"alt": alt}})


def lecture(*cells):
    cells = [new_markdown_cell(cell) if isinstance(cell, str) else cell for cell in cells]
    made = new_notebook(cells=[new_markdown_cell(OPENING), *cells])
    for number, cell in enumerate(made.cells):
        cell.id = f"cell-{number}"
    return made


def html_of(notebook):
    return slides.TEMPLATES.get_template("slides.html").render(deck=slides.Deck(notebook))


def page(*cells):
    return html_of(lecture(*cells))


@dataclass
class Slide:
    """One slide as a browser gets it."""

    kind: str
    body: str
    face: str
    notes: str
    shows: list[str]


def shape(block):
    return block.name if block.name not in ("div", "pre") else block["class"][0]


def stacks(*cells, notebook=None):
    """The slides of a lecture, stack by stack."""
    soup = BeautifulSoup(html_of(notebook or lecture(*cells)), "html.parser")
    return [
        [
            Slide(
                section["class"][0],
                str(body := section.select_one(".body")),
                " ".join(body.get_text().split()),
                " ".join(note.get_text() for note in section.select("aside.notes")),
                [shape(block) for block in body.find_all(recursive=False)],
            )
            for section in stack.find_all("section", recursive=False)
        ]
        for stack in soup.select(".slides > section")
    ]


def soup_of(*cells):
    return BeautifulSoup(page("## Rain", *cells), "html.parser").get_text()


def every(made):
    return [slide for stack in made for slide in stack]


def faces(made):
    return " ".join(slide.face for slide in every(made))


def notes(made):
    return " ".join(slide.notes for slide in every(made))


# The beginning ----------------------------------------------------------------------------------------------


def test_the_title_slide_has_number_title_and_opening_question():
    title, *_ = every(stacks())
    assert title.kind == "title"
    assert title.face == "07 A lecture what for? Why does it rain?"
    assert "<h1>A lecture</h1>" in title.body


def test_without_a_question_the_title_slide_has_the_first_sentences():
    opening = "# 07 · Rain\n\nIt rains in the morning. Then it snows. In the evening it is dry."
    title = every(stacks(notebook=new_notebook(cells=[new_markdown_cell(opening)])))[0]
    assert title.face.endswith("It rains in the morning. Then it snows.")


def test_what_one_will_be_able_to_do_is_the_second_slide():
    goals = every(stacks())[1]
    assert goals.face.startswith("What you will be able to do")
    assert "carry an umbrella" in goals.face and "about 5 minutes" in goals.face


def test_badges_are_left_out():
    assert not re.search("colab|kaggle", page(), re.IGNORECASE)


def test_a_lecture_without_a_title_is_refused():
    with pytest.raises(notebooks.LectureError, match="does not begin with its number and its title"):
        slides.Deck(new_notebook(cells=[new_markdown_cell("Rain")]))


# Prose ------------------------------------------------------------------------------------------------------


def test_a_heading_begins_a_stack_and_a_small_one_a_slide():
    made = stacks(
        PROSE,
        "### Drizzle\n\nLittle drops that hardly wet anybody at all.",
        "## 2 · Snow\n\nSnow is rain too cold to fall.",
    )
    assert len(made) == 3
    assert made[1][0].face.startswith("1 Rain") and made[2][0].face.startswith("2 Snow")
    assert made[1][-1].face.startswith("Drizzle")
    assert re.search(r'class="kicker"><span>07 · A lecture</span>1 · Rain<', page(PROSE, "### Drizzle"))


def test_of_a_paragraph_the_first_two_sentences_and_bold_terms_are_shown():
    text = stacks(PROSE)[1][0].face
    assert "Rain falls from clouds and makes everything wet. It does so in spring." in text
    assert "Clouds drip." in text
    assert "autumn" not in text and "Brackets" not in text and "second paragraph" not in text


def test_formulas_tables_and_lists_are_shown():
    text = " ".join(slide.body for slide in stacks(PROSE)[1])
    assert re.search(r'<math (?=[^>]*display="block")', text) and "$" not in text
    assert "<table>" in text and "drizzle" in text
    assert re.search(r"<ol><li[^>]*>one drop</li><li[^>]*>another drop</li></ol>", text)


def test_the_notes_have_all_of_the_prose():
    words = notes(stacks(PROSE, SEE))
    for text in (
        "in autumn",
        "Brackets hold",
        "only the speaker",
        "another drop",
        "Nobody knows why",
        "measure again",
    ):
        assert text in words
    assert "Much more prose about the weather" in notes(stacks())


def test_boxes_show_their_beginning_and_stay_with_their_figure():
    made = stacks("## Rain", code(PLOT, shown()), SEE)
    figure = next(slide for slide in every(made) if "figure" in slide.shows)
    assert re.search(r'<div class="see">.*never down. It stops in May.</p></div>', figure.body)
    assert re.search(r'<div class="trap"><p>Trap: a curve .*Measure it twice.</p></div>', figure.body)
    assert "Nobody knows" not in figure.body


def test_a_figure_keeps_its_boxes_and_short_code_and_the_next_words_begin_a_slide():
    made = stacks(
        "## Rain",
        marked("Count the drops of rain, one by one, until none of them is left.", "subslide"),
        code("a = count(drops)", shown(size=(800, 400))),
        f"**What you should see:** rain, and then snow, {'and then rain ' * 8}again.",
        "Now it snows and snows and snows, all day long.",
    )
    assert [slide.shows for slide in made[-1][1:]] == [["text", "code", "figure", "see"], ["text"]]


def test_a_figure_does_not_share_its_slide_with_long_code_or_another_figure():
    lines = "\n".join(f"a{n} = b({n})" for n in range(9))
    made = stacks("## Rain", code(f"{lines}\nfigure.show(a1)", shown(), shown("Snow")), SEE)
    assert [slide.shows for slide in made[-1]] == [["h2", "code"], ["figure"], ["figure", "see", "trap"]]


def test_what_leads_over_to_the_next_cell_is_shown():
    made = stacks(
        "## Rain\n\nRain falls and falls and falls, all day. It is wet. It is cold. Now count the drops:"
    )
    assert made[-1][0].face.endswith("Now count the drops:")


def test_long_lists_go_on_a_slide_of_their_own_with_their_introduction():
    long = "\n".join(
        f"- **Drop {n}** falls {'and falls ' * 12}until it has reached the ground." for n in range(5)
    )
    made = stacks(f"## Rain\n\n{'Rain falls. ' * 20}\n\nThese are the **drops**:\n\n{long}")
    assert made[-1][-1].shows == ["text", "ul"] and made[-1][-1].body.count("<li") == 5
    assert made[-1][-1].face.startswith("These are the drops:") and "These are" in made[-1][-1].notes


def test_a_formula_that_does_not_fit_takes_its_introduction_along():
    long = "\n\n".join(f"**Drop {n}** falls {'and falls ' * 14}down." for n in range(5))
    made = stacks(f"## Rain\n\n{long}\n\n**So** a drop weighs:\n\n$$w = 1$$")
    assert made[-1][-1].shows == ["text", "math_block"]
    assert made[-1][-1].face.startswith("So a drop weighs:")


def test_a_paragraph_in_brackets_is_for_the_speaker():
    made = stacks("## Rain\n\n(It may also snow. It may hail.)")
    assert made[-1][0].face == "Rain" and "It may hail" in notes(made)


def test_a_list_after_a_cell_begins_its_own_slide():
    made = stacks("## Rain", code("rain()", printed("1\n" * 4)), "- a drop\n" * 5)
    assert [slide.shows for slide in made[-1]] == [["h2", "code", "output"], ["ul"]]


def test_a_list_in_one_line_becomes_a_list():
    made = stacks("**Without a check:** Count · Weigh · Drink")[-1][-1]
    assert made.shows[-2:] == ["text", "ul"]
    assert len(re.findall("<li[^>]*>(?:Count|Weigh|Drink)</li>", made.body)) == 3


def test_a_question_that_lists_shapes_is_no_list():
    question = (
        "**Exercise 1 · Rain.** Write `rain(x)`: drops (days · hours · minutes) to a mean. Count · weigh."
    )
    assert stacks(f"## Exercises\n\n{question}")[-1][0].shows == ["h2", "task"]


def test_aligned_formulas_and_primes_are_set_for_browsers():
    html = page("## Rain\n\n$$\\begin{aligned} a &= h' \\\\ b &= c \\end{aligned}$$")
    assert "<mtable" in html and "<mi>&</mi>" not in html
    assert re.search(r"<mrow><mi>h</mi><mo[^>]*>&#x02032;</mo></mrow>", html)


def test_long_code_has_its_slide_with_the_words_that_introduce_it():
    long = "\n".join(f"drop({n})" for n in range(25))
    made = stacks("## Rain\n\nIt rains all day.\n\n**So** count:", code(long, printed("1 drop")))
    assert [slide.shows for slide in made[-1]] == [["h2", "text"], ["text", "code"], ["output"]]


def test_a_formula_that_cannot_be_set_is_an_error():
    with pytest.raises(notebooks.LectureError, match="cannot be set"):
        page("$$\\left( a$$")


def test_glossary_and_progress_are_left_out_and_further_reading_is_small():
    recap = "## Recap\n\n- Rain is wet.\n\n## Glossary\n\n**rain** – water"
    made = stacks(recap, "## Further reading\n\n- A book of 1843.", "**Your progress.** What you have done.")
    text = faces(made)
    assert "Rain is wet." in text and "1843" in text
    assert "Glossary" not in text and "– water" not in text and "Your progress" not in text
    assert made[-1][0].kind == "small"


# Code -------------------------------------------------------------------------------------------------------


def test_what_is_for_the_machine_is_left_out():
    made = stacks(
        "## Rain",
        code("import os\n\ncourse = start()", course={"role": "setup"}),
        code("import rain_gauge\nfrom a import b"),
        code('# sizes\nsize = course.choose(ci={"drops": 1})'),
        code("check_rain(rain)", printed("✓ rain")),
        code('from course_utils.exercises.progress import my_progress\nmy_progress("07")'),
    )
    assert [slide.shows for slide in made[-1]] == [["h2"]]


def test_exercises_have_question_and_stub_and_nothing_is_given_away():
    question = (
        "**Exercise 1 · Rain.** Write `rain(day)` for any day of the year that you like, wet or dry. "
        "It is wet. It is cold. It returns a number of drops.\n\n"
        "<details><summary>Hint 1</summary>\n\nLook up.\n\n<details><summary>Hint 2</summary>\n\nHigher.\n\n"
        "</details>\n</details>\n\n<details><summary>Answers</summary>\n\nFortytwo.\n\n</details>"
    )
    cells = (
        "## Exercises",
        question,
        code('def rain(day):\n    raise NotImplementedError("your turn")', tags=["exercise"]),
        code("def rain(day):\n    return 40 + 2", tags=["solution"]),
        code("check_rain(rain)", printed("✓ rain")),
    )
    made, text = stacks(*cells), page(*cells).partition("<body>")[2].partition("<script")[0]
    assert "It returns a number of drops." in made[-1][0].face
    assert "NotImplementedError" in made[-1][0].face
    for secret in ("40", "Look up", "Higher", "Fortytwo", "details", "Hint", "check_rain"):
        assert secret not in text


def test_a_figure_keeps_its_words_and_loses_drawing_and_checks():
    made = stacks("## Rain", code(PLOT, shown(), printed("✓ share: at least 0\nother 1")))
    assert 'alt="Rain &lt;rises&gt;"' in page(code(PLOT, shown()))
    for left_out in ("plotting", "expect", "drops", "print"):
        assert not [slide for slide in made[-1] if left_out in slide.body]
    assert "measure" in made[-1][0].face
    assert "other 1" in made[-1][-1].face and "✓" not in made[-1][-1].face
    assert "share: at least 0" in notes(made)


def test_checks_are_shown_where_they_are_all_there_is_except_after_a_figure():
    check = code('expect("share", 1, at_least=0)', printed("✓ share: at least 0"))
    assert "✓ share" in stacks("## Rain", check)[-1][0].face
    made = stacks("## Rain", code("a = b()", shown()), check)
    assert "✓" not in faces(made) and "share: at least 0" in notes(made)


def test_short_code_stands_with_what_it_prints_and_long_code_alone():
    counted = "## Rain\n\nCount the drops, one by one, until none is left."
    assert stacks(counted, code("drops()", printed("1 drop")))[-1][0].shows == [
        "h2",
        "text",
        "code",
        "output",
    ]
    long = "\n".join(f"drop({n})" for n in range(25))
    made = stacks(counted, code(long, printed("1 drop")))
    assert [slide.shows for slide in made[-1]] == [["h2", "text", "code"], ["output"]]


def test_a_synced_cell_says_whose_source_it_is():
    rain, snow = "course_utils.models.rain:Rain", "course_utils.models.snow:Snow"
    assert f"# {rain}\nclass Rain" in soup_of(code("class Rain:\n    pass", course={"source": rain}))
    assert f"# {snow}\n# {rain}\nx = 1" in soup_of(code("x = 1", course={"source": [rain, snow]}))


def test_tables_lose_their_style_and_widgets_say_their_text_quietly():
    table = '<table border="1"><tr><th>a</th></tr><tr><td>1</td></tr></table>'
    table = f"<div><style scoped>td {{}}</style><script>go()</script>{table}</div>"
    text = page("## Rain", code("frame", shown(**{"text/html": table, "text/plain": "a"})))
    assert "<td>1</td>" in text and "scoped" not in text and "go()" not in text and "border=" not in text
    text = page("## Rain", code("widgets.rain()", shown(**{"text/plain": "Run this cell to see rain."})))
    assert '<div class="quiet"><p>Run this cell to see rain.</p></div>' in text and "widgets" not in text


def test_errors_and_colours_of_a_terminal_are_plain_text():
    error = new_output("error", ename="RainError", evalue="too <wet>", traceback=["long"])
    text = page("## Rain", code("drown()", error, printed("\x1b[31mred\x1b[0m")))
    assert "RainError: too &lt;wet&gt;" in text and "\x1b" not in text and ">red" in text


def test_each_question_of_the_quiz_has_a_slide_and_below_it_its_answers():
    made = stacks("## Quiz", code('from course_utils.exercises.quiz import quiz\n\nquiz("07")'))
    asked = questions("07")
    first, question, answers = made[-1][:3]
    assert f"{len(asked)} questions" in first.face and len(made[-1]) == 1 + 2 * len(asked)
    assert (question.kind, answers.kind) == ("quiz", "answers")
    for choice in asked[0].choices:
        assert choice.text in question.face and choice.text in answers.face
        assert choice.why in answers.face and choice.why not in question.face
        mark = "right" if choice.right else "wrong"
        assert re.search(
            rf'class="{mark}"><b>. .\)</b> {re.escape(html.escape(choice.text, quote=False))}', answers.body
        )
    assert "✓" in answers.face and "✓" not in question.face


# What an author sets ----------------------------------------------------------------------------------------


def marked(cell, kind):
    cell = new_markdown_cell(cell) if isinstance(cell, str) else cell
    cell.metadata["slideshow"] = {"slide_type": kind}
    return cell


def test_an_author_can_leave_a_cell_out_or_to_the_speaker():
    made = stacks("## Rain\n\nShown.", marked("Skipped.", "skip"), marked("Spoken.", "notes"))
    assert "Skipped" not in faces(made) + notes(made)
    assert "Spoken" in notes(made) and "Spoken" not in faces(made)


def test_an_author_can_begin_slides_and_uncover_piece_by_piece():
    made = stacks(
        "## Rain\n\nOne.", marked("Two.", "slide"), marked("Three.", "subslide"), marked("Four.", "fragment")
    )
    assert [[len(slide.shows) for slide in stack] for stack in made[1:]] == [[2], [1, 2]]
    assert '<div class="text fragment"><p>Four.</p></div>' in made[-1][-1].body
    assert re.search(
        r'class="kicker"><span>07 · A lecture</span>Rain<', page("## Rain", marked("Two.", "slide"))
    )
    made = stacks("## Rain", code("a(b)", printed("1")), marked("- Two.\n- Five.", "fragment"), "Three.")
    assert [slide.shows for slide in made[-1]] == [["h2", "code", "output", "ul", "text"]]
    assert made[-1][0].body.count('<li class="fragment">') == 2


def test_an_author_can_show_imports_but_never_a_solution():
    assert "rain_gauge" in page("## Rain", marked(code("import rain_gauge"), "subslide"))
    assert "rain_gauge" not in page("## Rain", marked(code("rain_gauge()", tags=["solution"]), "slide"))


def test_what_is_taller_than_a_slide_is_still_shown():
    row = "<tr><td>drop</td></tr>"
    made = stacks(
        "## Rain",
        marked(code("display(f)", shown(**{"text/html": f"<table>{row * 40}</table>"})), "subslide"),
    )
    assert made[-1][-1].body.count("drop") == 40


def test_odd_code_is_shown_as_it_is():
    made = stacks("## Rain\n\n```sh\ncourse slides <all>\n```", code("%timeit rain()"), code(" \n"))
    assert "course slides <all>" in faces(made) and "%timeit rain()" in faces(made)
    assert [slide.shows for slide in made[-1]] == [["h2", "fence", "code"]]


# Files ------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_NOTEBOOKS", str(tmp_path / "notebooks"))
    notebooks.write(lecture(PROSE, code(PLOT, shown()), SEE), tmp_path / "notebooks" / "07_rain.ipynb")
    return tmp_path


def content(folder):
    return {
        path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def test_pages_need_nothing_from_elsewhere_and_are_the_same_each_time(folder, capsys):
    cli.slides(["07"], folder / "out")
    first = content(folder / "out")
    cli.slides(["07"], folder / "out")
    assert content(folder / "out") == first
    assert {str(path) for path in first} == {
        "07_rain.html", "index.html", "reveal/LICENSE", "reveal/favicon.svg", "reveal/notes.js",
        "reveal/reset.css", "reveal/reveal.css", "reveal/reveal.js", "reveal/slides.css",
    }  # fmt: skip
    for name in ("07_rain.html", "index.html"):
        text = (folder / "out" / name).read_text(encoding="utf-8")
        used = re.findall(r"""<(?:link|script|img|iframe)[^>]*?(?:src|href)=["']?([^"'\s>]+)""", text)
        assert used and all(address.startswith(("data:", "reveal/")) for address in used)
        assert all((folder / "out" / address).exists() for address in used if address.startswith("reveal/"))
    assert "url(" not in (folder / "out" / "reveal" / "slides.css").read_text(encoding="utf-8")
    assert '<a href="07_rain.html">' in text
    assert "slides for 1 lecture: open" in capsys.readouterr().out


def test_pictures_beside_the_lectures_come_along_and_those_in_the_network_do_not(folder):
    (folder / "notebooks" / "drop.png").write_bytes(base64.b64decode(png(4, 4)))
    text = page("## Rain\n\n![a drop](drop.png)\n\n![a cloud](https://example.org/cloud.png)")
    assert re.search(r'<img src="data:image/png;base64,[^"]+" alt="a drop"', text)
    assert "example.org" not in text and "a cloud" in text


def test_nothing_is_written_when_one_lecture_fails(folder):
    notebooks.write(lecture("$$\\left( a$$"), folder / "notebooks" / "08_bad.ipynb")
    with pytest.raises(notebooks.LectureError, match=r"^08_bad\.ipynb: .*cannot be set"):
        cli.slides(None, folder / "out")
    assert not (folder / "out").exists()


def test_every_slide_and_the_index_say_which_profile_the_figures_are_from(folder):
    ready = code("start()", printed("Course ready: profile laptop (cpu), seed 0\n"), course={"role": "setup"})
    notebooks.write(lecture(ready, PROSE, code(PLOT, shown())), folder / "ran" / "07_rain.ipynb")
    slides.write_slides(None, folder / "out", source=folder / "ran")
    deck, index = (
        BeautifulSoup((folder / "out" / name).read_text(), "html.parser")
        for name in ("07_rain.html", "index.html")
    )
    told = "Figures from profile laptop (real data, unless a figure says stand-in)"
    slide_count = len(deck.select(".frame"))
    assert [each.get_text() for each in deck.select(".frame > .origin")] == [
        told
    ] * slide_count and slide_count > 3
    assert told in index.get_text()
    slides.write_slides(None, folder / "out")
    assert "this lecture has not been run" in (folder / "out" / "index.html").read_text()


def test_the_command_shows_executed_lectures_and_names_those_that_lack(folder, capsys):
    notebooks.write(lecture("## Snow\n\nSnow."), folder / "notebooks" / "08_snow.ipynb")
    notebooks.write(lecture("## Hail\n\nHail falls."), folder / "ran" / "07_rain.ipynb")
    cli.slides(None, folder / "out", source=folder / "ran")
    assert "Hail falls" in (folder / "out" / "07_rain.html").read_text()
    said = capsys.readouterr()
    assert said.err == f"Not in {folder / 'ran'}: 08_snow\n" and "slides for 1 lecture: open" in said.out
    with pytest.raises(notebooks.LectureError, match="lacks 08_snow"):
        cli.slides(["08"], folder / "out", source=folder / "ran")


def test_short_slides_have_beginnings_figures_formulas_and_what_to_remember(folder):
    cells = [
        "## 1 · Rain\n\nRain falls.", code("count()", printed("7 drops")),
        "Now a long argument.", code("weigh()", printed("8 ounces")),
        "It weighs:\n\n$$w = 1$$", code("a = b()", shown()), SEE,
        "Then a table:", code("frame", shown(**{"text/html": "<table></table>"})), "Nothing.",
        "## 2 · Snow", code("snow()", printed("9 flakes")),
        "## Exercises\n\n**Exercise 1 · Hail.** Count.", "## Quiz", code('quiz("07")'),
        "## Recap\n\n- Rain is wet.", "## Glossary\n\n**hail** – ice", "## Further reading\n\n- A book.",
    ]  # fmt: skip
    made = slides.Deck(lecture(*cells), short=True)
    kinds = [
        [block.kind for block in slide if block.kind != "note"] for stack in made.stacks for slide in stack
    ]
    assert kinds == [
        ["title", "text"], ["section", "text"], ["text", "math_block"], ["figure", "see", "trap"],
        ["section"], ["section", "bullet_list"],
    ]  # fmt: skip
    (folder / "notebooks" / "07_rain.ipynb").unlink()
    notebooks.write(lecture(*cells), folder / "notebooks" / "07_rain.ipynb")
    short, long = (slides.write_slides(None, folder / "out", short=short) for short in (True, False))
    assert sum(map(len, short[0].stacks)) < sum(map(len, long[0].stacks))


def test_a_short_deck_has_no_empty_slides():
    empty = marked(code("a = 1", printed("✓ a")), "slide")
    made = slides.Deck(
        lecture("## Rain", empty, marked(code(" "), "slide"), "## Snow\n\nIt snows."), short=True
    )
    assert all({block.kind for block in slide} - {"note", "code"} for stack in made.stacks for slide in stack)


def test_a_picture_pasted_into_a_cell_is_shown(folder):
    cell = new_markdown_cell(
        "## Rain\n\n![a drop](attachment:a%20b.png)", attachments={"a b.png": {"image/png": png(4, 4)}}
    )
    notebooks.write(lecture(cell), folder / "notebooks" / "07_rain.ipynb")
    cli.slides(["07"], folder / "out")
    assert (
        f'<img src="data:image/png;base64,{png(4, 4)}" alt="a drop"'
        in (folder / "out" / "07_rain.html").read_text()
    )


@pytest.mark.parametrize("file", ["07_rain.html", "index.html"])
def test_a_full_disk_is_said_in_a_sentence_and_earlier_slides_stay(folder, monkeypatch, file):
    cli.slides(["07"], folder / "out")
    before = content(folder)
    write = notebooks.write_text

    def full(text, path):
        if path.name == file:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(text, path)

    monkeypatch.setattr(notebooks, "write_text", full)
    with pytest.raises(notebooks.LectureError, match=r"out cannot be written .*No space left on device"):
        cli.slides(["07"], folder / "out")
    assert content(folder) == before


def test_earlier_slides_are_replaced_and_what_others_keep_there_is_not(folder):
    notebooks.write(lecture("## Snow\n\nSnow."), folder / "notebooks" / "08_snow.ipynb")
    cli.slides(None, folder / "out")
    cli.slides(["07"], folder / "out")
    assert not (folder / "out" / "08_snow.html").exists()
    (folder / "out" / "mine.html").write_text("mine")
    before = content(folder)
    with pytest.raises(notebooks.LectureError, match=r"holds other things \(mine.html\)"):
        cli.slides(["07"], folder / "out")
    for out in (folder / "out" / "mine.html", folder / "out" / "mine.html" / "deep"):
        with pytest.raises(
            notebooks.LectureError, match=r"is a file; choose another folder|cannot be written"
        ):
            cli.slides(["07"], out)
    assert content(folder) == before


def test_slides_are_not_written_among_the_lectures(folder):
    with pytest.raises(notebooks.LectureError, match="choose another folder"):
        cli.slides(None, folder / "notebooks")


@pytest.mark.parametrize("name", ["jinja2", "latex2mathml", "nbconvert", "pygments", "sphinx_revealjs"])
def test_a_missing_package_is_said_in_a_sentence(folder, monkeypatch, capsys, name):
    for module in ("slides", "pages", "prose"):
        monkeypatch.delitem(sys.modules, f"course_tools.{module}", raising=False)
        monkeypatch.delattr(f"course_tools.{module}", raising=False)
    for module in [module for module in sys.modules if module.partition(".")[0] == name]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(sys, "argv", ["course", "slides", "07", "--out", str(folder / "out")])
    with pytest.raises(SystemExit, match="2"):
        cli.main()
    assert re.search(rf"course: {name}(\.\w+)* is not installed: pip install -e \"", capsys.readouterr().err)
    assert not (folder / "out").exists()


def test_templates_and_style_are_in_the_wheel():
    built = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
    assert (
        "course_tools" in built["targets"]["wheel"]["packages"] and "exclude" not in built["targets"]["wheel"]
    )
    assert all((slides.HERE / f"slides{end}").is_file() for end in (".html", ".css", "_index.html"))
