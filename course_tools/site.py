"""The lectures as a static site: it opens from a folder, without a server and without a network.

Sphinx does the work (myst-nb reads the stored notebooks, sphinx-book-theme sets the pages); this module is the
preparation before it, the small Sphinx extension that it needs (:func:`setup`), and the inspection behind it.
"""

from __future__ import annotations

import binascii
import copy
import functools
import hashlib
import html
import importlib.util
import io
import json
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from course_tools import notebooks, pages, sync, versions

MARKER = ".course-site"  # what tells an earlier site from somebody's folder
NEEDED = ("sphinx", "myst_nb", "sphinx_book_theme", "latex2mathml")
TITLE = re.compile(r"# (?P<number>\d\d) · (?P<title>[^:\n]+)(?:: (?P<question>[^\n]+))?")
MINUTES = re.compile(r"\*\*Time:\*\* about (\d+) minutes")
BADGE = r"\[!\[([^\]]*)\]\([^)]*\)\]\(([^)]*)\)"
BADGES = re.compile(rf"(?:{BADGE}\s*)+")
MENTIONED = re.compile(r"\b[Ll]ectures? \d\d(?:(?:, and |, | and | or | to |–)\d\d)*\b")
LINK = re.compile(r"(!?\[[^\]]*\])\((?!\w+:|#|/)([^)#\s]+)(#[^)\s]*)?\)")
FENCED = re.compile(r"(^(?:```|~~~).*?^(?:```|~~~)[ \t]*$)", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
OPENING = re.compile(r"\s*(?<!`)<details([^>]*)>\s*(?:<summary>(.*?)</summary>)?\s*", re.DOTALL)
CLOSING = re.compile(r"\s*(?<!`)</details>\s*")
FETCH = """\
window.fetch = (address) =>
  Promise.resolve({ text: () => Promise.resolve(courseTexts[String(address).split("/").pop()] ?? "") });"""
INLINE = re.compile(r'(\(?<math [^>]*display="inline"(?:(?!</math>).)*</math>[^\s<]+)', re.DOTALL)
PICTURES = ("image/png", "image/jpeg", "image/gif")


@dataclass(frozen=True)
class Lecture:
    """What the index says of a lecture; all of it is read from the lecture and from the README's table."""

    name: str
    number: str
    title: str
    answers: str
    minutes: str
    links: tuple[tuple[str, str], ...]

    @property
    def cells(self) -> list[str]:
        """Its row in the table of the index."""
        run = " · ".join(f"[{label.removeprefix('Open in ')}]({link})" for label, link in self.links)
        return [self.number, f"[{self.title}]({self.name}.ipynb)", self.answers, self.minutes, run]


def build(names: list[str] | None, out: Path, *, solutions: bool = True) -> list[Path]:
    """Write the site of the lectures asked for (all by default), and return their files.

    Args:
        names: as for :func:`course_tools.notebooks.find`.
        out: the folder of the site. An earlier site there is replaced, anything else is left alone.
        solutions: False leaves out solutions, answers, and the links that open lectures with them.

    Raises:
        LectureError: if a package is missing, ``out`` is not an earlier site, or a page would come out damaged: a
            link that leads nowhere, a formula that cannot be set, a figure without words. ``out`` is then as before.
    """
    if absent := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise notebooks.LectureError(
            f'The site needs {", ".join(absent)}: pip install -e ".[site]" in a checkout of the course.'
        )
    paths, out = notebooks.find(names), out.resolve()
    if out.exists() and not (out.is_dir() and ((out / MARKER).is_file() or not any(out.iterdir()))):
        raise notebooks.LectureError(f"{out} is not an earlier site; choose another folder for --out.")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".site-", dir=out.parent) as folder:
        work = Path(folder)
        described = _write_sources(paths, work / "source", solutions)
        _run_sphinx(work, described, {path.stem[:2]: path.stem for path in paths})
        if found := _inspect(work / "html"):
            raise notebooks.LectureError("The site is not written. " + " ".join(found[:3]))
        _tidy(work / "html")
        (work / "html" / MARKER).write_text("Written by `course site`, which may replace this folder.\n")
        if out.exists():
            out.rename(work / "before")
        (work / "html").rename(out)
    return paths


# Before Sphinx: notebooks and index --------------------------------------------------------------------------


