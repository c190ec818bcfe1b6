"""What a slide shows of a lecture's prose and code: first sentences, bold terms, boxes, the lines that matter."""

from __future__ import annotations

import ast
import contextlib
import itertools
import re
from collections.abc import Iterable, Iterator

from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from nbformat import NotebookNode

LEAD, KEY = 270, 420  # characters of a paragraph that a slide shows; the same with its bold terms
PARSER = MarkdownIt("commonmark").enable("table").use(dollarmath_plugin)
PROTECTED = re.compile(r"`[^`]*`|\$[^$]*\$|\*\*.+?\*\*|\*[^*]+\*|“[^”]*”|\"[^\"]*\"|\([^()]*\)")
ENDS = re.compile(r"[.!?…][”\"’)*]*\s+(?=[^a-z\s])")
ABBREVIATED = re.compile(r"(?:\bet al|\be\.g|\bi\.e|\bvs|\bcf|\bfig|\bno|\bapprox|\b[A-Z])\.$", re.IGNORECASE)
INNER_DETAILS = re.compile(r"\n*<details>(?:(?!<details>).)*?</details>", re.DOTALL)
TRAP = re.compile(r"(?<!\*)\*(Trap: (?:`[^`]*`|\$[^$]*\$|\*\*[^*]+\*\*|[^*`$])+)\*(?!\*)")
SEE = re.compile(r"\*\*What (?:you should see|to look at)[:.]?\*\*")
DRAWING = ("plotting.", "figure.", "widgets.")  # calls that draw: the figure shows what they did
QUIET = ("expect", "record", "print", "display")  # calls that check or show: what they show is on the slide
OWN_BUSINESS = ("check_", "my_progress")  # calls that answer the one at the notebook
MACHINERY = re.compile(r"\A# @title|^size = course\.choose\(", re.MULTILINE)


def plain(text: str) -> str:
    """Markdown or HTML without its marks."""
    return re.sub(r"<[^>]*>|[*`$]|\\[a-zA-Z]+|[{}]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text))


def sentences(text: str) -> list[str]:
    """The sentences of a paragraph; none ends inside code, a formula, an emphasis, a quotation or brackets."""
    masked = PROTECTED.sub(lambda span: span[0][0] + "x" * len(span[0][1:-3]) + span[0][1:][-3:], text)
    ends = [end for end in ENDS.finditer(masked) if not ABBREVIATED.search(masked[: end.start() + 1])]
    places = [0, *(end.end() for end in ends), len(text)]
    return [text[start:end].strip() for start, end in itertools.pairwise(places) if text[start:end].strip()]


def lead(text: str, most: int = LEAD) -> list[str]:
    """What a slide shows of a paragraph: its first two sentences or so, and a later one that holds a bold term.

    Sentences in brackets are left out. A sentence that says nothing by itself ("So it does.") takes the next along.
    """
    parts = [part for part in sentences(text) if not re.fullmatch(r"\(.*\)", part, re.DOTALL)]
    length = lambda *some: len(plain(" ".join(some)))  # noqa: E731
    count = 2 if length(*parts[:2]) <= most else 1
    while count < len(parts) and length(*parts[:count]) < 60:
        count += 1
    shown = [" ".join(parts[:count])] if parts else []
    return shown + [part for part in parts[count:] if "**" in part and length(*shown, part) <= max(most, KEY)]


def shown(text: str, *, first: bool, last: bool) -> list[str]:
    """What a slide shows of a paragraph: of the first its lead, of those that follow what is bold.

    The last sentence of a cell's last paragraph may announce what comes after it ("Look at the picture:").
    """
    parts = sentences(text)
    chosen = lead(text) if first or text.startswith("**") else [part for part in parts if "**" in part]
    announces = last and parts[-1].rstrip("*").endswith((":", "?")) and len(plain(parts[-1])) <= LEAD
    return [*chosen, parts[-1]] if announces and not any(parts[-1] in part for part in chosen) else chosen


def unfolded(source: str) -> str:
    """Markdown without what is folded away in it: hints and answers, one inside the other."""
    while (shorter := INNER_DETAILS.sub("", source)) != source:
        source = shorter
    return source


def chunks(source: str) -> Iterator[tuple[str, str]]:
    """The pieces of a Markdown cell, without what is folded, as (kind, source); boxes are cut out of their paragraph."""
    lines = (source := unfolded(source)).split("\n")
    for token in PARSER.parse(source):
        if token.level or not token.map:
            continue
        text, kind = "\n".join(lines[slice(*token.map)]).strip(), token.type.removesuffix("_open")
        for place, part in enumerate(TRAP.split(text) if kind == "paragraph" else [text]):
            if part := part.strip():
                yield "trap" if place % 2 else "see" if SEE.match(part) else kind, part


def _statements(source: str) -> list[tuple[ast.stmt, str]]:
    """The statements of a cell, each with the function that it calls, with dots."""
    with contextlib.suppress(SyntaxError):  # a magic
        values = [(node, getattr(node, "value", None)) for node in ast.parse(source).body]
        return [(node, ast.unparse(call.func) if isinstance(call, ast.Call) else "") for node, call in values]
    return []


def _names(nodes: Iterable[ast.stmt], context: type) -> set[str]:
    names = (part for node in nodes for part in ast.walk(node) if isinstance(part, ast.Name))
    return {name.id for name in names if isinstance(name.ctx, context)}


def essential(source: str) -> str:
    """Code for a slide beside a figure or a table: without what only sets a constant, draws, prints or checks."""
    statements, dropped = _statements(source), set()
    for_checks = _names((node for node, call in statements if call == "expect"), ast.Load)
    for_checks -= _names((node for node, call in statements if call != "expect"), ast.Load)
    for node, call in statements:
        value = list(ast.walk(node.value)) if isinstance(node, ast.Assign) else []
        constant = value and all(isinstance(part, ast.Constant | ast.Tuple | ast.Load) for part in value)
        only_checked = value and (_names([node], ast.Store) or {""}) <= for_checks
        if call.startswith(DRAWING) or call in QUIET or constant or only_checked:
            dropped |= {*range(node.lineno, (node.end_lineno or node.lineno) + 1)}
    kept = [line for number, line in enumerate(source.split("\n"), start=1) if number not in dropped]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip("\n")


def for_the_machine(cell: NotebookNode) -> bool:
    """Set-up, imports, the table of sizes, and the checks of exercises: nothing to look at."""
    if cell.metadata.get("course", {}).get("role") == "setup" or MACHINERY.search(cell.source):
        return True
    nodes, imports = _statements(cell.source), (ast.Import, ast.ImportFrom)
    own = all(isinstance(node, imports) or call.startswith(OWN_BUSINESS) for node, call in nodes)
    return own and bool(nodes or not cell.source.strip())
