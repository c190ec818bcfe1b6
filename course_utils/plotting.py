"""The figures of the course: each states its finding, names its units and reads without colour.

A function takes data and returns a Matplotlib figure; :func:`show` puts it into the notebook as a PNG with a text
alternative. Figures are made without pyplot, so nothing is drawn twice and nothing stays open.
"""

from __future__ import annotations

import base64
import io
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Arc, FancyBboxPatch, Rectangle
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator, NullLocator, StrMethodFormatter
from matplotlib.transforms import Bbox

# Okabe and Ito's colours, safe for the common forms of colour-blindness; each has one meaning all through the course,
# and a hatch and a marker that say the same in grey.
COLOURS = {
    "ham": "#0072B2",
    "spam": "#D55E00",
    "baseline": "#6E6E6E",
    "frozen": "#009E73",
    "fine-tuned": "#B0528B",
}
HATCHES = {"ham": "", "spam": "///", "baseline": "", "frozen": "..", "fine-tuned": "xx"}
MARKERS = {"ham": "o", "spam": "^", "baseline": "s", "frozen": "o", "fine-tuned": "D"}
OTHERS = (
    ("#56B4E9", "\\\\\\", "v"),
    ("#E69F00", "++", "P"),
    ("#222222", "oo", "X"),
    ("#999933", "--", "p"),
    ("#7A4FA3", "//", "d"),
)
Style = dict[str, Any]
INK, GREY, PALE = "#222222", "#6E6E6E", "#E4E4E4"
STANDIN = "stand-in data, written for the course"
LECTURES: dict[str, list[str]] = {
    "Start here": ["00 Welcome"],
    "Words": ["01 Word2vec", "02 GloVe"],
    "Language models": ["03 Language models", "04 ELMo", "05 ULMFiT"],
    "Transformers": ["06 The Transformer", "07 The tokenizer", "08 BERT pre-training"],
    "Using BERT": ["09 BERT features", "10 Freeze and fine-tune", "11 Full fine-tuning", "12 Adapters"],
    "Going further": ["13 One encoder, many tasks", "14 Beyond English, beyond BERT", "15 Into production"],
}


