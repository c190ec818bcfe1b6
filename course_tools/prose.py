"""What a slide shows of a lecture's prose and code: first sentences, bold terms, boxes, the lines that matter."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator

from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from nbformat import NotebookNode

LEAD, KEY = 270, 420  # characters of a paragraph that a slide shows; the same with its bold terms
DRAWING = ("plotting.", "figure.", "widgets.")  # calls that draw: the figure shows what they did
QUIET = ("expect", "record", "print", "display")  # calls that check or show: what they show is on the slide
OWN_BUSINESS = ("check_", "my_progress")  # calls that answer the one at the notebook
PARSER = MarkdownIt("commonmark").enable("table").use(dollarmath_plugin)
PROTECTED = re.compile(r"`[^`]*`|\$[^$]*\$|\*\*.+?\*\*|\*[^*]+\*|“[^”]*”|\"[^\"]*\"|\([^()]*\)")
ENDS = re.compile(r"[.!?…][”\"’)*]*\s+(?=[^a-z\s])")
ABBREVIATED = re.compile(r"(?:\bet al|\be\.g|\bi\.e|\bvs|\bcf|\bfig|\bno|\bapprox|\b[A-Z])\.$", re.IGNORECASE)
INNER_DETAILS = re.compile(r"\n*<details>(?:(?!<details>).)*?</details>", re.DOTALL)
TRAP = re.compile(r"(?<!\*)\*(Trap: (?:`[^`]*`|\$[^$]*\$|\*\*[^*]+\*\*|[^*`$])+)\*(?!\*)")
SEE = re.compile(r"\*\*What (?:you should see|to look at)[:.]?\*\*")


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


def shown(text: str, *, whole: bool, leads_over: bool) -> list[str]:
    """What a slide shows of one paragraph among others: of the first its lead, of those that follow what is bold.

    Args:
        text: the paragraph.
        whole: it is the first.
        leads_over: its last sentence may announce what comes after it ("Look at the picture:").
    """
    parts = sentences(text)
    chosen = lead(text) if whole or text.startswith("**") else [part for part in parts if "**" in part]
    announces = leads_over and parts[-1].rstrip("*").endswith((":", "?")) and len(plain(parts[-1])) <= LEAD
    return [*chosen, parts[-1]] if announces and not any(parts[-1] in part for part in chosen) else chosen


def unfolded(source: str) -> str:
    """Markdown without what is folded away in it: hints and answers, one inside the other."""
    while (shorter := INNER_DETAILS.sub("", source)) != source:
        source = shorter
    return source


def chunks(source: str) -> Iterator[tuple[str, str]]:
    """The pieces of a Markdown cell, without what is folded, as (kind, source); boxes are cut out of their paragraph."""
    source = unfolded(source)
    lines = source.split("\n")
    for token in PARSER.parse(source):
        if token.level or not token.map:
            continue
        text = "\n".join(lines[slice(*token.map)]).strip()
        kind = token.type.removesuffix("_open")
        for place, part in enumerate(TRAP.split(text) if kind == "paragraph" else [text]):
            if part := part.strip():
                yield "trap" if place % 2 else "see" if SEE.match(part) else kind, part


def _called(node: ast.stmt) -> str:
    """The function that a statement calls, with dots; empty if it does something else."""
    value = getattr(node, "value", None) if isinstance(node, ast.Expr | ast.Assign) else None
    return ast.unparse(value.func) if isinstance(value, ast.Call) else ""


def _names(nodes: list[ast.stmt], context: type) -> set[str]:
    names = (part for node in nodes for part in ast.walk(node) if isinstance(part, ast.Name))
    return {name.id for name in names if isinstance(name.ctx, context)}


def _statements(source: str) -> list[ast.stmt]:
    try:
        return ast.parse(source).body
    except SyntaxError:
        return []


def essential(source: str) -> str:
    """Code for a slide beside a figure or a table: without what only sets a constant, draws, prints or checks."""
    nodes = _statements(source)
    checks = [node for node in nodes if _called(node) == "expect"]
    for_checks = _names(checks, ast.Load) - _names([node for node in nodes if node not in checks], ast.Load)
    lines: list[str | None] = [*source.split("\n")]
    for node in nodes:
        value = list(ast.walk(node.value)) if isinstance(node, ast.Assign) else []
        constant = value and all(isinstance(part, ast.Constant | ast.Tuple | ast.Load) for part in value)
        only_checked = value and (_names([node], ast.Store) or {""}) <= for_checks
        if _called(node).startswith(DRAWING) or _called(node) in QUIET or constant or only_checked:
            lines[node.lineno - 1 : node.end_lineno] = [None] * (node.end_lineno - node.lineno + 1)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(line for line in lines if line is not None)).strip("\n")


def for_the_machine(cell: NotebookNode) -> bool:
    """Set-up, imports, the table of sizes, and the checks of exercises: nothing to look at."""
    if cell.metadata.get("course", {}).get("role") == "setup" or cell.source.startswith("# @title"):
        return True
    nodes, imports = _statements(cell.source), (ast.Import, ast.ImportFrom)
    return bool(re.search(r"(?m)^size = course\.choose\(", cell.source)) or (
        all(isinstance(node, imports) or _called(node).startswith(OWN_BUSINESS) for node in nodes)
        and bool(nodes or not cell.source.strip())
    )
