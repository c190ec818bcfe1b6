"""The rules by which a lecture becomes slides, one by one, on a small lecture made for them."""

import base64
import re
import struct
import tomllib
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from course_tools import cli, slides
from course_tools import notebooks as lectures
from course_utils.exercises.quiz import questions

pytest.importorskip("nbconvert")
pytest.importorskip("latex2mathml")
ROOT = Path(__file__).parents[2]
OPENING = """\
# 07 · A lecture: what for?

[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/x) \
[![Open on Kaggle](https://kaggle.com/badge.svg)](https://kaggle.com/x)

It rained all night. Nobody had looked. *Why does it rain?* Much more prose about the weather of that year.

**What you will be able to do**

- predict the weather;
- carry an umbrella.

**Time:** about 5 minutes."""
PROSE = """\
## 1 · Rain

Rain falls from clouds and makes everything wet. It does so in spring. It does so in autumn. A **cloud** is wet air.
(Brackets hold what can wait.)

A second paragraph that only the speaker knows by heart.

$$w = \\frac{1}{2} c$$

| kind | wet |
|---|---|
| drizzle | little |

1. one drop
2. another drop"""
SEE = """\
**What you should see:** a curve that goes up and up, and never down. It stops in May. Nobody knows why it stops. \
*Trap: a curve that goes up says nothing about rain at all, however steep. Measure it twice. Then measure again.*"""
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


def deck(*cells):
    return slides.deck(lecture(*cells))


def page(*cells):
    return slides.page(deck(*cells))


def every(made):
    return [slide for stack in made.stacks for slide in stack]


def face(slide):
    """What a slide shows, as text."""
    return re.sub(r"<[^>]*>", "", slides.body(slide))


def notes(made):
    return re.sub(r"<[^>]*>", "", " ".join(note for slide in every(made) for note in slide.notes))


# The beginning ---------------------------------------------------------------------------------------------------


def test_the_title_slide_has_number_title_and_opening_question():
    title, *_ = every(deck())
    assert title.kind == "title"
    assert face(title).split("\n")[0].startswith("07A lecturewhat for?Why does it rain?")
    assert "<h1>A lecture</h1>" in slides.body(title)


def test_without_a_short_question_the_title_slide_has_the_first_sentences():
    long = f"Does it {'rain and ' * 20}rain?"
    made = new_notebook(
        cells=[new_markdown_cell(f"# 07 · Rain\n\nIt rains in the morning. Then it snows. {long}")]
    )
    title = face(every(slides.deck(made))[0])
    assert title.endswith("It rains in the morning. Then it snows.")


def test_what_one_will_be_able_to_do_is_the_second_slide():
    goals = every(deck())[1]
    assert face(goals).startswith("What you will be able to do")
    assert "carry an umbrella" in face(goals) and "about 5 minutes" in face(goals)


def test_badges_are_left_out():
    assert not re.search("colab|kaggle", page(), re.IGNORECASE)


def test_a_lecture_without_a_title_is_refused():
    with pytest.raises(lectures.LectureError, match="does not begin with its title"):
        slides.deck(new_notebook(cells=[new_markdown_cell("Rain")]))


# Prose -----------------------------------------------------------------------------------------------------------


def test_a_heading_begins_a_stack_and_a_small_one_a_slide():
    made = deck(
        PROSE,
        "### Drizzle\n\nLittle drops that hardly wet anybody at all.",
        "## 2 · Snow\n\nSnow is rain too cold to fall.",
    )
    assert made.headings == ["", "1 · Rain", "2 · Snow"]
    assert len(made.stacks) == 3
    assert face(made.stacks[1][-1]).startswith("Drizzle")


def test_of_a_paragraph_the_first_two_sentences_and_bold_terms_are_shown():
    text = face(deck(PROSE).stacks[1][0])
    assert "Rain falls from clouds and makes everything wet. It does so in spring." in text
    assert "A cloud is wet air." in text
    assert "autumn" not in text and "Brackets" not in text and "second paragraph" not in text


def test_formulas_tables_and_lists_are_shown():
    html = " ".join(slides.body(slide) for slide in deck(PROSE).stacks[1])
    assert '<math xmlns="http://www.w3.org/1998/Math/MathML" display="block">' in html and "$" not in html
    assert "<table>" in html and "drizzle" in html
    assert re.search(r'<ol><li value="1".*?<li value="2".*?another drop</li></ol>', html)


def test_the_notes_have_all_of_the_prose():
    words = notes(deck(PROSE, SEE))
    for text in (
        "in autumn",
        "Brackets hold",
        "only the speaker",
        "another drop",
        "Nobody knows why",
        "measure again",
    ):
        assert text in words
    assert "Much more prose about the weather" in notes(deck())