def _write_sources(paths: list[Path], source: Path, solutions: bool) -> dict[str, str]:
    """Write what Sphinx reads; return the words for each picture, by its digest."""
    source.mkdir()
    (source / "_static").mkdir()
    shutil.copy(Path(__file__).with_name("site.css"), source / "_static" / "course.css")
    told, course_map, described = [], "", {}
    for path in paths:
        try:
            notebook = notebooks.read(path)
            notebook = notebook if solutions else versions.without_solutions(notebook)
            told.append(describe(notebook, path))
            for digest, alt, picture in _pictures(notebook):
                described[digest] = alt
                if alt.startswith("The map of the course"):
                    course_map = f"{digest}.png"
                    (source / course_map).write_bytes(picture)
            follow = _follower(path, {path.name for path in paths}, source)
            notebooks.write(prepare(notebook, follow), source / path.name)
        except notebooks.LectureError as error:
            raise notebooks.LectureError(f"{path.name}: {error}") from error
    text = index(told, course_map, _readme(paths[0]))
    (source / "index.md").write_text(text, encoding="utf-8", newline="\n")
    return described


def _readme(path: Path) -> str:
    readme = path.parents[1] / "README.md"
    return readme.read_text(encoding="utf-8") if readme.is_file() else ""


def describe(notebook: NotebookNode, path: Path) -> Lecture:
    """What a lecture says about itself in its first cell, and the README's table of the question it answers.

    Raises:
        LectureError: if it has no number and title.
    """
    first = notebook.cells[0].source if notebook.cells else ""
    if not (found := TITLE.match(first)):
        raise notebooks.LectureError("It does not begin with its number and its title, `# 08 · BERT: ...`.")
    row = re.search(rf"(?m)^\|[^|]*\|[^|]*\(notebooks/{re.escape(path.name)}\) *\| *(.*?) *\|", _readme(path))
    minutes = MINUTES.search(first)
    return Lecture(
        name=path.stem,
        number=found["number"],
        title=found["title"],
        answers=row[1] if row else found["question"] or "",
        minutes=f"{minutes[1]}\u00a0min" if minutes else "",
        links=tuple(re.findall(BADGE, first)),
    )


def index(told: list[Lecture], course_map: str, readme: str) -> str:
    """The front page in Markdown: title and question (the README's), the lectures, the map (a file name, or "")."""
    opening = re.match(r"# ([^\n]+)\n\n([^!#\n].+?)\n\n", readme, re.DOTALL)
    title, question = opening.groups() if opening else ("The lectures", "")
    licences = re.search(r"## Licences\n\n.+?(?=\n## |\Z)", readme, re.DOTALL)
    table = [["", "lecture", "what it answers", "time", "run it"], ["---"] * 5]
    table += [lecture.cells for lecture in told]
    shown = 5 if any(lecture.links for lecture in told) else 4
    rows = [f"| {' | '.join(cells[:shown])} |" for cells in table]
    lines = [
        f"# {title}",
        question,
        "## The lectures",
        "\n".join(["```{table}", ":class: course-lectures", "", *rows, "```"]),
        *(f"## The map of the course\n\n![]({name})" for name in [course_map] if name),
        *([licences[0].strip()] if licences else []),
        "\n".join(["```{toctree}", ":hidden:", "", *(lecture.name for lecture in told), "```\n"]),
    ]
    return "\n\n".join(lines)


def _pictures(notebook: NotebookNode) -> list[tuple[str, str, bytes]]:
    """Digest (myst-nb names files by it), words and bytes of every figure."""
    found = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            for kind in [kind for kind in PICTURES if kind in output.get("data", {})]:
                picture = binascii.a2b_base64(output.data[kind])
                alt = output.metadata.get(kind, {}).get("alt", "")
                found.append((hashlib.sha256(picture).hexdigest(), alt, picture))
    return found


def prepare(notebook: NotebookNode, follow: Callable[[str], str] = lambda target: target) -> NotebookNode:
    """A lecture as it goes onto the site: for readers who have no kernel.

    Args:
        notebook: stays as it is.
        follow: from the target of a link in a lecture to its target on the site.
    """
    notebook = copy.deepcopy(notebook)
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": notebooks.KERNEL, "language_info": notebooks.LANGUAGE}
    )
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = markdown(cell.source, follow)
        elif cell.cell_type == "code":
            cell.metadata, cell.outputs = _folded(cell), _readable(cell)
    return notebook