def png(figure: Figure) -> bytes:
    """The figure as a PNG file: the same bytes on every day."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight", pad_inches=0.12, metadata={"Software": None})
    return buffer.getvalue()


def show(figure: Figure, alt: str) -> None:
    """Display a figure with its text alternative, and close it.

    Args:
        figure: any Matplotlib figure.
        alt: what somebody who cannot see the figure should know: what is drawn, and what it shows.

    Raises:
        ValueError: if ``alt`` is shorter than 20 characters.
    """
    from IPython.display import display

    alt = " ".join(alt.split())
    if len(alt) < 20:
        raise ValueError(
            f"alt={alt!r} is too short: say in a sentence what the figure shows, and the finding."
        )
    data = {"image/png": base64.b64encode(png(figure)).decode("ascii"), "text/plain": "Figure"}
    # Figures made by pyplot would be shown a second time at the end of the cell.
    if getattr(figure.canvas, "manager", None) is not None:
        import matplotlib.pyplot as plt

        plt.close(figure)
    display(data, metadata={"image/png": {"alt": alt}}, raw=True)


def standin_note(figure: Figure) -> None:
    """Say in the corner that the data were written for the course."""
    figure.supxlabel(STANDIN, x=0.99, ha="right", fontsize=8, style="italic", color=GREY)


def look(name: str, position: int = 0) -> tuple[str, str, str]:
    """Colour, hatch and marker of a class or a kind of method."""
    if name in COLOURS:
        return COLOURS[name], HATCHES[name], MARKERS[name]
    return OTHERS[position % len(OTHERS)]


def _canvas(width: float = 7.5, height: float = 4.2, **subplots: Any) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(**subplots)


def _finish(figure: Figure, title: str, data: Any = None, *, real: bool = True) -> Figure:
    """Set the title over the whole width, and the stand-in note where the data call for one."""
    size = FontProperties(size=mpl.rcParams["axes.titlesize"]).get_size_in_points()
    lines = textwrap.wrap(title.replace(" %", "~%"), int(figure.get_figwidth() * 72 / size / 0.61))
    figure.suptitle("\n".join(lines).replace("~%", " %"), x=0.01, ha="left", size=size, weight="bold")
    if not (real and getattr(data, "attrs", {}).get("real", True)):
        standin_note(figure)
    return figure


def _percent(share: float) -> str:
    """A share in words that rounds nothing away: 0.004 is "0.4 %", 0.996 is "99.6 %"."""
    digits = 1 if 0 < share < 0.02 or 0.98 < share < 1 else 0
    return f"{100 * share:.{digits}f} %"


def class_balance(labels: Any, names: Sequence[str] = ("ham", "spam"), *, real: bool = True) -> Figure:
    """How many messages each class has: labels are 0 .. k-1, one name a class."""
    counts = np.bincount(np.asarray(labels), minlength=len(names))
    shares = [_percent(share) for share in counts / counts.sum()]
    figure, ax = _canvas(7.5, 0.9 + 0.65 * len(names))
    for i, name in enumerate(names):
        colour, hatch, _ = look(name, i)
        ax.barh(i, counts[i], color=colour, hatch=hatch, edgecolor="white")
        ax.annotate(f" {counts[i]:,}  ({shares[i]})", (counts[i], i), va="center")
    ax.set(xlabel="messages", yticks=range(len(names)), yticklabels=names, xlim=(0, counts.max() * 1.22))
    ax.invert_yaxis()
    rare, common = int(counts.argmin()), int(counts.argmax())
    title = f"{shares[rare]} of the messages are {names[rare]}: answering “{names[common]}” to everything is right"
    return _finish(figure, f"{title} {shares[common]} of the time", labels, real=real)


def length_histogram(
    lengths: Mapping[str, Any], padding: int | None = None, *, unit: str = "tokens", real: bool = True
) -> Figure:
    """Lengths of the messages, one panel a class; ``padding`` marks the length at which they would be cut."""
    figure, axes = _canvas(7.5, 1.2 + 1.5 * len(lengths), nrows=len(lengths), sharex=True, squeeze=False)
    everything = np.concatenate([np.asarray(values) for values in lengths.values()])
    right = max(int(np.quantile(everything, 0.995)), (padding or 0) + 5)
    bins = np.arange(0, right + 2, max(1, right // 40)) - 0.5
    cuts = []
    for i, (ax, (name, values)) in enumerate(zip(axes[:, 0], lengths.items(), strict=True)):
        colour, hatch, _ = look(name, i)
        values = np.asarray(values)
        shown = np.minimum(values, bins[-1] - 0.5)
        ax.hist(shown, bins, color=colour, hatch=hatch, edgecolor="white", linewidth=0.5)
        ax.set_ylabel("messages")
        ax.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        text = f"{name}: median {np.median(values):.0f} {unit}"
        if padding:
            cuts.append(f"{_percent(float((values > padding).mean()))} of {name}")
            ax.axvline(padding + 0.5, color=INK, linestyle="--")
            text += f"\n{cuts[-1]} is longer than {padding}"
        ax.annotate(text, (0.985, 0.95), xycoords="axes fraction", ha="right", va="top")
    axes[-1, 0].set_xlabel(f"length of a message ({unit}; longer ones are counted in the last bar)")
    title = (
        f"Cutting at {padding} {unit} shortens {' and '.join(cuts)}" if padding else "How long is a message?"
    )
    return _finish(figure, title, real=real)


def padding_picture(
    attention_mask: Any, tokens: Sequence[Sequence[str]] | None = None, *, real: bool = True
) -> Figure:
    """A batch as the model gets it: mask (B, T) of 0 and 1, and the tokens to write into its cells (small batches)."""
    mask = np.asarray(attention_mask).astype(bool)
    (rows, columns), written = mask.shape, tokens is not None
    longest = max(3, *(len(word) for row in tokens or [[""]] for word in row))
    width = columns * (0.115 * longest if written else min(0.3, 8 / columns))
    figure, ax = _canvas(
        max(5.5, width + 1), max(2.3, rows * (0.36 if written or rows <= 12 else 0.15) + 1.2)
    )
    for i, j in np.ndindex(mask.shape):
        word, kept = tokens[i][j] if tokens is not None else "", bool(mask[i, j])
        face = "white" if not kept else "#F0C77A" if word.startswith("[") else "#BFDDF0"
        style: Style = {
            "facecolor": face,
            "edgecolor": "#B5B5B5",
            "linewidth": 0.8,
            "hatch": "" if kept else "////",
        }
        ax.add_patch(Rectangle((j, i), 1, 1, **style))
        back = None if kept else {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
        style = {"ha": "center", "va": "center", "size": 8.5, "color": INK if kept else GREY, "bbox": back}
        ax.text(j + 0.5, i + 0.53, word, **style)
    ax.set(xlim=(0, columns), ylim=(rows, 0), xlabel="position (token)", ylabel="message")
    for axis, count in ((ax.xaxis, columns), (ax.yaxis, rows)):
        shown = np.arange(0, count, 1 if count <= 12 else 5)
        axis.set_ticks(shown + 0.5, [str(number) for number in shown])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    title = f"{_percent(1 - mask.mean())} of this batch is padding (hatched): attention mask 0, the model looks away"
    return _finish(figure, title, real=real)


def learning_curves(history: Any, *, real: bool = True) -> Figure:
    """Loss by epoch; ``history`` has the lists ``train_loss`` and ``validation_loss``. The lowest one is marked."""
    train, validation = np.asarray(history.train_loss), np.asarray(history.validation_loss)
    epochs, best = np.arange(1, len(validation) + 1), int(validation.argmin())
    figure, ax = _canvas(7.5, 3.9)
    ax.plot(epochs, train, "s--", color=GREY, markersize=5)
    ax.plot(epochs, validation, "o-", color=INK, markersize=5)
    up = 8 if validation[-1] >= train[-1] else -8
    for values, name, colour, shift in ((train, "training", GREY, -up), (validation, "validation", INK, up)):
        at, style = (epochs[-1], values[-1]), {"textcoords": "offset points", "va": "center"}
        ax.annotate(name, at, (11, shift), color=colour, **style)
    ax.axvline(best + 1, color=GREY, linestyle=":", zorder=0)
    ax.plot(
        best + 1,
        validation[best],
        "*",
        markersize=16,
        color=COLOURS["spam"],
        markeredgecolor="white",
        zorder=3,
    )
    ax.annotate(
        " lowest", (best + 1, 0.98), xycoords=("data", "axes fraction"), va="top", color=COLOURS["spam"]
    )
    low, high = min(train.min(), validation.min()), max(train.max(), validation.max())
    ax.set(xlabel="epoch", ylabel="loss (mean over examples)", xlim=(0.7, len(epochs) * 1.17 + 0.3))
    ax.set_ylim(low - 0.12 * (high - low) - 1e-6, high + 0.2 * (high - low) + 1e-6)
    ax.set_xticks(epochs[:: 1 + len(epochs) // 20])
    last = best + 1 == len(epochs)
    advice = "the last one, more epochs might still help" if last else "keep those weights"
    return _finish(
        figure,
        f"Validation loss is lowest ({validation[best]:.3f}) after epoch {best + 1}: {advice}",
        real=real,
    )


def confusion(matrix: Any, names: Sequence[str] = ("ham", "spam"), *, real: bool = True) -> Figure:
    """A confusion matrix (k, k) of counts: rows are the truth, columns the answer."""
    import seaborn as sns

    matrix = np.asarray(matrix)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    notes = [
        [f"{count:,}\n{_percent(share)} of {name}" for count, share in zip(counts, row, strict=True)]
        for name, counts, row in zip(names, matrix, shares, strict=True)
    ]
    title = f"{np.trace(matrix):,} of {matrix.sum():,} messages are sorted rightly"
    if matrix.shape == (2, 2):
        notes[0][1] += "\nwrongly blocked"
        notes[1][0] += "\nmissed"
        title = f"{matrix[0, 1]:,} {names[0]} wrongly blocked and {matrix[1, 0]:,} {names[1]} missed, out of {matrix.sum():,}"
    figure, ax = _canvas(2.4 + 1.75 * len(names), 1.6 + 1.1 * len(names))
    style: Style = {"cmap": "Blues", "vmin": 0, "vmax": 1, "cbar": False, "linewidths": 3}
    sns.heatmap(shares, annot=np.array(notes), fmt="", ax=ax, xticklabels=names, yticklabels=names, **style)
    ax.set(xlabel="the model says", ylabel="the message is")
    ax.tick_params(length=0)
    ax.tick_params(axis="y", rotation=0)
    return _finish(figure, title, real=real)


def precision_recall(
    labels: Any, scores: Any, threshold: float | None = None, *, real: bool = True
) -> Figure:
    """Precision against recall over all thresholds: labels 0/1 and spam probabilities, both (n,)."""
    from sklearn.metrics import average_precision_score, precision_recall_curve

    truth, values = np.asarray(labels), np.asarray(scores)
    precision, recall, _ = precision_recall_curve(truth, values)
    figure, ax = _canvas(6.8, 4.8)
    ax.step(recall, precision, where="post", color=COLOURS["spam"], linewidth=2)
    ax.axhline(truth.mean(), color=GREY, linestyle=":")
    ax.text(0.01, truth.mean() + 0.02, f"blocking at random: precision {truth.mean():.2f}", color=GREY)
    title = f"How much spam for how many false alarms? Average precision {average_precision_score(truth, values):.3f}"
    if threshold is not None:
        blocked = values >= threshold
        hits = int(truth[blocked].sum())
        x, y = hits / truth.sum(), hits / max(int(blocked.sum()), 1)
        ax.plot(x, y, "o", markersize=10, color=INK, markeredgecolor="white", zorder=3)
        text, line = (
            f"threshold {threshold:.2f}\nprecision {y:.2f}\nrecall {x:.2f}",
            {"arrowstyle": "-", "color": GREY},
        )
        # A good filter's curve leaves room below it, a poor one's above.
        at = (max(x - 0.12, 0.3), max(y - 0.15, 0.5)) if y > 0.6 else (min(x + 0.08, 0.7), y + 0.25)
        side = {"ha": "right", "va": "top"} if y > 0.6 else {"ha": "left", "va": "bottom"}
        ax.annotate(text, (x, y), at, arrowprops=line, **side)
        title = f"At threshold {threshold:.2f} the filter finds {_percent(x)} of the spam; {_percent(y)} of the blocked is spam"
    ax.set(xlim=(0, 1.02), ylim=(0, 1.04), xlabel="recall (share of the spam that is found)")
    ax.set_ylabel("precision (spam among the blocked)")
    return _finish(figure, title, labels, real=real)


def threshold_figure(labels: Any, scores: Any, threshold: float = 0.5, *, real: bool = True) -> Figure:
    """Spam probability by class; what lies on the wrong side of the threshold is an error, hatched and counted."""
    truth, values = np.asarray(labels), np.asarray(scores)
    figure, axes = _canvas(7.5, 4.5, nrows=2, sharex=True)
    edges = np.union1d(np.linspace(0, 1, 41), [threshold])  # no bar lies on both sides
    blocked, errors = values >= threshold, []
    for i, (ax, name, word) in enumerate(
        zip(axes, ("ham", "spam"), ("wrongly blocked", "missed"), strict=True)
    ):
        mine, wrong = truth == i, (truth == i) & (blocked != bool(i))
        errors.append(int(wrong.sum()))
        style: Style = {"bins": edges, "color": COLOURS[name], "edgecolor": "white", "linewidth": 0.5}
        ax.hist(values[mine & ~wrong], alpha=0.45, **style)
        ax.hist(values[wrong], hatch="xxxx", **style)
        ax.axvline(threshold, color=INK, linestyle="--")
        top = max(10, 1.6 * np.histogram(values[mine], edges)[0].max())
        ax.set(yscale="log", ylabel="messages (log)", ylim=(0.7, top))
        ax.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        ax.yaxis.set_minor_locator(NullLocator())
        text = f"{name}: {errors[-1]:,} of {int(mine.sum()):,} {word} (hatched)"
        ax.set_title(text, size="medium", weight="normal", pad=4)
    axes[-1].set(xlabel="spam probability (dashed: the threshold; from there on it is blocked)", xlim=(0, 1))
    title = f"At threshold {threshold:.2f}: {errors[0]:,} ham wrongly blocked, {errors[1]:,} spam let through"
    return _finish(figure, title, labels, real=real)


def verdicts(
    messages: Sequence[str], probabilities: Sequence[float], *, threshold: float = 0.5, real: bool = True
) -> Figure:
    """What the model says about a few messages: a bar of its spam probability beside each text."""
    figure, ax = _canvas(8.5, 1.1 + 0.62 * len(messages))
    for i, probability in enumerate(probabilities):
        name = "spam" if probability >= threshold else "ham"
        ax.barh(i, probability, color=COLOURS[name], hatch=HATCHES[name], edgecolor="white", height=0.6)
        ax.annotate(f"{name} ({probability:.2f})", (1.04, i), va="center")
    ax.axvline(threshold, color=INK, linestyle="--", linewidth=1)
    ax.set(xticks=np.linspace(0, 1, 5), xlim=(0, 1.28), xlabel="spam probability (dashed: the threshold)")
    texts = [textwrap.fill(textwrap.shorten(message, 90, placeholder=" …"), 45) for message in messages]
    ax.set_yticks(range(len(texts)), texts, size=9)
    ax.invert_yaxis()
    caught = sum(probability >= threshold for probability in probabilities)
    return _finish(figure, f"The model calls {caught} of these {len(messages)} messages spam", real=real)


def intervals(frame: pd.DataFrame, metric: str = "spam F1", title: str = "", *, real: bool = True) -> Figure:
    """A dot with its 95 % interval for every row, best on top, and a stroke for every seed.

    Args:
        frame: columns ``name`` (or ``method``), ``mean``, ``low``, ``high``; optionally ``scores`` (a list, one a seed)
            and ``kind`` ("baseline", "frozen" or "fine-tuned").
        metric: what was measured, for the axis.
        title: by default who leads, and whether the intervals tell it from the next.
        real: whether the numbers come from real data; ``frame.attrs["real"]`` counts too.
    """
    rows = frame.rename(columns={"method": "name"}).sort_values("mean", ascending=False, ignore_index=True)
    figure, ax = _canvas(8, 1.2 + 0.45 * len(rows))
    for i, row in rows.iterrows():
        colour, _, marker = look(row.get("kind", "frozen"), 2)
        ax.plot([row["low"], row["high"]], [i, i], color=colour, linewidth=2.5, solid_capstyle="butt")
        strokes = list(row["scores"]) if "scores" in rows else []
        ax.plot(strokes, [i + 0.24] * len(strokes), "|", color=INK, markersize=7, alpha=0.7)
        ax.plot(row["mean"], i, marker, color=colour, markersize=9, markeredgecolor="white")
        ax.annotate(f"{row['mean']:.3f}", (1.02, i), xycoords=("axes fraction", "data"), va="center")
    ax.set(yticks=range(len(rows)), yticklabels=rows["name"], ylim=(len(rows) - 0.4, -0.6))
    ax.set_xlabel(f"{metric} (dot: mean; bar: 95 % interval{'; strokes: seeds' if 'scores' in rows else ''})")
    ax.grid(axis="y")
    ax.tick_params(axis="y", length=0)
    if not title:
        first, second = rows.iloc[0], rows.iloc[min(1, len(rows) - 1)]
        title = f"Best: {first['name']}"
        if len(rows) > 1:
            clear = (
                "; its interval is clear of the next",
                f", but the intervals do not tell it from {second['name']}",
            )
            title += clear[0] if first["low"] > second["high"] else clear[1]
    return _finish(figure, title, frame, real=real)


def lines(
    frame: pd.DataFrame,
    title: str,
    xlabel: str,
    ylabel: str,
    *,
    xscale: str = "linear",
    yscale: str = "linear",
    real: bool = True,
) -> Figure:
    """One line for every column over the frame's index, each named at its end."""
    figure, ax = _canvas(7.5, 4)
    ends = []
    for i, (name, values) in enumerate(frame.items()):
        values = values.dropna()
        colour, _, marker = look(str(name), i)
        points = marker if len(values) <= 30 else None
        ax.plot(values.index, values, color=colour, marker=points, markersize=5, label=str(name))
        ends.append((values.index[-1], values.iloc[-1], str(name), colour))
    ax.set(xlabel=xlabel, ylabel=ylabel, xscale=xscale, yscale=yscale)
    if xscale == "log" and len(frame) <= 10:  # a few powers are read more easily by themselves
        ax.set_xticks(frame.index, [f"{x:g}" for x in frame.index])
        ax.minorticks_off()
    ax.grid(axis="y")
    if len(ends) > 1:
        # From the highest end down, names keep a line's height between them.
        figure.draw_without_rendering()
        lowest = np.inf
        for x, y, name, colour in sorted(ends, key=lambda end: -end[1]):
            at = ax.transData.transform((x, y))[1]
            lowest = min(at, lowest - 15 * figure.dpi / 72)
            shift = (8, (lowest - at) * 72 / figure.dpi)
            ax.annotate(name, (x, y), shift, textcoords="offset points", va="center", color=colour)
    return _finish(figure, title, frame, real=real)