def test_boxes_show_their_beginning_and_stay_with_their_figure():
    made = deck("## Rain", code(PLOT, shown()), SEE)
    figure = next(slide for slide in every(made) if slide.figure)
    html = slides.body(figure)
    assert re.search(r'<div class="box see">.*never down. It stops in May.</p></div>', html)
    assert re.search(r'<div class="box trap"><p>Trap: a curve .*Measure it twice.</p></div>', html)
    assert "Nobody knows" not in html


def test_a_figure_leaves_its_code_to_make_room_for_its_boxes():
    made = deck(
        "## Rain",
        marked("Count the drops of rain, one by one, until none of them is left.", "subslide"),
        code("a = count(drops)", shown(size=(800, 400))),
        f"**What you should see:** rain, and then snow, {'and then rain ' * 8}again.",
        "Now it snows and snows and snows, all day long.",
    )
    assert [[block.kind for block in slide.blocks] for slide in made.stacks[-1][1:]] == [
        ["text", "code"],
        ["figure", "box"],
        ["text"],
    ]


def test_a_line_of_code_that_would_stand_alone_goes_into_the_notes():
    made = deck(
        "## Rain\n\nShort.",
        code("show()", shown(size=(800, 700))),
        code("a = b(1)", shown(size=(800, 790))),
        SEE,
    )
    assert [block.kind for block in made.stacks[-1][-1].blocks] == ["figure", "box", "box"]
    assert "a = b(1)" in notes(made) and "a = b(1)" not in " ".join(map(face, every(made)))


def test_a_sentence_that_says_nothing_alone_takes_the_next_along():
    assert slides.lead(
        "So it does. But why? Because clouds are wet, as everybody knows who has met one. Not now."
    ) == ["So it does. But why? Because clouds are wet, as everybody knows who has met one."]


def test_a_long_second_sentence_is_left_to_the_speaker():
    first, second = f"Rain {'falls and ' * 15}falls.", f"Snow {'lies and ' * 15}lies."
    assert slides.lead(f"{first} {second}") == [first]


def test_a_few_words_alone_on_a_slide_are_set_large():
    made = deck(
        "## Rain\n\nRain falls from clouds.",
        marked("Snow lies on the ground.", "subslide"),
        "## Hail",
        code("a(b)"),
    )
    assert [slides.style(slide) for slide in every(made)[2:]] == ["section alone", "plain alone", "section"]


@pytest.mark.parametrize(
    "text",
    [
        "Smith et al. Found it.",
        "It is `a. B` or so.",
        "Here $x. Y$ stands.",
        "*One. Two.*",
        "**Bold. Still bold.**",
        "He said “Go. Now.”",
        "This (see there. And here.) is one.",
        "About 2. of them",
    ],
)
def test_a_sentence_does_not_end_inside_something(text):
    assert len(slides.sentences(text)) == 1


def test_sentences_end_after_quotations_and_emphasis():
    assert slides.sentences("He said “Go.” *She went.* `x` is left! 3 are not.") == [
        "He said “Go.”", "*She went.*", "`x` is left!", "3 are not.",
    ]  # fmt: skip


def test_what_leads_over_to_the_next_cell_is_shown():
    made = deck(
        "## Rain\n\nRain falls and falls and falls, all day. It is wet. It is cold. Now count the drops:"
    )
    assert face(made.stacks[-1][0]).endswith("Now count the drops:")


def test_long_lists_go_on_a_slide_of_their_own_with_their_introduction():
    long = "\n".join(
        f"- **Drop {n}** falls {'and falls ' * 12}until it has reached the ground." for n in range(5)
    )
    made = deck(f"## Rain\n\n{'Rain falls. ' * 20}\n\nThese are the **drops**:\n\n{long}")
    last = made.stacks[-1][-1]
    assert [block.kind for block in last.blocks] == ["text", *["item"] * 5]
    assert slides.stacked(last.blocks) <= slides.ROOM


def test_a_formula_that_does_not_fit_takes_its_introduction_along():
    long = "\n\n".join(f"**Drop {n}** falls {'and falls ' * 14}down." for n in range(4))
    made = deck(f"## Rain\n\n{long}\n\n**So** a drop weighs:\n\n$$w = 1$$")
    assert [block.kind for block in made.stacks[-1][-1].blocks] == ["text", "formula"]
    assert face(made.stacks[-1][-1]).startswith("So a drop weighs:")


