"""The lectures as a static site: it opens from a folder, without a server and without a network.

Sphinx does the work (myst-nb reads notebooks, sphinx-book-theme sets the pages, by site.toml); here are the
preparation before it, what it calls while it works (:func:`setup`), and the inspection behind it.
"""

import binascii
import functools
import html
import io
import json
import re
import shutil
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jinja2
from bs4 import BeautifulSoup
from docutils import nodes
from nbformat import NotebookNode
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils

from course_tools import notebooks, pages, sync, versions
from course_tools.notebooks import LectureError
from course_utils.exercises.quiz import quiz_markup

HERE = Path(__file__).parent
MARKER = ".course-site"  # what tells an earlier site from somebody's folder
UNREAD = ("**/*.map", "_static/*macros.html", ".buildinfo", "objects.inv")  # what no reader of the site opens
MINUTES = re.compile(r"\*\*Time:\*\* about (\d+) minutes")
BADGE = r"\[!\[([^\]]*)\]\([^)]*\)\]\(([^)]*)\)"
BADGES = re.compile(rf"(?:{BADGE}\s*)+")
FENCED = re.compile(r"(^(?:```|~~~).*?^(?:```|~~~)[ \t]*$)", re.DOTALL | re.MULTILINE)
CODE_OR_LINK = re.compile(
    r"(?s)(?P<code>(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`))|"
    r"(?P<text>!?\[[^\]]*\])\((?!\w+:|#|/)(?P<target>[^)#\s]+)(?P<part>#[^)\s]*)?\)"
)
OPENING = re.compile(r"\s*(?<!`)<details([^>]*)>\s*(?:<summary>(.*?)</summary>)?\s*", re.DOTALL)
CLOSING = re.compile(r"\s*(?<!`)</details>\s*")
MENTIONED = re.compile(r"\b[Ll]ectures? \d\d[a-z]?(?:(?:, and |, | and | or | to |–)\d\d[a-z]?)*\b")
NUMBER = re.compile(r"(?:[Ll]ectures? )?(\d\d[a-z]?)")
INLINE = re.compile(r'(\(?<math [^>]*display="inline"(?:(?!</math>).)*</math>[^\s<]+)', re.DOTALL)
# Where a text is no place for a link.
CLOSED = nodes.reference, addnodes.pending_xref, nodes.title, nodes.literal, nodes.FixedTextElement, nodes.raw


def build(
    names: list[str] | None, out: Path, *, solutions: bool = True, source: Path | None = None
) -> list[Path]:
    """Write the site of the lectures asked for (all by default), and return their files.

    Args:
        names, source: as for :func:`course_tools.pages.lectures`.
        out: the folder of the site. An earlier site there is replaced, anything else is left alone.
        solutions: False leaves out solutions, answers, and the links that open lectures with them.

    Raises:
        LectureError: if ``out`` is not an earlier site or cannot be written, or a page would come out damaged
            (a link that leads nowhere, a formula that cannot be set, a figure without words).
    """
    with pages.replacing(out) as made, tempfile.TemporaryDirectory() as work:
        if out.exists() and not (out / MARKER).is_file() and (out.is_file() or any(out.iterdir())):
            raise LectureError(f"{out} is not an earlier site; choose another folder for --out.")
        lectures = pages.lectures(names, source)
        about = _write_sources(lectures, Path(work) / "source", solutions)
        _run_sphinx(Path(work), made, about)
        if faults := [fault for page in sorted(made.glob("*.html")) for fault in _faults(page)]:
            raise LectureError("The site is not written. " + " ".join(faults[:3]))
        shutil.rmtree(made / "_static" / "locales", ignore_errors=True)
        for path in [path for pattern in UNREAD for path in made.glob(pattern)]:
            path.unlink()
        (made / MARKER).write_text("Written by `course site`, which may replace this folder.\n")
    return [*lectures]


