"""The style that all figures share: colours and what says the same in grey, the title, the note on stand-in data."""

import base64
import io
import re
import textwrap
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from PIL import Image

# Okabe and Ito's colours, safe for the common forms of colour-blindness; each has one meaning all through the course,
# and a hatch and a marker that say the same in grey.
LOOKS = {
    "ham": ("#0072B2", "", "o"), "spam": ("#D55E00", "///", "^"), "baseline": ("#6E6E6E", "", "s"),
    "frozen": ("#009E73", "..", "o"), "fine-tuned": ("#B0528B", "xx", "D"),
}  # fmt: skip
OTHERS = (
    ("#56B4E9", "\\\\\\", "v"), ("#E69F00", "++", "P"), ("#222222", "oo", "X"), ("#999933", "--", "p"),
    ("#7A4FA3", "//", "d"),
)  # fmt: skip
COLOURS = {name: colour for name, (colour, _, _) in LOOKS.items()}
Style = dict[str, Any]
INK, GREY, PALE = "#222222", "#6E6E6E", "#E4E4E4"
STANDIN = "stand-in data, written for the course"


def png(figure: Figure, sharpness: int = 2) -> bytes:
    """The figure as a PNG file: the same bytes on every day.

    It has ``sharpness`` times the pixels it is shown with: 2 for pages and sharp screens, 1 for a widget's, which is drawn
    while somebody waits.
    """
    drawn = io.BytesIO()
    size = {"dpi": sharpness * figure.dpi, "bbox_inches": "tight", "pad_inches": 0.12}
    figure.savefig(drawn, format="png", metadata={"Software": None}, **size)
    if sharpness == 1:
        return drawn.getvalue()
    # With 256 colours, which is more than a chart has, twice the pixels take no more room than before.
    small = io.BytesIO()
    Image.open(drawn).convert("RGB").quantize(256).save(small, format="png", optimize=True)
    return small.getvalue()


def shown_size(picture: bytes) -> dict[str, int]:
    """Width and height, in pixels, at which a PNG of :func:`png` is meant to be shown."""
    width, height = Image.open(io.BytesIO(picture)).size
    return {"width": round(width / 2), "height": round(height / 2)}


def show(figure: Figure, alt: str) -> None:
    """Display a figure and close it; ``alt`` tells who cannot see it what is drawn, and what it shows.

    Raises:
        ValueError: if ``alt`` is shorter than 20 characters.
    """
    from IPython.display import display

    alt = " ".join(alt.split())
    if len(alt) < 20:
        raise ValueError(f"alt={alt!r} is too short: say in a sentence what is drawn, and the finding.")
    picture = png(figure)
    data = {"image/png": base64.b64encode(picture).decode("ascii"), "text/plain": "Figure"}
    # Figures made by pyplot would be shown a second time at the end of the cell.
    if getattr(figure.canvas, "manager", None) is not None:
        import matplotlib.pyplot as plt

        plt.close(figure)
    display(data, metadata={"image/png": {"alt": alt} | shown_size(picture)}, raw=True)


def look(name: str, position: int = 0) -> tuple[str, str, str]:
    """Colour, hatch and marker of a class or a kind of method."""
    return LOOKS.get(name) or OTHERS[position % len(OTHERS)]


def canvas(width: float, height: float, **subplots: Any) -> tuple[Figure, Any]:
    """A figure of so many inches, and its axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(**subplots)


def finish(figure: Figure, title: str, data: Any = None, *, real: bool = True) -> Figure:
    """Set the title over the whole width; say in the corner where the data were written for the course."""
    size = FontProperties(size=mpl.rcParams["axes.titlesize"]).get_size_in_points()
    wrapped = textwrap.wrap(title.replace(" %", "\xa0%"), int(figure.get_figwidth() * 72 / size / 0.61))
    title = plain("\n".join(wrapped).replace("\xa0", " "))
    figure.suptitle(title, x=0.01, ha="left", size=size, weight="bold")
    if not (real and getattr(data, "attrs", {}).get("real", True)):
        figure.supxlabel(STANDIN, x=0.99, ha="right", fontsize=8, style="italic", color=GREY)
    return figure


def plain(text: Any) -> str:
    """Text that is drawn as it is written: dollars make no formula, half a character no error, tabs are spaces."""
    text = str(text).encode(errors="replace").decode()
    return re.sub(r"[\0-\x09\x0b-\x1f\x7f-\x9f]", " ", text).replace("$", r"\$")


def percent(share: float) -> str:
    """A share in words that rounds nothing away: 0.004 is "0.4 %", 0.996 is "99.6 %"."""
    digits = 1 if 0 < share < 0.02 or 0.98 < share < 1 else 0
    return f"{100 * share:.{digits}f} %"