def _folded(cell: NotebookNode) -> NotebookNode:
    """The metadata by which myst-nb folds solutions and set-up cells."""
    if "solution" in cell.metadata.get("tags", []):
        tag, name = "hide-cell", "the solution"
    elif cell.metadata.get("jupyter", {}).get("source_hidden"):
        name = "the set-up code" if cell.metadata.get("course", {}).get("role") == "setup" else "the code"
        tag = "hide-input"
    else:
        return nbformat.from_dict({})
    shown = {"code_prompt_show": f"Show {name}", "code_prompt_hide": f"Hide {name}"}
    return nbformat.from_dict({"tags": [tag], "mystnb": shown})


def _readable(cell: NotebookNode) -> list[NotebookNode]:
    """The outputs; in place of a widget what a page without a kernel can say."""
    outputs = notebooks.normalise_outputs(cell.outputs)
    for output in outputs:
        if output.output_type == "display_data" and set(output.data) == {"text/plain"}:
            output.data["text/html"] = _without_widget(cell.source, output.data["text/plain"])
    return outputs


def _without_widget(source: str, text: str) -> str:
    from course_utils.exercises import quiz

    if asked := re.search(r"\bquiz\(['\"](\d\d)['\"]\)", source):
        try:
            return quiz.quiz_markup(quiz.questions(asked[1]))
        except ValueError as error:
            raise notebooks.LectureError(str(error)) from error
    return f'<p class="course-widget">{html.escape(text)}</p>'


def markdown(text: str, follow: Callable[[str], str] = lambda target: target) -> str:
    """Markdown of a lecture as MyST should read it: badges as links, folded parts with their Markdown set."""
    parts = FENCED.split(text)
    for place in range(0, len(parts), 2):  # every other part is a block of code
        part = BADGES.sub(_plain_links, parts[place])
        part = OPENING.sub(_open_fold, part)
        part = CLOSING.sub("\n\n</details>\n\n", part)
        parts[place] = _outside_code(
            part, lambda piece: LINK.sub(lambda m: f"{m[1]}({follow(m[2])}{m[3] or ''})", piece)
        )
    return _flat_folds("".join(parts))


def _plain_links(badges: re.Match[str]) -> str:
    """A badge is a picture from somebody's server; a link says the same."""
    return " · ".join(f"[{label}]({link})" for label, link in re.findall(BADGE, badges[0])) + "\n\n"


def _open_fold(fold: re.Match[str]) -> str:
    """Blank lines around the tags, so that Markdown goes on inside; the summary is set here, as HTML has no Markdown."""
    from markdown_it import MarkdownIt
    from mdit_py_plugins.dollarmath import dollarmath_plugin

    set_formula = lambda tex, options: pages.formula(tex, display=options["display_mode"])  # noqa: E731
    inline = MarkdownIt("commonmark").use(dollarmath_plugin, renderer=set_formula)
    summary = inline.renderInline(" ".join((fold[2] or "More").split()))
    return f"\n\n<details{fold[1]}>\n<summary>{summary}</summary>\n\n"


def _outside_code(text: str, change: Callable[[str], str]) -> str:
    done, pieces = 0, []
    for code in CODE.finditer(text):
        pieces += [change(text[done : code.start()]), code[0]]
        done = code.end()
    return "".join([*pieces, change(text[done:])])


def _flat_folds(text: str) -> str:
    """Headings inside a fold become bold lines: a section would not end where the fold ends."""
    depth, parts = 0, FENCED.split(text)
    for place in range(0, len(parts), 2):
        lines = parts[place].split("\n")
        for number, line in enumerate(lines):
            depth += line.startswith("<details") - line.startswith("</details>")
            if depth and (heading := re.match(r"#{1,6} +(.+?)[ #]*$", line)):
                lines[number] = f"**{heading[1]}**"
        parts[place] = "\n".join(lines)
    return "".join(parts)


