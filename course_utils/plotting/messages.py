"""What a filter is given, and what it makes of it: classes, lengths, padding, errors, thresholds."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, NullLocator, StrMethodFormatter

from course_utils.plotting.style import COLOURS, GREY, INK, Style, canvas, finish, look, percent, plain


def class_balance(labels: Any, names: Sequence[str] = ("ham", "spam"), *, real: bool = True) -> Figure:
    """How many messages each class has: labels are 0 .. k-1, one name a class."""
    counts = np.bincount(np.asarray(labels), minlength=len(names))
    shares = [percent(share) for share in counts / counts.sum()]
    figure, ax = canvas(7.5, 0.9 + 0.65 * len(names))
    for i, name in enumerate(names):
        colour, hatch, _ = look(name, i)
        ax.barh(i, counts[i], color=colour, hatch=hatch, edgecolor="white")
        ax.annotate(f" {counts[i]:,}  ({shares[i]})", (counts[i], i), va="center")
    ax.set_yticks(range(len(names)), map(plain, names))
    ax.set(xlabel="messages", xlim=(0, counts.max() * 1.22))
    ax.invert_yaxis()
    rare, common = int(counts.argmin()), int(counts.argmax())
    title = f"{shares[rare]} of the messages are {names[rare]}: answering “{names[common]}” to everything is right"
    return finish(figure, f"{title} {shares[common]} of the time", labels, real=real)


def length_histogram(
    lengths: Mapping[str, Any], padding: int | None = None, *, unit: str = "tokens", real: bool = True
) -> Figure:
    """Lengths of the messages, one panel a class; ``padding`` marks the length at which they would be cut."""
    figure, axes = canvas(7.5, 1.2 + 1.5 * len(lengths), nrows=len(lengths), sharex=True, squeeze=False)
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
            cuts.append(f"{percent(float((values > padding).mean()))} of {name}")
            ax.axvline(padding + 0.5, color=INK, linestyle="--")
            text += f"\n{cuts[-1]} is longer than {padding}"
        ax.annotate(plain(text), (0.985, 0.95), xycoords="axes fraction", ha="right", va="top")
    axes[-1, 0].set_xlabel(plain(f"length of a message ({unit}; longer ones are counted in the last bar)"))
    title = f"Cutting at {padding} {unit} shortens {' and '.join(cuts)}"
    return finish(figure, title if padding else "How long is a message?", real=real)


def padding_picture(
    attention_mask: Any, tokens: Sequence[Sequence[str]] | None = None, *, real: bool = True
) -> Figure:
    """A batch as the model gets it: mask (B, T) of 0 and 1, and the tokens to write into its cells (small batches)."""
    mask = np.asarray(attention_mask).astype(bool)
    (rows, columns), written = mask.shape, tokens is not None
    longest = max(3, *(len(word) for row in tokens or [[""]] for word in row))
    width = columns * (0.115 * longest if written else min(0.3, 8 / columns))
    figure, ax = canvas(max(5.5, width + 1), max(2.3, rows * (0.36 if written or rows <= 12 else 0.15) + 1.2))
    for i, j in np.ndindex(mask.shape):
        word, kept = tokens[i][j] if tokens is not None else "", bool(mask[i, j])
        face = "white" if not kept else "#F0C77A" if word.startswith("[") else "#BFDDF0"
        hatch = "" if kept else "////"
        ax.add_patch(Rectangle((j, i), 1, 1, facecolor=face, edgecolor="#B5B5B5", linewidth=0.8, hatch=hatch))
        back = None if kept else {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
        style: Style = {"size": 8.5, "color": INK if kept else GREY, "bbox": back}
        ax.text(j + 0.5, i + 0.53, plain(word), ha="center", va="center", **style)
    ax.set(xlim=(0, columns), ylim=(rows, 0), xlabel="position (token)", ylabel="message")
    for axis, count in ((ax.xaxis, columns), (ax.yaxis, rows)):
        shown = np.arange(0, count, 1 if count <= 12 else 5)
        axis.set_ticks(shown + 0.5, [str(number) for number in shown])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    title = f"{percent(1 - mask.mean())} of this batch is padding (hatched): attention mask 0, the model looks away"
    return finish(figure, title, real=real)


def confusion(matrix: Any, names: Sequence[str] = ("ham", "spam"), *, real: bool = True) -> Figure:
    """A confusion matrix (k, k) of counts: rows are the truth, columns the answer."""
    import seaborn as sns

    matrix = np.asarray(matrix)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    ticks = [plain(name) for name in names]
    notes = [
        [f"{count:,}\n{percent(share)} of {name}" for count, share in zip(counts, row, strict=True)]
        for name, counts, row in zip(ticks, matrix, shares, strict=True)
    ]
    title = f"{np.trace(matrix):,} of {matrix.sum():,} messages are sorted correctly"
    if matrix.shape == (2, 2):
        notes[0][1] += "\nwrongly blocked"
        notes[1][0] += "\nmissed"
        title = f"{matrix[0, 1]:,} {names[0]} wrongly blocked and {matrix[1, 0]:,} {names[1]} missed, out of {matrix.sum():,}"
    figure, ax = canvas(2.4 + 1.75 * len(names), 1.6 + 1.1 * len(names))
    style: Style = {"cmap": "Blues", "vmin": 0, "vmax": 1, "cbar": False, "linewidths": 3}
    sns.heatmap(shares, annot=np.array(notes), fmt="", ax=ax, xticklabels=ticks, yticklabels=ticks, **style)
    ax.set(xlabel="the model says", ylabel="the message is")
    ax.tick_params(length=0)
    ax.tick_params(axis="y", rotation=0)
    return finish(figure, title, real=real)


def precision_recall(labels: Any, scores: Any, threshold: float, *, real: bool = True) -> Figure:
    """Precision against recall over all thresholds, one of them marked: labels 0/1 and spam probabilities, both (n,)."""
    from sklearn.metrics import precision_recall_curve

    truth, values = np.asarray(labels), np.asarray(scores)
    precision, recall, _ = precision_recall_curve(truth, values)
    figure, ax = canvas(6.8, 4.8)
    ax.step(recall, precision, where="post", color=COLOURS["spam"], linewidth=2)
    ax.axhline(truth.mean(), color=GREY, linestyle=":")
    ax.text(0.01, truth.mean() + 0.02, f"blocking at random: precision {truth.mean():.2f}", color=GREY)
    blocked = values >= threshold
    hits = int(truth[blocked].sum())
    x, y = hits / truth.sum(), hits / max(int(blocked.sum()), 1)
    ax.plot(x, y, "o", markersize=10, color=INK, markeredgecolor="white", zorder=3)
    text = f"threshold {threshold:.2f}\nprecision {y:.2f}\nrecall {x:.2f}"
    # A good filter's curve leaves room below it, a poor one's above.
    at = (max(x - 0.12, 0.3), max(y - 0.15, 0.5)) if y > 0.6 else (min(x + 0.08, 0.7), y + 0.25)
    side = {"ha": "right", "va": "top"} if y > 0.6 else {"ha": "left", "va": "bottom"}
    ax.annotate(text, (x, y), at, arrowprops={"arrowstyle": "-", "color": GREY}, **side)
    title = f"At threshold {threshold:.2f} the filter finds {percent(x)} of the spam; {percent(y)} of the blocked is spam"
    ax.set(xlim=(0, 1.02), ylim=(0, 1.04), xlabel="recall (share of the spam that is found)")
    ax.set_ylabel("precision (spam among the blocked)")
    return finish(figure, title, labels, real=real)


def threshold_figure(labels: Any, scores: Any, threshold: float = 0.5, *, real: bool = True) -> Figure:
    """Spam probability by class; what lies on the wrong side of the threshold is an error, hatched and counted."""
    truth, values = np.asarray(labels), np.asarray(scores)
    figure, axes = canvas(7.5, 4.5, nrows=2, sharex=True)
    edges = np.union1d(np.linspace(0, 1, 41), [threshold])  # no bar lies on both sides
    blocked, errors = values >= threshold, []
    for i, (name, word) in enumerate((("ham", "wrongly blocked"), ("spam", "missed"))):
        ax = axes[i]
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
    return finish(figure, title, labels, real=real)


def verdicts(
    messages: Sequence[str], probabilities: Sequence[float], *, threshold: float = 0.5, real: bool = True
) -> Figure:
    """What the model says about a few messages: a bar of its spam probability beside each text."""
    figure, ax = canvas(8.5, 1.1 + 0.62 * len(messages))
    for i, probability in enumerate(probabilities):
        name = "spam" if probability >= threshold else "ham"
        colour, hatch, _ = look(name)
        ax.barh(i, probability, color=colour, hatch=hatch, edgecolor="white", height=0.6)
        ax.annotate(f"{name} ({probability:.2f})", (1.04, i), va="center")
    ax.axvline(threshold, color=INK, linestyle="--", linewidth=1)
    ax.set(xticks=np.linspace(0, 1, 5), xlim=(0, 1.28), xlabel="spam probability (dashed: the threshold)")
    texts = [textwrap.fill(textwrap.shorten(message, 90, placeholder=" …"), 45) for message in messages]
    ax.set_yticks(range(len(texts)), map(plain, texts), size=9)
    ax.invert_yaxis()
    caught = sum(probability >= threshold for probability in probabilities)
    return finish(figure, f"The model calls {caught} of these {len(messages)} messages spam", real=real)