def test_a_paragraph_in_brackets_is_for_the_speaker():
    made = deck("## Rain\n\n(It may also snow. It may hail.)")
    assert face(made.stacks[-1][0]) == "Rain" and "It may hail" in notes(made)


def test_a_list_after_a_cell_begins_large_on_its_own_slide():
    made = deck("## Rain", code("rain()", printed("1\n" * 4)), "- a drop\n" * 5)
    assert [block.size for block in made.stacks[-1][-1].blocks] == [28] * 5


def test_a_list_in_one_line_becomes_a_list():
    html = page("**Without a check:** Count · Weigh · Drink")
    assert len(re.findall("<li[^>]*>(?:Count|Weigh|Drink)</li>", html)) == 3


def test_aligned_formulas_and_primes_are_set_for_browsers():
    html = page("## Rain\n\n$$\\begin{aligned} a &= h' \\\\ b &= c \\end{aligned}$$")
    assert "<mtable" in html and "<mi>&</mi>" not in html
    assert re.search(r"<mrow><mi>h</mi><mo[^>]*>&#x02032;</mo></mrow>", html)


def test_a_formula_that_cannot_be_set_is_an_error():
    with pytest.raises(lectures.LectureError, match="cannot be set"):
        deck("$$\\left( a$$")


def test_glossary_and_progress_are_left_out_and_further_reading_is_small():
    made = deck("## Recap\n\n- Rain is wet.\n\n## Glossary\n\n**rain** – water\n\n## Further reading\n\n- A book of 1843.",
                "**Your progress.** What you have done.")  # fmt: skip
    text = " ".join(map(face, every(made)))
    assert "Rain is wet." in text and "1843" in text
    assert "Glossary" not in text and "– water" not in text and "Your progress" not in text
    assert made.stacks[-1][0].kind == "small"


# Code ------------------------------------------------------------------------------------------------------------


def test_what_is_for_the_machine_is_left_out():
    made = deck(
        "## Rain",
        code("x = 1", course={"role": "setup"}),
        code("import rain_gauge\nfrom a import b"),
        code('# sizes\nsize = course.choose(ci={"drops": 1})'),
        code("check_rain(rain)", printed("✓ rain")),
        code('from course_utils.exercises.progress import my_progress\nmy_progress("07")'),
    )
    assert [block.kind for slide in made.stacks[-1] for block in slide.blocks] == ["heading"]


def test_exercises_have_question_and_stub_and_nothing_is_given_away():
    question = (
        "**Exercise 1 · Rain.** Write `rain(day)` for any day of the year that you like, wet or dry. It is wet. It is cold. It returns a number of drops.\n\n"
        "<details><summary>Hint 1</summary>\n\nLook up.\n\n<details><summary>Hint 2</summary>\n\nHigher.\n\n"
        "</details>\n</details>\n\n<details><summary>Answers</summary>\n\nFortytwo.\n\n</details>"
    )
    made = deck(
        "## Exercises",
        question,
        code('def rain(day):\n    raise NotImplementedError("your turn")', tags=["exercise"]),
        code("def rain(day):\n    return 40 + 2", tags=["solution"]),
        code("check_rain(rain)", printed("✓ rain")),
    )
    html = slides.page(made)
    assert "It returns a number of drops." in face(made.stacks[-1][0])
    assert "NotImplementedError" in face(made.stacks[-1][0])
    for secret in ("40", "Look up", "Higher", "Fortytwo", "details", "Hint", "check_rain"):
        assert secret not in html


def test_a_figure_keeps_its_words_and_loses_drawing_and_checks():
    made = deck("## Rain", code(PLOT, shown(), printed("✓ share: at least 0\nother 1")))
    html = slides.page(made)
    assert 'alt="Rain &lt;rises&gt;"' in html
    for left_out in ("plotting", "expect", "share</span>", "drops", "print"):
        assert left_out not in html
    assert "measure" in face(made.stacks[-1][0])
    assert "other 1" in face(made.stacks[-1][-1]) and "✓" not in face(made.stacks[-1][-1])
    assert "share: at least 0" in notes(made)


def test_checks_are_shown_where_they_are_all_there_is_except_after_a_figure():
    check = code('expect("share", 1, at_least=0)', printed("✓ share: at least 0"))
    assert "✓ share" in face(deck("## Rain", check).stacks[-1][0])
    made = deck("## Rain", code("a = b()", shown()), check)
    assert "✓" not in " ".join(map(face, every(made))) and "share: at least 0" in notes(made)