def bars(frame: pd.DataFrame | pd.Series, title: str, xlabel: str, *, real: bool = True) -> Figure:
    """Horizontal bars, a row for each entry of the index; several columns stand side by side in each row."""
    frame = frame.to_frame() if isinstance(frame, pd.Series) else frame
    figure, ax = _canvas(7.5, 1.3 + 0.26 * len(frame) * (len(frame.columns) + 0.4))
    height = 0.8 / len(frame.columns)
    for i, (name, values) in enumerate(frame.items()):
        colour, hatch, _ = look(str(name), i) if len(frame.columns) > 1 else (COLOURS["frozen"], "", "")
        style: Style = {"color": colour, "edgecolor": "white", "hatch": hatch, "linewidth": 0}
        ax.barh(np.arange(len(frame)) + i * height, values, height, label=str(name), **style)
    middle = np.arange(len(frame)) + 0.4 - height / 2
    ax.set(yticks=middle, yticklabels=frame.index, xlabel=xlabel)
    ax.set_ylim(len(frame) - 0.1 - height / 2, -0.1 - height / 2)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    ax.axvline(0, color=GREY, linewidth=0.8)
    if len(frame.columns) > 1:
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return _finish(figure, title, frame, real=real)


def heatmap(
    frame: pd.DataFrame,
    title: str,
    label: str,
    *,
    numbers: bool = True,
    limit: float | None = None,
    real: bool = True,
) -> Figure:
    """A matrix as coloured cells: white at 0, red above, blue below; with ``numbers``, each cell says its value.

    Args:
        frame: the matrix, with names for rows and columns.
        title: what to see in it.
        label: what the colours measure.
        numbers: write the values into the cells.
        limit: the value of the strongest colour; by default the largest there is. Beyond it, colours do not change.
    """
    values = frame.to_numpy(dtype=float)
    limit = limit or float(np.nanmax(np.abs(values))) or 1.0
    rows, columns = values.shape
    wide = 0.62 if numbers else max(0.09, min(0.62, 7 / columns))
    longest = max(len(str(name)) for name in frame.index)
    figure, ax = _canvas(
        min(11, 1.9 + 0.09 * longest + wide * columns), 1.5 + (0.4 if numbers else 0.34) * rows
    )
    colours: Style = (
        {"cmap": "RdBu_r", "vmin": -limit} if np.nanmin(values) < 0 else {"cmap": "Reds", "vmin": 0}
    )
    image = ax.imshow(values, vmax=limit, aspect="auto", **colours)
    for i, j in np.ndindex(values.shape) if numbers else ():
        strong = abs(values[i, j]) > 0.6 * limit
        ax.text(
            j, i, f"{values[i, j]:.2f}", ha="center", va="center", size=9, color="white" if strong else INK
        )
    ax.set_yticks(range(rows), [str(name) for name in frame.index])
    shown = range(columns) if columns <= 20 else range(0, columns, 10)
    ax.set_xticks(shown, [str(frame.columns[j]) for j in shown])
    if columns <= 20 and max(len(str(name)) for name in frame.columns) > 6:
        ax.tick_params(axis="x", rotation=35)
        for tick in ax.get_xticklabels():
            tick.set(ha="right", rotation_mode="anchor")
    ax.set(xlabel=frame.columns.name or "", ylabel=frame.index.name or "")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    figure.colorbar(image, ax=ax, label=label, shrink=0.9, pad=0.02).outline.set_visible(False)
    return _finish(figure, title, frame, real=real)