def _follower(path: Path, chosen: set[str], source: Path) -> Callable[[str], str]:
    """Where links of a lecture lead: pictures are brought along, what is not on the site is on GitHub."""

    def follow(target: str) -> str:
        file = (path.parent / target).resolve()
        if file.parent == path.parent and file.name in chosen:
            return file.name
        if not file.exists():
            return target  # Sphinx says where it stands
        if file.suffix.lower() in (".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp"):
            name = f"{hashlib.sha256(file.read_bytes()).hexdigest()[:16]}{file.suffix}"
            shutil.copy(file, source / name)
            return name
        root = sync.project_root(path.parent)
        return f"https://github.com/{sync.repository(root)}/blob/main/{file.relative_to(root).as_posix()}"

    return follow


# Sphinx ------------------------------------------------------------------------------------------------------


def _run_sphinx(work: Path, described: dict[str, str], numbers: dict[str, str]) -> None:
    """Build ``work/html`` from ``work/source``; a warning is an error."""
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace, patch_docutils

    title = re.match(r"# (.+)", (work / "source" / "index.md").read_text(encoding="utf-8"))
    settings = SETTINGS | {
        "project": title[1] if title else "",
        "html_title": title[1] if title else "",
        "course_pictures": described,
        "course_numbers": numbers,
    }
    warned = io.StringIO()
    try:
        with patch_docutils(work / "source"), docutils_namespace():
            Sphinx(
                srcdir=work / "source",
                confdir=None,
                outdir=work / "html",
                doctreedir=work / "doctrees",
                buildername="html",
                confoverrides=settings,
                status=None,
                warning=warned,
                freshenv=True,
            ).build()
    except notebooks.LectureError:
        raise
    except Exception as error:
        raise notebooks.LectureError(f"Sphinx failed: {type(error).__name__}: {error}") from error
    told = re.sub(r"\x1b\[[\d;]*m", "", warned.getvalue())  # without its colours
    if lines := [_warning(line) for line in told.splitlines() if line.strip()]:
        more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
        raise notebooks.LectureError(f"The site is not written. {lines[0]}{more}")


def _warning(line: str) -> str:
    """What Sphinx says of a place; myst-nb counts its lines in steps of 10,000 a cell."""
    found = re.match(r"(?:.*/source/)?([\w.]+)(?::(\d+))?: (?:WARNING|ERROR|CRITICAL): (.+)", line)
    if not found:
        return line
    name, number, what = found.groups()
    cell = f", cell {int(number) // 10_000}" if number and name.endswith(".ipynb") else ""
    return f"{name}{cell}: {what}"


SETTINGS: dict[str, Any] = {
    "extensions": ["myst_nb", "course_tools.site"],
    "language": "en",  # Sphinx's en_GB lacks the sentence that ends a search
    "smartquotes": False,  # the lectures set their own
    # Formulas and tables as Jupyter reads them; what MyST reads into Markdown beyond that is switched off.
    "myst_enable_extensions": ["amsmath", "dollarmath", "strikethrough", "tasklist"],
    "myst_disable_syntax": ["myst_block_break", "myst_line_comment", "myst_role", "myst_target"],
    "myst_heading_anchors": 4,
    "myst_update_mathjax": False,
    "highlight_language": "none",
    "nb_execution_mode": "off",
    "nb_merge_streams": True,
    "nb_ipywidgets_js": {},  # these would come from a CDN
    "html_math_renderer": "mathml",
    "html_theme": "sphinx_book_theme",
    "html_static_path": ["_static"],
    "html_css_files": ["course.css"],
    "html_last_updated_fmt": None,
    "html_copy_source": False,
    "html_show_sourcelink": False,
    "html_show_copyright": False,
    "html_use_index": False,
    "html_permalinks_icon": "#",
    "html_context": {"default_mode": "auto"},
    "html_theme_options": {
        "footer_content_items": [],
        "use_download_button": False,
        "use_fullscreen_button": False,
        "toc_title": "On this page",
        "search_bar_text": "Search the lectures",
    },
}


def setup(app: Any) -> dict[str, Any]:
    """What Sphinx calls: formulas without a script, words for figures, and links where a lecture names another."""
    app.add_config_value("course_pictures", {}, "")
    app.add_config_value("course_numbers", {}, "")
    app.add_html_math_renderer("mathml", (_visit_math, None), (_visit_math_block, None))
    app.connect("doctree-read", _describe_pictures)
    app.connect("doctree-read", _link_lectures)
    texts: dict[str, str] = {}
    app.connect("html-page-context", functools.partial(_finish_page, texts))
    app.connect("build-finished", functools.partial(_write_texts, texts))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _visit_math(translator: Any, node: Any) -> None:
    from docutils.nodes import SkipNode

    try:
        translator.body.append(pages.formula(node.astext(), display=False))
    except notebooks.LectureError as error:
        raise notebooks.LectureError(f"{translator.builder.current_docname}: {error}") from error
    raise SkipNode