def test_short_code_stands_with_what_it_prints_and_long_code_scrolls():
    made = deck(
        "## Rain\n\nCount the drops, one by one, until none is left.", code("drops()", printed("1 drop"))
    )
    assert len(made.stacks[-1]) == 1
    long = "\n".join(f"drop({n})" for n in range(15))
    assert 'class="code long"' in page("## Rain", code(long))
    assert 'class="code"' in page("## Rain", code(long[:20]))


def test_code_is_set_smaller_so_that_its_output_fits():
    lines = "\n".join(f"drop({n})" for n in range(10))
    made = deck("## Rain\n\nCount the drops.", code(lines, printed("1\n" * 4)))
    (slide,) = made.stacks[-1]
    assert slide.blocks[2].size < slides.code_block(lines).size


def test_a_synced_cell_says_whose_source_it_is():
    html = page("## Rain", code("class Rain:\n    pass", course={"source": "course_utils.models.rain:Rain"}))
    assert "<code>Rain</code> in course_utils/models/rain.py" in html


def test_tables_lose_their_style_and_widgets_say_their_text_quietly():
    table = '<div><style scoped>td {}</style><script>go()</script><table border="1"><tr><th>a</th></tr><tr><td>1</td></tr></table></div>'
    html = page("## Rain", code("frame", shown(**{"text/html": table, "text/plain": "a"})))
    assert "<td>1</td>" in html and "scoped" not in html and "go()" not in html and "border=" not in html
    html = page("## Rain", code("widgets.rain()", shown(**{"text/plain": "Run this cell to see rain."})))
    assert '<div class="quiet"><p>Run this cell to see rain.</p></div>' in html and "widgets" not in html


def test_columns_of_output_stay_columns():
    assert [slides.output_block("x" * letters).size for letters in (80, 105, 300)] == [20, 17.4, 20]


def test_a_widget_for_which_there_is_no_room_is_mentioned_in_the_notes():
    quiet = code("widgets.rain()", shown(**{"text/plain": "Run this cell to see rain."}))
    made = deck("## Rain", code("rain()", printed("1\n" * 13)), quiet)
    assert "Run this cell" in notes(made) and "Run this cell" not in " ".join(map(face, every(made)))


def test_errors_and_colours_of_a_terminal_are_plain_text():
    error = new_output("error", ename="RainError", evalue="too <wet>", traceback=["long"])
    html = page("## Rain", code("drown()", error, printed("\x1b[31mred\x1b[0m")))
    assert "RainError: too &lt;wet&gt;" in html and "\x1b" not in html and ">red" in html


def test_a_tall_figure_stands_beside_its_text_and_a_wide_one_above():
    tall = deck("## Rain", code("plotting.show(x)", shown(size=(800, 780))), SEE)
    wide = deck("## Rain", code("plotting.show(x)", shown(size=(900, 250))), SEE)
    assert slides.body(tall.stacks[-1][-1]).startswith('<div class="beside"><figure>')
    assert "beside" not in slides.body(wide.stacks[-1][-1])


def test_each_question_of_the_quiz_has_a_slide_and_below_it_its_answers():
    made = deck("## Quiz", code('from course_utils.exercises.quiz import quiz\n\nquiz("07")'))
    asked = questions("07")
    first, question, answers = made.stacks[-1][:3]
    assert f"{len(asked)} questions" in face(first) and len(made.stacks[-1]) == 1 + 2 * len(asked)
    for choice in asked[0].choices:
        shown_plainly = slides.html.escape(choice.text, quote=False)
        assert shown_plainly in slides.body(question) and shown_plainly in slides.body(answers)
        why = slides.html.escape(choice.why, quote=False)
        assert why in slides.body(answers) and why not in slides.body(question)
    assert "✓" in face(answers) and "✓" not in face(question)


# What an author sets ----------------------------------------------------------------------------------------------


def marked(cell, kind):
    cell = new_markdown_cell(cell) if isinstance(cell, str) else cell
    cell.metadata["slideshow"] = {"slide_type": kind}
    return cell


def test_an_author_can_leave_a_cell_out_or_to_the_speaker():
    made = deck("## Rain\n\nShown.", marked("Skipped.", "skip"), marked("Spoken.", "notes"))
    assert "Skipped" not in slides.page(made)
    assert "Spoken" in notes(made) and "Spoken" not in " ".join(map(face, every(made)))


