"""What Sphinx calls to make the site: formulas without a script, words for figures, links between lectures."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes

from course_tools import notebooks, pages

Texts = dict[str, str]  # of each page, for the search
MENTIONED = re.compile(r"\b[Ll]ectures? \d\d(?:(?:, and |, | and | or | to |–)\d\d)*\b")
NUMBER = re.compile(r"(?:[Ll]ectures? )?(\d\d)")
INLINE = re.compile(r'(\(?<math [^>]*display="inline"(?:(?!</math>).)*</math>[^\s<]+)', re.DOTALL)
FETCH = """\
window.fetch = (address) =>
  Promise.resolve({ text: () => Promise.resolve(courseTexts[String(address).split("/").pop()] ?? "") });"""
# Where a text is no place for a link.
CLOSED = (
    nodes.reference | addnodes.pending_xref | nodes.title | nodes.literal | nodes.FixedTextElement | nodes.raw
)


def setup(app: Any) -> dict[str, Any]:
    """What Sphinx calls: formulas without a script, words for figures, and links where a lecture names another."""
    app.add_config_value("course_pictures", {}, "")
    app.add_config_value("course_numbers", {}, "")
    app.add_html_math_renderer("mathml", (_visit_math, None), (_visit_math, None))
    app.connect("doctree-read", _describe_pictures)
    app.connect("doctree-read", _link_lectures)
    texts: Texts = {}
    app.connect("html-page-context", functools.partial(_finish_page, texts))
    app.connect("build-finished", functools.partial(_write_texts, texts))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _visit_math(translator: Any, node: Any) -> None:
    block = isinstance(node, nodes.math_block)
    with notebooks.named(Path(translator.builder.current_docname)):
        formula = pages.formula(node.astext(), display=block)
    wrapped = f'<div class="course-formula" tabindex="0">{formula}</div>\n'
    translator.body.append(wrapped if block else formula)
    raise nodes.SkipNode


def _describe_pictures(app: Any, doctree: Any) -> None:
    """myst-nb leaves the words for a figure in the notebook; the file's name is the figure's digest."""
    for image in doctree.findall(nodes.image):
        # Without any, docutils would put the file's name there.
        image["alt"] = app.config.course_pictures.get(Path(image["uri"]).stem) or image.get("alt", "")


def _link_lectures(app: Any, doctree: Any) -> None:
    """`lecture 03` and `lectures 04, 06` lead there, where the lecture is on the site."""
    closed = {
        id(text)
        for node in doctree.findall(lambda node: isinstance(node, CLOSED))
        for text in node.findall(nodes.Text)
    }
    for text in [text for text in doctree.findall(nodes.Text) if id(text) not in closed]:
        linked, done = [], 0
        for mention in MENTIONED.finditer(text):
            for part in NUMBER.finditer(text, *mention.span()):
                name = app.config.course_numbers.get(part[1])
                if name not in (None, Path(doctree["source"]).stem):
                    link = nodes.reference("", part[0], refuri=f"{name}.html", internal=True)
                    linked += [nodes.Text(text[done : part.start()]), link]
                    done = part.end()
        if linked:
            text.parent.replace(text, [*linked, nodes.Text(text[done:])])


def _finish_page(texts: Texts, app: Any, page: str, template: str, context: Any, doctree: Any) -> None:
    """Small repairs of a page's body, and its text for the search.

    A folded cell is called what it says ("Show the solution"), also by a screen reader; a comma stays with its formula.
    """
    if page == "search":
        context["metatags"] = context.get("metatags", "") + '<script src="_static/course-texts.js"></script>'
    if doctree is None:
        return
    body = context["body"].replace(' aria-label="Toggle hidden content"', "")
    context["body"] = INLINE.sub(r'<span class="course-together">\1</span>', body)
    text = re.sub(r'<style.*?</style>|<a class="headerlink".*?</a>', "", context["body"], flags=re.DOTALL)
    code = re.compile(r"<pre>.*?</pre>", re.DOTALL)
    text = code.sub(" ", text) + "".join(code.findall(text))  # a sentence tells more than a line of code
    text = re.sub(r"</(?:div|dd|h\d|li|math|p|pre|summary|td|th)>", "\n", text)
    text = re.sub(r"<(?!/?section\b)[^>]*>", "", text)  # results point to sections
    texts[f"{page}.html"] = f'<div role="main">{text}</div>'


def _write_texts(texts: Texts, app: Any, exception: Exception | None) -> None:
    """Sphinx's search fetches a page to show where it found a word. From a file nothing can be fetched: bring it along."""
    if exception is None:
        known = json.dumps(texts, ensure_ascii=False, sort_keys=True)
        script = f"const courseTexts = {known};\n{FETCH}\n"
        (Path(app.outdir) / "_static" / "course-texts.js").write_text(script, encoding="utf-8", newline="\n")