def word_map(points: Any, groups: Mapping[str, Sequence[str]], title: str, *, real: bool = True) -> Figure:
    """Words at their places in two dimensions, (n, 2), in the order of the groups; each group has a colour and a marker."""
    points = np.asarray(points, dtype=float)
    figure, ax = _canvas(8.5, 5.6)
    start = 0
    for i, (name, words) in enumerate(groups.items()):
        part = points[start : start + len(words)]
        colour, _, marker = look(name, i)
        style: Style = {"color": colour, "marker": marker, "edgecolor": "white", "linewidth": 0.4}
        ax.scatter(*part.T, s=40, label=name, **style)
        start += len(words)
    ax.set(xlabel="first direction (no unit)", ylabel="second direction (no unit)", xticks=[], yticks=[])
    ax.margins(0.12)
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1), handletextpad=0.1)
    _finish(figure, title, real=real)
    label_points(ax, points[:, 0], points[:, 1], [word for words in groups.values() for word in words])
    return figure


# A piece of a word: colour, and what it is called. The pieces' own ## and [ ] say the same without colour.
PIECES = {
    "start": ("#BFDDF0", "begins a word"),
    "inside": ("#BFE6D8", "## goes on with it"),
    "special": ("#F0C77A", "special"),
    "unknown": ("#FFFFFF", "[UNK]: the text is lost"),
}