def _write_sources(lectures: dict[Path, NotebookNode], source: Path, solutions: bool) -> dict[str, list[str]]:
    """Write what Sphinx reads; return for each page a sentence about it, and where its figures are from."""
    pictures = source / "pictures" / "_images"
    pictures.mkdir(parents=True)
    (source / "_static").mkdir()
    for file in ("site.css", "site.js", "favicon.svg"):
        shutil.copy(HERE / file, source / "_static")
    readme = next(iter(lectures)).parents[1] / "README.md"
    told = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    rows, about, course_map = {}, {}, ""
    for path, notebook in lectures.items():
        with notebooks.named(path):
            notebook = notebook if solutions else versions.without_solutions(notebook)
            rows[path.stem] = row(notebook, path.name, told)
            about[path.stem] = ["Lecture " + ": ".join(notebooks.title(notebook)), pages.origin(notebook)]
            prepare(notebook, _follower(path, {path.name for path in lectures}, source), pictures)
            for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
                shown = output.get("data", {}).get("text/html", "")
                course_map = shown if 'alt="The map of the course' in shown else course_map
            notebooks.write(notebook, source / path.name)
    text = index(rows, course_map, told)
    notebooks.write_text(text, source / "index.md")
    about["index"] = [re.sub("[*`]", "", text.split("\n\n")[1]), _origins(about)]
    return about


def _origins(about: dict[str, list[str]]) -> str:
    """Where the figures of all lectures are from; which lectures, where they differ."""
    lectures: dict[str, list[str]] = {}
    for name, (_, origin) in about.items():
        lectures.setdefault(origin, []).append(notebooks.number(name))
    told = [f"{origin}: {', '.join(numbers)}" for origin, numbers in lectures.items()]
    return "; ".join(told if len(told) > 1 else lectures)


def row(notebook: NotebookNode, file: str, readme: str) -> list[str]:
    """A lecture in the table of the index: number, title, question (of the README), minutes, where to run."""
    number, title = notebooks.title(notebook)
    name, _, question = title.partition(": ")
    first = notebook.cells[0].source
    told = re.search(rf"(?m)^\|[^|]*\|[^|]*\(notebooks/{re.escape(file)}\) *\| *(.*?) *\|", readme)
    minutes = MINUTES.search(first)
    return [
        number,
        f"[{name}]({file})",
        told[1] if told else question,
        f"{minutes[1]}\u00a0min" if minutes else "",
        " · ".join(f"[{name.removeprefix('Open in ')}]({link})" for name, link in re.findall(BADGE, first)),
    ]


def index(rows: dict[str, list[str]], course_map: str, readme: str) -> str:
    """The front page in Markdown: title and question (the README's), the lectures, the map (a tag, or "")."""
    opening = re.match(r"# ([^\n]+)\n\n([^!#\n].+?)\n\n", readme, re.DOTALL)
    title, question = opening.groups() if opening else ("The lectures", "")
    licences = re.search(r"## Licences\n\n.+?(?=\n## |\Z)", readme, re.DOTALL)
    template = jinja2.Template((HERE / "site_index.md").read_text(encoding="utf-8"), trim_blocks=True)
    about = {"title": title, "question": question, "licences": licences and licences[0].strip()}
    return template.render(rows=rows, course_map=course_map, **about)


def prepare(notebook: NotebookNode, follow: Callable[[str], str], pictures: Path) -> None:
    """Make a lecture what goes onto the site, for readers who have no kernel.

    Args:
        follow: from the target of a link in a lecture to its target on the site.
        pictures: where figures are put.
    """
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = markdown(cell.source, follow)
        elif cell.cell_type == "code":
            cell.metadata, asked = _folded(cell), pages.questions(cell.source)
            for output in cell.outputs:
                for kind in [kind for kind in pages.PICTURES if kind in output.get("data", {})][:1]:
                    output.data = {"text/html": _picture(output, kind, pictures)}
                # In place of a widget what a page without a kernel can say.
                if output.output_type == "display_data" and set(output.data) == {"text/plain"}:
                    note = f'<p class="course-widget">{html.escape(output.data["text/plain"])}</p>'
                    output.data["text/html"] = quiz_markup(asked) if asked else note


def _picture(output: NotebookNode, kind: str, folder: Path) -> str:
    """Write a figure to a file; the tag that shows it, with its words, and as large as the lecture says."""
    data, said = binascii.a2b_base64(output.data[kind]), output.metadata.get(kind, {})
    name = f"{notebooks.digest(data)[:16]}.{kind.partition('/')[2]}"
    (folder / name).write_bytes(data)
    said = {"src": f"_images/{name}", **{key: said[key] for key in ("alt", "width", "height") if key in said}}
    return "<img " + " ".join(f'{key}="{html.escape(str(value))}"' for key, value in said.items()) + ">"


