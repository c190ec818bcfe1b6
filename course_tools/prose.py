"""What a slide shows of a lecture's prose and code: first sentences, bold terms, boxes, lines that matter."""

import re
from collections.abc import Iterator

from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin

PARSER = MarkdownIt("commonmark").enable("table").use(dollarmath_plugin)
PROTECTED = re.compile(r"`[^`]*`|\$[^$]*\$|\*\*.+?\*\*|\*[^*]+\*|“[^”]*”|\"[^\"]*\"|\[[^\]]*\]|\([^()]*\)")
ENDS = re.compile(r"[.!?…][”\"’)*]*\s+(?=[^a-z\s])")
ABBREVIATED = re.compile(r"(?:\bet al|\be\.g|\bi\.e|\bvs|\bcf|\bfig|\bno|\bapprox|\b[A-Z])\.$", re.IGNORECASE)
ANNOUNCES = re.compile(r"[:?][*”\"]*$")
TRAP = re.compile(r"(?<!\*)\*(Trap: (?:`[^`]*`|\$[^$]*\$|\*\*[^*]+\*\*|[^*`$])+)\*(?!\*)")
SEE = re.compile(r"\*\*What (?:you should see|to look at)[:.]?\*\*")
STATEMENT = re.compile(r"\n(?=[^\s)\]}])")  # where one begins; those on a line count as one
# What draws, checks or prints is a figure, a note or an output; a constant says nothing by itself.
SHOWS = re.compile(r"(?:\w+ = )?(?:plotting|figure|widgets)\.|(?:expect|expect_kept|record|print|display)\(")
CONSTANT = re.compile(r"[\w, ]+ = (?:-?[\d._]+|\"[^\"]*\"|True|False|None|[(),\s])+$")
# Imports, and calls that answer the one at the notebook.
MACHINERY = re.compile(r"import |from |check_|my_progress|#|\s*$")


def sentences(text: str) -> list[str]:
    """The sentences of a paragraph; none ends inside code, a formula, emphasis, a quotation or brackets."""
    masked = PROTECTED.sub(lambda span: span[0][0] + "x" * len(span[0][1:-3]) + span[0][1:][-3:], text)
    ends = [end.end() for end in ENDS.finditer(masked) if not ABBREVIATED.search(masked[: end.start() + 1])]
    parts = [text[start:end].strip() for start, end in zip([0, *ends], [*ends, None], strict=True)]
    return [part for part in parts if part]


def lead(text: str, *, first: bool = True, last: bool = False) -> list[str]:
    """What a slide shows of a paragraph: two sentences if it is the first, and all that have a bold term.

    Those in brackets are left out. A question takes its answer along. A cell's last may announce ("Look:").
    """
    parts = [part for part in sentences(text) if not re.fullmatch(r"\(.*\)", part, re.DOTALL)]
    count = min(2, len(parts)) if first or text.startswith("**") else 0
    while 0 < count < len(parts) and ANNOUNCES.search(parts[count - 1]):
        count += 1
    announced = last and ANNOUNCES.search(text)
    others = [part for part in parts[count:] if "**" in part or (announced and part == parts[-1])]
    return [" ".join(parts[:count]), *others] if count else others


def chunks(source: str) -> Iterator[tuple[str, str]]:
    """The pieces of a Markdown cell, as (kind, source), without folds; boxes are cut out of paragraphs."""
    lines, depth = source.split("\n"), 0
    for token in PARSER.parse(source):
        if token.level or not token.map:
            continue
        text, kind = "\n".join(lines[slice(*token.map)]).strip(), token.type.removesuffix("_open")
        if kind == "html_block" and "details" in text:
            depth += text.count("<details") - text.count("</details>")
        elif not depth:
            for place, part in enumerate(TRAP.split(text) if kind == "paragraph" else [text]):
                if part := part.strip():
                    yield "trap" if place % 2 else "see" if SEE.match(part) else kind, part


def essential(source: str) -> str:
    """Code for a slide beside a figure or table: without what only sets a constant, draws, prints, checks."""
    kept = [s for s in STATEMENT.split(source) if not SHOWS.match(s) and not CONSTANT.match(s)]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip("\n")


def for_the_machine(source: str) -> bool:
    """Set-up, imports, the table of sizes, and the checks of exercises: nothing to look at."""
    begins = re.search(r"(?m)^(?:course = start|size = course\.choose)\(", source)
    return bool(begins) or all(MACHINERY.match(statement) for statement in STATEMENT.split(source))