def piece_kind(piece: str) -> str:
    """Which of PIECES a piece of BERT's vocabulary is."""
    if piece == "[UNK]":
        return "unknown"
    if piece in ("[PAD]", "[CLS]", "[SEP]", "[MASK]"):
        return "special"
    return "inside" if piece.startswith("##") and len(piece) > 2 else "start"


def pieces_picture(
    rows: Sequence[tuple[Sequence[str], Sequence[int], Sequence[tuple[int, int]]]], title: str
) -> Figure:
    """Each text as a row of boxes: piece, id, and the characters that it covers, from and up to (rows are wrapped)."""
    lines: list[list[tuple[str, int, tuple[int, int]]]] = []
    wide = [0.0]
    for row in rows:
        lines.append([])
        left = 0.0
        for piece, number, span in zip(*row, strict=True):
            width = 0.25 + 0.095 * max(len(piece), 5)
            if left + width > 9.2:
                lines.append([])
                left = 0.0
            lines[-1].append((piece, number, span))
            left += width
            wide.append(left)
    figure, ax = _sheet(max(6.5, max(wide)), 0.95 * len(lines) + 0.4)
    for i, line in enumerate(lines):
        left, y = 0.0, 0.95 * (len(lines) - 1 - i) + 0.45
        for piece, number, (start, end) in line:
            width = 0.25 + 0.095 * max(len(piece), 5)
            kind = piece_kind(piece)
            style: Style = (
                {"linestyle": "--", "linewidth": 1.8, "edgecolor": INK} if kind == "unknown" else {}
            )
            covers = f"{start}–{end}" if end > start else "–"
            text = f"{piece}\n{number}\n{covers}"
            _box(ax, left + 0.03, y, width - 0.06, 0.8, text.replace("$", r"\$"), PIECES[kind][0], **style)
            left += width
    left = 0.03
    for colour, name in PIECES.values():
        dashed = {"linestyle": "--", "edgecolor": INK} if colour == "#FFFFFF" else {}
        _box(ax, left, 0.08, 0.2, 0.2, face=colour, **dashed)
        ax.text(left + 0.27, 0.18, name, va="center", size=8.5, color=GREY)
        left += 0.55 + 0.075 * len(name)
    return _finish(figure, title)


def window_picture(words: Sequence[str], centres: Sequence[int], reach: int) -> Figure:
    """A sentence once for every centre word, its window marked: each marked neighbour makes a training pair."""
    widths = np.array([0.35 + 0.095 * len(word) for word in words])
    left = np.concatenate([[0], np.cumsum(widths)])
    figure, ax = _sheet(left[-1] + 2.2, 0.55 * len(centres) + 0.1)
    for row, centre in enumerate(centres):
        y = 0.55 * (len(centres) - 1 - row) + 0.1
        pairs = 0
        for i, word in enumerate(words):
            near = 0 < abs(i - centre) <= reach
            pairs += near
            face = "#F0C77A" if i == centre else "#BFDDF0" if near else "white"
            _box(ax, left[i] + 0.03, y, widths[i] - 0.06, 0.4, word, face)
        ax.text(left[-1] + 0.15, y + 0.2, f"{pairs} pairs with {words[centre]!r}", va="center", size=10)
    title = f"Centre (yellow) and context (blue), up to {reach} words away: the window stops where the sentence stops"
    return _finish(figure, title)