def _visit_math_block(translator: Any, node: Any) -> None:
    from docutils.nodes import SkipNode

    try:
        formula = pages.formula(node.astext(), display=True)
    except notebooks.LectureError as error:
        raise notebooks.LectureError(f"{translator.builder.current_docname}: {error}") from error
    translator.body.append(f'<div class="course-formula" tabindex="0">{formula}</div>\n')
    raise SkipNode


def _describe_pictures(app: Any, doctree: Any) -> None:
    """myst-nb leaves the words for a figure in the notebook; the file's name is the figure's digest."""
    from docutils import nodes

    for image in doctree.findall(nodes.image):
        # Without any, docutils would put the file's name there.
        image["alt"] = app.config.course_pictures.get(Path(image["uri"]).stem) or image.get("alt", "")


def _link_lectures(app: Any, doctree: Any) -> None:
    """`lecture 03` and `lectures 04, 06` lead there, where the lecture is on the site."""
    from docutils import nodes
    from sphinx import addnodes

    closed = (
        nodes.reference,
        addnodes.pending_xref,
        nodes.title,
        nodes.literal,
        nodes.FixedTextElement,
        nodes.raw,
    )
    here = Path(doctree["source"]).stem
    for text in list(doctree.findall(nodes.Text)):
        above, closed_in = text.parent, False
        while above is not None:
            closed_in, above = closed_in or isinstance(above, closed), above.parent
        if closed_in:
            continue
        made, done = [], 0
        for mention in MENTIONED.finditer(text):
            for part in re.finditer(r"(?:[Ll]ectures? )?(\d\d)", mention[0]):
                name = app.config.course_numbers.get(part[1])
                if name in (None, here):
                    continue
                start, end = (mention.start() + place for place in part.span())
                made += [
                    nodes.Text(text[done:start]),
                    nodes.reference("", part[0], refuri=f"{name}.html", internal=True),
                ]
                done = end
        if made:
            text.parent.replace(text, [*made, nodes.Text(text[done:])])


def _finish_page(
    texts: dict[str, str], app: Any, page: str, template: str, context: Any, doctree: Any
) -> None:
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


def _write_texts(texts: dict[str, str], app: Any, exception: Exception | None) -> None:
    """Sphinx's search fetches a page to show where it found a word. From a file nothing can be fetched: bring it along."""
    if exception is None:
        known = json.dumps(texts, ensure_ascii=False, sort_keys=True)
        script = f"const courseTexts = {known};\n{FETCH}\n"
        (Path(app.outdir) / "_static" / "course-texts.js").write_text(script, encoding="utf-8", newline="\n")


# Behind Sphinx -----------------------------------------------------------------------------------------------


class _Inspector(HTMLParser):
    """Collects what a page must not have: something from the network, or a figure without words."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        loaded = [given.get(name, "") for name in ("src", "srcset", "poster", "data")]
        loaded += [given.get("href", "")] if tag == "link" else []
        for address in loaded:
            if re.match(r"(https?:)?//", address):
                self.found.append(f"It would load {address} from the network.")
        if tag == "img" and not given.get("alt", "").strip():
            self.found.append(f"The figure {Path(given.get('src', '')).name} has no alt text.")


def _inspect(site: Path) -> list[str]:
    found = []
    for page in sorted(site.glob("*.html")):
        inspector = _Inspector()
        inspector.feed(page.read_text(encoding="utf-8"))
        found += [f"{page.stem}: {line}" for line in inspector.found]
    return found


def _tidy(site: Path) -> None:
    """Take out what no reader of the site opens: half of what the theme brings along."""
    for path in [*site.rglob("*.map"), *site.glob("_static/*macros.html")]:
        path.unlink()
    for name in ("_sources", "_static/locales"):
        shutil.rmtree(site / name, ignore_errors=True)
    for name in (".buildinfo", "objects.inv"):  # for Sphinx itself
        (site / name).unlink(missing_ok=True)