def test_an_author_can_begin_slides_and_uncover_piece_by_piece():
    made = deck(
        "## Rain\n\nOne.", marked("Two.", "slide"), marked("Three.", "subslide"), marked("Four.", "fragment")
    )
    assert [[len(slide.blocks) for slide in stack] for stack in made.stacks[1:]] == [[2], [1, 2]]
    assert made.headings[-1] == "Rain"
    assert '<div class="fragment text"><p>Four.</p></div>' in slides.page(made)
    made = deck("## Rain", code("a(b)", printed("1")), marked("Two.", "fragment"), "Three.")
    assert [[block.kind for block in slide.blocks] for slide in made.stacks[-1]] == [
        ["heading", "code", "output", "text", "text"]
    ]


def test_an_author_can_show_imports_but_never_a_solution():
    assert "rain_gauge" in page("## Rain", marked(code("import rain_gauge"), "subslide"))
    assert "rain_gauge" not in page("## Rain", marked(code("rain_gauge()", tags=["solution"]), "slide"))


def test_what_is_taller_than_a_slide_is_still_shown():
    row = "<tr><td>drop</td></tr>"
    made = deck(
        "## Rain",
        marked(code("display(f)", shown(**{"text/html": f"<table>{row * 40}</table>"})), "subslide"),
    )
    assert slides.body(made.stacks[-1][-1]).count("drop") == 40
    assert '<div class="table long"' in slides.body(made.stacks[-1][-1])


def test_several_statements_on_a_line_do_not_take_others_along():
    assert slides.essential("a = b()\nexpect(1); print(2)\nc = d()\nprint(c)") == "a = b()\nc = d()"


def test_odd_code_is_shown_as_it_is():
    html = page("## Rain\n\n```sh\ncourse slides <all>\n```", code("%timeit rain()"), code(" \n"))
    assert "course slides &lt;all&gt;" in html and "timeit" in html


# Files -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_NOTEBOOKS", str(tmp_path / "notebooks"))
    lectures.write(lecture(PROSE, code(PLOT, shown()), SEE), tmp_path / "notebooks" / "07_rain.ipynb")
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
        "07_rain.html", "index.html", "reveal/LICENSE", "reveal/notes.js", "reveal/reset.css", "reveal/reveal.css",
        "reveal/reveal.js", "reveal/slides.css",
    }  # fmt: skip
    for name in ("07_rain.html", "index.html"):
        html = (folder / "out" / name).read_text(encoding="utf-8")
        used = re.findall(r"""<(?:link|script|img|iframe)[^>]*?(?:src|href)=["']?([^"'\s>]+)""", html)
        assert used and all(address.startswith(("data:", "reveal/")) for address in used)
        assert all((folder / "out" / address).exists() for address in used if address.startswith("reveal/"))
    assert "url(" not in (folder / "out" / "reveal" / "slides.css").read_text(encoding="utf-8")
    assert '<a href="07_rain.html">' in html
    assert "slides for 1 lecture: open" in capsys.readouterr().out


def test_pictures_beside_the_lectures_come_along_and_those_in_the_network_do_not(folder):
    (folder / "notebooks" / "drop.png").write_bytes(base64.b64decode(png(4, 4)))
    html = page("## Rain\n\n![a drop](drop.png)\n\n![a cloud](https://example.org/cloud.png)")
    assert re.search(r'<img src="data:image/png;base64,[^"]+" alt="a drop"', html)
    assert "example.org" not in html and "a cloud" in html


def test_nothing_is_written_when_one_lecture_fails(folder):
    lectures.write(lecture("$$\\left( a$$"), folder / "notebooks" / "08_bad.ipynb")
    with pytest.raises(lectures.LectureError, match=r"^08_bad\.ipynb: .*cannot be set"):
        cli.slides(None, folder / "out")
    assert not (folder / "out").exists()


def test_slides_are_not_written_among_the_lectures(folder):
    with pytest.raises(lectures.LectureError, match="choose another folder"):
        cli.slides(None, folder / "notebooks")


@pytest.mark.parametrize("name", slides.NEEDED)
def test_a_missing_package_is_said_in_a_sentence(folder, monkeypatch, name):
    real = slides.importlib.util.find_spec
    monkeypatch.setattr(
        slides.importlib.util, "find_spec", lambda wanted: None if wanted == name else real(wanted)
    )
    with pytest.raises(lectures.LectureError, match=rf'{name}: pip install -e "\.\[site\]"'):
        cli.slides(None, folder / "out")
    assert not (folder / "out").exists()


def test_templates_and_style_are_in_the_wheel():
    built = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
    assert (
        built["targets"]["wheel"]["packages"] == ["course_utils"]
        and "exclude" not in built["targets"]["wheel"]
    )
    assert all((slides.HERE / f"slides{end}").is_file() for end in (".html", ".css", "_index.html"))