def ranking(frame: pd.DataFrame, metric: str = "spam F1") -> Figure:
    """The scoreboard's table, best method on top: mean and interval, and beside it how many parameters were trained for it."""
    figure, axes = _canvas(9.5, 1.5 + 0.33 * len(frame), ncols=2, sharey=True, width_ratios=[3, 1])
    (ax, sizes), trained = axes, frame["trainable parameters"].to_numpy()
    standin = (frame["data"] != "real").to_numpy()
    # Equal steps divide the distance from a perfect score: .90 to .95 is as far as .95 to .975, where methods crowd.
    ax.set_xscale(
        "function", functions=(lambda v: -np.log(np.maximum(1.004 - v, 1e-4)), lambda v: 1.004 - np.exp(-v))
    )
    ticks = np.array([0, 0.5, 0.8, 0.9, 0.95, 0.98, 1])
    least = ticks[ticks <= min(frame["mean"].min(), 0.9)].max()
    ax.set(xlim=(least - 0.15 * (1 - least), 1.0005), ylim=(len(frame) - 0.4, -0.6))
    ax.set_xticks(ticks[ticks >= least], [f"{tick:g}" for tick in ticks[ticks >= least]])
    ax.set_yticks(range(len(frame)), frame["method"])
    ax.hlines(range(len(frame)), frame["low"], frame["high"].clip(upper=1), color=GREY, linewidth=2)
    for i, mean in enumerate(frame["mean"]):
        ax.plot(mean, i, "o", color=INK, markersize=7, mfc="white" if standin[i] else INK)
    sizes.barh(range(len(frame)), np.maximum(trained, 1), 0.5, left=1, color=GREY)
    for i, size in enumerate(trained):
        sizes.annotate(f" {size:,}" if size else " none", (max(size, 1), i), va="center", size=9)
    sizes.set(xscale="log", xlim=(1, max(trained.max(), 10) ** 1.6))
    sizes.set_xticks([])
    sizes.minorticks_off()
    for part in axes:
        part.tick_params(axis="y", length=0)
    ax.grid(axis="both")
    note = "bars: 95 % interval over seeds" + ("; hollow: stand-in data" if standin.any() else "")
    ax.set_xlabel(f"mean {metric} (stretched towards 1)\n{note}")
    sizes.set_xlabel("trained parameters\n(logarithmic)")
    sizes.spines["bottom"].set_visible(False)
    best = frame.loc[frame["mean"].idxmax()]
    size = f"{best['trainable parameters']:,} trained parameters"
    return _finish(figure, f"Best so far: {best['method']}, {metric} {best['mean']:.3f} with {size}", frame)


def label_points(ax: Axes, x: Any, y: Any, texts: Sequence[str]) -> None:
    """Write a label beside each point, so that it covers no other label and no point.

    Call it last, with the limits set: it fixes the layout.
    """
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    frame = ax.get_window_extent().padded(-5)
    points = ax.transData.transform(np.column_stack([x, y]))
    taken = [Bbox.from_extents(*(point - 8), *(point + 8)) for point in points]
    heights = sorted((13 * step for step in range(-8, 9)), key=abs)
    for i in np.argsort(y)[::-1]:
        for dx, dy in ((dx, dy) for dy in heights for dx in (10, -10)):
            line = {"arrowstyle": "-", "color": GREY, "linewidth": 0.7, "shrinkB": 5} if dy else None
            style: Style = {
                "textcoords": "offset points",
                "size": 9,
                "va": "center",
                "ha": "left" if dx > 0 else "right",
            }
            note = ax.annotate(texts[i], (x[i], y[i]), (dx, dy), arrowprops=line, **style)
            note.get_window_extent()  # puts the text in its place
            box = Text.get_window_extent(note)  # without the line to the point
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
            if inside and not any(box.overlaps(other) for j, other in enumerate(taken) if j != i):
                break
            note.remove()
        else:
            ax.annotate(texts[i], (x[i], y[i]), (10, 0), **(style | {"ha": "left"}))
        taken.append(box)


# Drawn figures: one unit is one inch and text has fixed sizes, so that it fits its box whatever the style says.


def _sheet(width: float, height: float) -> tuple[Figure, Axes]:
    figure, ax = _canvas(width, height)
    ax.set(xlim=(0, width), ylim=(0, height))
    ax.axis("off")
    return figure, ax


def _box(
    ax: Axes, x: float, y: float, w: float, h: float, text: str = "", face: str = "white", **style: Any
) -> None:
    size = style.pop("size", 9)
    style = {"facecolor": face, "edgecolor": GREY} | style
    ax.add_patch(FancyBboxPatch((x, y), w, h, "round,pad=0,rounding_size=0.07", **style))
    ax.text(x + w / 2, y + h / 2, text, ha="center", va="center", size=size, linespacing=1.35)


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], colour: str = GREY) -> None:
    ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": colour, "shrinkA": 1, "shrinkB": 1})


def _lock(ax: Axes, x: float, y: float) -> None:
    ax.add_patch(Arc((x, y + 0.13), 0.15, 0.22, theta1=0, theta2=180, color=INK, linewidth=2))
    ax.add_patch(Rectangle((x - 0.12, y - 0.06), 0.24, 0.19, color=INK))