def _folded(cell: NotebookNode) -> dict[str, Any]:
    """The metadata by which myst-nb folds solutions and set-up cells."""
    is_setup = cell.metadata.get("course", {}).get("role") == "setup"
    if "solution" in cell.metadata.get("tags", []):
        tag, name = "hide-cell", "the solution"
    elif cell.metadata.get("jupyter", {}).get("source_hidden"):
        tag, name = "hide-input", "the set-up code" if is_setup else "the code"
    else:
        return {}
    prompts = {"code_prompt_show": f"Show {name}", "code_prompt_hide": f"Hide {name}"}
    return {"tags": [tag], "mystnb": prompts}


def markdown(text: str, follow: Callable[[str], str]) -> str:
    """Markdown of a lecture as MyST should read it: badges as links, folded parts with their Markdown set.

    Headings inside a fold become bold lines: a section would not end where the fold ends.
    """

    def lead_on(link: re.Match[str]) -> str:
        return link[0] if link["code"] else f"{link['text']}({follow(link['target'])}{link['part'] or ''})"

    depth, parts = 0, FENCED.split(text)
    for place in range(0, len(parts), 2):  # every other part is a block of code
        part = OPENING.sub(_open_fold, BADGES.sub(_plain_links, parts[place]))
        part = CLOSING.sub("\n\n</details>\n\n", part)
        lines = CODE_OR_LINK.sub(lead_on, part).split("\n")
        for number, line in enumerate(lines):
            depth += line.startswith("<details") - line.startswith("</details>")
            if depth and (heading := re.match(r"#{1,6} +(.+?)[ #]*$", line)):
                lines[number] = f"**{heading[1]}**"
        parts[place] = "\n".join(lines)
    return "".join(parts)


def _plain_links(badges: re.Match[str]) -> str:
    """A badge is a picture from somebody's server; a link says the same."""
    return " · ".join(f"[{label}]({link})" for label, link in re.findall(BADGE, badges[0])) + "\n\n"


def _open_fold(fold: re.Match[str]) -> str:
    """Blank lines around the tags, so that Markdown goes on inside; the summary is HTML and is set here."""
    summary = pages.inline(" ".join((fold[2] or "More").split()))
    return f"\n\n<details{fold[1]}>\n<summary>{summary}</summary>\n\n"


def _follower(path: Path, chosen: set[str], source: Path) -> Callable[[str], str]:
    """Where links of a lecture lead: pictures are brought along, what is not on the site is on GitHub."""

    def follow(target: str) -> str:
        file = (path.parent / target).resolve()
        if file.parent == path.parent and file.name in chosen:
            return file.name
        if not file.exists():
            return target  # Sphinx says where it stands
        if file.suffix.lower() in (".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp"):
            name = f"{notebooks.digest(file.read_bytes())[:16]}{file.suffix}"
            shutil.copy(file, source / name)
            return name
        root = sync.project_root(path.parent)
        return f"https://github.com/{sync.repository(root)}/blob/main/{file.relative_to(root).as_posix()}"

    return follow


def _run_sphinx(work: Path, made: Path, about: dict[str, list[str]]) -> None:
    """Make pages of ``work/source``; a warning is an error."""
    title = (work / "source" / "index.md").read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
    settings = tomllib.loads((HERE / "site.toml").read_text(encoding="utf-8"))
    settings |= {"project": title, "html_title": title, "course_about": about}
    folders, warned = [work / "source", None, made, work / "doctrees"], io.StringIO()
    try:
        with patch_docutils(work / "source"), docutils_namespace():
            Sphinx(*folders, "html", settings, status=None, warning=warned, freshenv=True).build()
    except (LectureError, OSError):
        raise
    except Exception as error:
        raise LectureError(f"Sphinx failed: {type(error).__name__}: {error}") from error
    warnings = re.sub(r"\x1b\[[\d;]*m", "", warned.getvalue()).splitlines()  # without colours
    if lines := [_warning(line) for line in warnings if line.strip()]:
        more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
        raise LectureError(f"The site is not written. {lines[0]}{more}")