def ulmfit_diagram() -> Figure:
    """ULMFiT's three stages as stacks of boxes; what is green is new and begins with random numbers."""
    figure, ax = _sheet(9, 3.8)
    stages = {
        "Stage 1: learn English": ("guess the next word", "general text,\nno labels"),
        "Stage 2: learn the dialect": ("guess the next word", "messages,\nno labels"),
        "Stage 3: learn the trade": ("spam or ham?", "100 messages\nwith labels"),
    }
    for i, (name, (task, text)) in enumerate(stages.items()):
        left, top = 0.1 + 3.15 * i, f"{'head' if i == 2 else 'softmax'}: {task}"
        ax.text(left, 3.55, name, weight="bold", size=10.5)
        for j, label in enumerate([text, "word vectors", "LSTM layer 1", "LSTM layer 2", top]):
            new = j and (i == 0 or (i == 2 and j == 4))
            _box(
                ax, left, 0.05 + 0.69 * j, 2.4, 0.53, label, "#BFE6D8" if new else "#F2F2F2" if j else "white"
            )
            if i and j in (1, 2, 3):
                _arrow(ax, (left - 0.72, 0.31 + 0.69 * j), (left - 0.03, 0.31 + 0.69 * j))
    return _finish(figure, "Only the green parts begin with random numbers; all else is handed on")


def freeze_diagram(
    encoder_parameters: int,
    head_parameters: int,
    *,
    layers: int = 6,
    sizes: Sequence[int] = (384, 512, 2),
    name: str = "encoder",
) -> Figure:
    """The model as boxes: a frozen encoder under lock, a trained head; parameter counts are the caller's."""
    figure, ax = _sheet(9.6, 2.35)
    names = [
        "word\npieces",
        "embed-\ndings",
        *(f"layer\n{i}" if layers <= 6 else f"{i}" for i in range(1, layers + 1)),
    ]
    names += [f"{sizes[0]}\nnumbers", *(f"layer\n→ {size}" for size in sizes[1:])]
    starts = [0, 0.85, *np.linspace(1.7, 6.0, layers + 1), *np.linspace(6.0, 9.6, len(sizes) + 1)[1:]]
    for i, text in enumerate(names):
        x, gap = starts[i] + 0.05, 0.22 if layers <= 6 or i > layers + 1 else 0.14
        width = starts[i + 1] - starts[i] - gap
        frozen, trained = 0 < i < layers + 2, i > layers + 2
        style: Style = (
            {"face": "#BFE6D8", "edgecolor": COLOURS["frozen"], "linewidth": 2.5} if trained else {}
        )
        _box(ax, x, 0.7, width, 1.1, text, **(style or {"face": PALE if frozen else "white"}))
        if i:
            _arrow(ax, (x - gap, 1.25), (x, 1.25))
        if frozen:
            _lock(ax, x + width / 2, 1.95)
    share = 100 * head_parameters / (head_parameters + encoder_parameters)
    style = {"ha": "center", "va": "top", "linespacing": 1.3}
    ax.text(3.4, 0.52, f"{name}: frozen\n{encoder_parameters:,} parameters", size=10, **style)
    ax.text(8.3, 0.52, f"head: trained\n{head_parameters:,} parameters", size=10, weight="bold", **style)
    return _finish(
        figure, f"Only {share:.1f} % of the parameters are trained: the encoder is locked, the head learns"
    )


def bilm_diagram(words: Sequence[str] = ("The", "stick", "broke")) -> Figure:
    """ELMo from the bottom up: letters, the character encoder, two LSTM layers each way, and a task's sum of three layers."""
    width, right = 2.5, 2.5 * len(words)
    figure, ax = _sheet(right + 2.75, 5.55)
    readers: tuple[tuple[str, float, float, str, Style], ...] = (
        ("forwards", 0.05, 0.47, "ham", {"face": "#DCEBF5", "edgecolor": COLOURS["ham"]}),
        ("backwards", 1.2, 0.0, "spam", {"face": "#FBE3D3", "edgecolor": COLOURS["spam"]}),
    )
    for i, word in enumerate(words):
        left, middle = i * width, i * width + 1.12
        _box(ax, left + 0.2, 0.05, 1.85, 0.4, " ".join(word), size=11)
        _box(ax, left + 0.2, 0.72, 1.85, 0.66, "filters of 1 to 5 letters,\nmaximum over places", size=9)
        _box(ax, left + 0.2, 1.65, 1.85, 0.4, "highway, projection", size=9)
        _box(ax, left + 0.2, 2.3, 1.85, 0.4, "the word's vector", face=PALE, size=9.5)
        for low, high in ((0.45, 0.72), (1.38, 1.65), (2.05, 2.3)):
            _arrow(ax, (middle, low), (middle, high))
        for layer in (1, 2):
            y = 1.9 + 1.2 * layer
            for name, x, up, kind, style in readers:
                _box(ax, left + x, y + up, 1.0, 0.4, f"{name} {layer}", size=9, **style)
                below = (left + x + 0.5, y - 0.8 + up) if layer > 1 else (middle, 2.7)
                _arrow(ax, below, (left + x + 0.5, y + up))
                if i:  # each state goes on to its neighbour, one way only
                    ends = (left + x + 1 - width, y + up + 0.2), (left + x, y + up + 0.2)
                    _arrow(ax, *(ends if up else ends[::-1]), COLOURS[kind])
    for layer, y in enumerate((2.5, 3.53, 4.73)):
        ax.text(right, y, f"layer {layer}   $\\times\\, s_{layer}$", va="center", size=11)
        _arrow(ax, (right + 1.2, y), (right + 1.65, 3.6 + 0.28 * (layer - 1)))
    style = {"face": "#BFE6D8", "edgecolor": COLOURS["frozen"], "linewidth": 2}
    _box(ax, right + 1.65, 3.1, 1.05, 1.0, "sum × γ:\nELMo", size=11, **style)
    ax.text(0.05, 5.35, "what comes next?  ▸", color=COLOURS["ham"], size=11, va="center")
    ax.text(
        right - 0.3, 5.35, "◂  what came before?", color=COLOURS["spam"], size=11, ha="right", va="center"
    )
    return _finish(
        figure, "Letters make a word's vector; then one reads from the left, one from the right, each alone"
    )


def input_transformations() -> Figure:
    """The inputs of four tasks as rows of boxes, after figure 1 of Radford et al. (2018)."""
    tasks: dict[str, tuple[list[str], str]] = {
        "classification": (["text"], "a linear layer"),
        "entailment": (["premise / hypothesis"], "a linear layer"),
        "similarity": (["text 1 / text 2", "text 2 / text 1"], "both states added, then a linear layer"),
        "multiple choice": (["context / answer 1", "context / answer 2"], "a score for each, then softmax"),
    }
    figure, ax = _sheet(11.2, 3.65)
    y = 3.1
    for task, (rows, head) in tasks.items():
        middle = y + 0.2 - 0.27 * (len(rows) - 1)
        ax.text(1.55, middle, task, ha="right", va="center", size=10, weight="bold")
        for row in rows:
            parts, x = ["start", *row.replace(" / ", "|delimiter|").split("|"), "extract"], 1.7
            for part in parts:
                special = part in ("start", "delimiter", "extract")
                face = "#F0C77A" if part == "extract" else PALE if special else "white"
                _box(ax, x, y, 0.85 if special else 1.4, 0.4, part, face)
                x += 0.93 if special else 1.48
            _arrow(ax, (x - 0.05, y + 0.2), (x + 0.4, y + 0.2))
            y -= 0.54
        ax.text(x + 0.5, middle, head, va="center", size=10)
        y -= 0.1
    return _finish(figure, "Every task becomes one line of tokens, and the state at “extract” answers")


def taxonomy() -> Figure:
    """Four kinds of transfer learning in NLP, by what stays the same and where the labels are."""
    figure, ax = _sheet(10.6, 5.3)
    _box(ax, 3.7, 4.7, 3.2, 0.5, "Transfer learning in NLP", size=12, face=PALE)
    blue = {"edgecolor": COLOURS["ham"], "face": "#DCEBF5"}
    green = {"edgecolor": COLOURS["frozen"], "face": "#D9F0E8"}
    leaves = (
        ("Domain adaptation", "another kind of text", "learn from product reviews,\njudge film reviews"),
        ("Cross-lingual", "another language", "learn from English news,\nsort Swahili news"),
        ("Multi-task", "tasks learned at once", "one encoder tags words\nand finds names together"),
        ("Sequential", "one task after another", "first guess hidden words,\nthen find spam"),
    )
    at: Style = {"ha": "center", "va": "center"}
    branches = (
        (0.1, "Transductive: the same task", "labels in the source domain only", blue),
        (5.4, "Inductive: another task", "labels in the target domain", green),
    )
    for b, (left, name, gloss, style) in enumerate(branches):
        _arrow(ax, (5.3, 4.7), (left + 2.55, 4.1))
        _box(ax, left, 3.2, 5.1, 0.9, f"{name}\n{gloss}", size=11, linewidth=1.5, **style)
        for i, (leaf, short, example) in enumerate(leaves[2 * b : 2 * b + 2]):
            x, here = left + 2.6 * i, leaf == "Sequential"
            _arrow(ax, (left + 2.55, 3.2), (x + 1.25, 2.6))
            _box(ax, x, 0.75, 2.5, 1.85, **(style | ({"linewidth": 3} if here else {"face": "white"})))
            ax.text(x + 1.25, 2.32, leaf, size=11.5, weight="bold", **at)
            ax.text(x + 1.25, 1.96, short, size=9.5, **at)
            ax.text(
                x + 1.25, 1.27, f"for example:\n{example}", size=9, style="italic", linespacing=1.45, **at
            )
    ax.text(10.5, 0.52, "▲ most of this course", ha="right", va="center", size=10, weight="bold")
    ax.text(0.1, 0.1, "after Pan and Yang (2010) and Ruder (2019)", size=9, color=GREY)
    return _finish(figure, "What stays the same, and where are the labels? Four ways to transfer")


def course_map(lectures: Mapping[str, Sequence[str]] | None = None, done: Iterable[str] = ()) -> Figure:
    """The lectures in their groups, left to right; ``done`` names those finished by number ("00", "10")."""
    lectures, done = lectures or LECTURES, {str(number)[:2] for number in done}
    rows, width = max(len(group) for group in lectures.values()), 1.82
    figure, ax = _sheet(width * len(lectures), 0.75 * rows + 0.4)
    top = 0.75 * rows - 0.02
    for i, (group, entries) in enumerate(lectures.items()):
        ax.text(i * width + 0.08, top + 0.2, group, size=11, weight="bold")
        if i:
            _arrow(ax, (i * width - 0.22, top - 0.32), (i * width + 0.08, top - 0.32))
        for j, entry in enumerate(entries):
            number, title = entry.split(maxsplit=1)
            text = f"{number}{' ✓' if number in done else ''}\n{textwrap.fill(title, 20, break_on_hyphens=False)}"
            style: Style = {"face": "#BFE6D8", "edgecolor": COLOURS["frozen"], "linewidth": 2}
            style = style if number in done else {}
            _box(ax, i * width + 0.08, top - 0.65 - 0.75 * j, width - 0.3, 0.65, text, size=8.5, **style)
    total = sum(len(group) for group in lectures.values())
    title = f"{total} lectures in {len(lectures)} groups: from single words to models that serve"
    return _finish(figure, f"{len(done)} of {total} lectures are here (✓)" if done else title)


def scoreboard(frame: pd.DataFrame) -> Figure:
    """The scoreboard as a picture, from :func:`course_utils.results.scoreboard`; see :func:`ranking`.

    Raises:
        ValueError: if the table is empty.
    """
    if frame.empty:
        raise ValueError("The scoreboard is empty: run lecture 10, which adds the first rows.")
    return ranking(frame)