def _warning(line: str) -> str:
    """What Sphinx says of a place; myst-nb counts its lines in steps of 10,000 a cell."""
    if place := re.match(r"(?:.*/source/)?([\w.]+)(?::(\d+))?: (?:WARNING|ERROR|CRITICAL): (.+)", line):
        name, number, what = place.groups()
        cell = f", cell {int(number) // 10_000}" if number and name.endswith(".ipynb") else ""
        return f"{name}{cell}: {what}"
    return line


def setup(app: Any) -> dict[str, Any]:
    """What Sphinx calls: formulas without a script, links where a lecture names another, finished pages."""
    app.add_config_value("course_about", {}, "")
    app.add_html_math_renderer("mathml", (_visit_math, None), (_visit_math, None))
    app.connect("doctree-read", _link_lectures)
    texts: dict[str, str] = {}
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


def _link_lectures(app: Any, doctree: Any) -> None:
    """`lecture 03` and `lectures 04, 06` lead there, where the lecture is on the site."""
    every = [*app.config.course_about][::-1]  # of two halves, "lecture 13" leads to the first
    numbers = {key: name for name in every for key in (name[:2], notebooks.number(name))}
    without_links = doctree.findall(lambda node: isinstance(node, CLOSED))
    closed = {id(text) for node in without_links for text in node.findall(nodes.Text)}
    for text in [text for text in doctree.findall(nodes.Text) if id(text) not in closed]:
        linked, done = [], 0
        for mention in MENTIONED.finditer(text):
            for part in NUMBER.finditer(text, *mention.span()):
                name = numbers.get(part[1])
                if name not in (None, Path(doctree["source"]).stem):
                    link = nodes.reference("", part[0], refuri=f"{name}.html", internal=True)
                    linked += [nodes.Text(text[done : part.start()]), link]
                    done = part.end()
        if linked:
            text.parent.replace(text, [*linked, nodes.Text(text[done:])])


def _finish_page(texts: dict[str, str], app: Any, page: str, _: str, context: Any, doctree: Any) -> None:
    """Small repairs of a page's body, and its text for the search.

    A folded cell is called what it says ("Show the solution"), also by a screen reader; a comma stays with
    its formula; under the title stands where the figures are from.
    """
    description, origin = map(
        html.escape, app.config.course_about.get(page, app.config.course_about["index"])
    )
    context["metatags"] = context.get("metatags", "") + f'<meta name="description" content="{description}">'
    context["theme_extra_footer"] = origin + "."
    if page == "search":
        context["metatags"] += '<script src="_static/course-texts.js"></script>'
    if doctree is None:
        return
    body = context["body"].replace(' aria-label="Toggle hidden content"', "")
    body = body.replace("</h1>", f'</h1>\n<p class="course-origin">{origin}.</p>', 1)
    context["body"] = INLINE.sub(r'<span class="course-together">\1</span>', body)
    text = re.sub(r'<style.*?</style>|<a class="headerlink".*?</a>', "", context["body"], flags=re.DOTALL)
    code = re.compile(r"<pre>.*?</pre>", re.DOTALL)
    text = code.sub(" ", text) + "".join(code.findall(text))  # a sentence tells more than a line of code
    text = re.sub(r"</(?:div|dd|h\d|li|math|p|pre|summary|td|th)>", "\n", text)
    text = re.sub(r"<(?!/?section\b)[^>]*>", "", text)  # results point to sections
    texts[f"{page}.html"] = f'<div role="main">{text}</div>'


def _write_texts(texts: dict[str, str], app: Any, exception: Exception | None) -> None:
    """Sphinx's search fetches pages to show where a word is; without a server it cannot: bring them along."""
    if exception is None:
        known = json.dumps(texts, ensure_ascii=False, sort_keys=True)
        script = f"const courseTexts = {known};\n{(HERE / 'site_search.js').read_text()}"
        notebooks.write_text(script, Path(app.outdir) / "_static" / "course-texts.js")


def _faults(page: Path) -> Iterator[str]:
    """What a page must not have: something from the network, or a figure without words."""
    for tag in BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser").find_all(True):
        for name in ("src", "srcset", "poster", "data", *(["href"] if tag.name == "link" else [])):
            if re.match(r"(https?:)?//", tag.get(name, "")):
                yield f"{page.stem}: It would load {tag[name]} from the network."
        if tag.name == "img" and not tag.get("alt", "").strip():
            yield f"{page.stem}: The figure {Path(tag.get('src', '')).name} has no alt text."
