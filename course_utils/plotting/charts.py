"""Charts of any numbers: lines, bars, cells, dots with intervals, points with names."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

from course_utils.plotting.style import COLOURS, GREY, INK, Style, canvas, finish, look, plain
from course_utils.results import TASKS

STRETCHED = 0.9  # the scoreboard stretches its axis towards 1 where methods come so far


def learning_curves(history: Any, *, real: bool = True) -> Figure:
    """Loss by epoch; ``history`` has the lists ``train_loss`` and ``validation_loss``. The lowest one is marked."""
    losses = {"training": history.train_loss, "validation": history.validation_loss}
    frame = pd.DataFrame(losses, index=range(1, len(history.train_loss) + 1))
    best, lowest = frame["validation"].idxmin(), frame["validation"].min()
    advice = "the last one, more epochs might still help" if best == len(frame) else "keep those weights"
    title = f"Validation loss is lowest ({lowest:.3f}) after epoch {best}: {advice}"
    figure = lines(frame, title, "epoch", "loss (mean over examples)", real=real)
    (ax,) = figure.axes
    ax.axvline(best, color=GREY, linestyle=":", zorder=0)
    ax.plot(best, lowest, "*", color=COLOURS["spam"], markersize=16, mec="white", zorder=3)
    ax.text(best, 0.98, " lowest", transform=ax.get_xaxis_transform(), va="top", color=COLOURS["spam"])
    ax.margins(x=0.1, y=0.2)
    ax.set_xticks(frame.index[:: 1 + len(frame) // 20])
    return figure


def intervals(
    frame: pd.DataFrame, metric: str = "spam F1", title: str = "", *, real: bool = True,
    kept: pd.DataFrame | None = None,
) -> Figure:  # fmt: skip
    """A dot with its 95 % interval for every row, best on top, and a stroke for every run: a seed, a split or a draw.

    Two runs alone get no interval: it would be six times as wide as their distance, and all that the axis shows.

    Args:
        frame: columns ``name`` (or ``method``), ``mean``, ``low``, ``high``; optionally ``scores`` (a list, one a run)
            and ``kind`` ("baseline", "frozen" or "fine-tuned").
        metric, title: what was measured, for the axis; and the finding, by default who leads.
        real: whether the numbers come from real data; ``frame.attrs["real"]`` counts too.
        kept: the same methods on real data (``results.kept``), for a second panel where those of ``frame`` are not real; it
            decides the order, for it is what readers should take away.
    """
    real = real and frame.attrs.get("real", True)
    panels = {"": frame} if real or kept is None else {"stand-in data": frame, "real data": kept}
    panels = {
        head: rows.rename(columns={"method": "name"}).set_index("name") for head, rows in panels.items()
    }
    order = list(panels.values())[-1].sort_values("mean", ascending=False).index
    largest = max(rows["mean"].abs().max() for rows in panels.values())
    digits = 3 if largest <= 1 else 1  # percent needs no more
    wide, high = 8 + 3 * (len(panels) - 1), 1.2 + 0.45 * len(order)
    figure, axes = canvas(wide, high, ncols=len(panels), sharex=True, sharey=True, squeeze=False)
    key = "dot: mean; bar: 95 % interval" + ("; strokes: single runs" if "scores" in frame else "")
    for ax, (head, rows) in zip(axes[0], panels.items(), strict=True):
        for place, name in enumerate(order):
            if name in rows.index:
                _interval(ax, place, rows.loc[name], digits)
        ax.set_xlabel(plain(f"{metric}\n({key})" if head else f"{metric} ({key})"), size=9 if head else None)
        ax.set_title(head, loc="left", size=10)
        ax.xaxis.set_major_locator(MaxNLocator(5))
        ax.grid(axis="y")
        ax.tick_params(axis="y", length=0)
    axes[0, 0].set(yticks=range(len(order)), yticklabels=map(plain, order), ylim=(len(order) - 0.4, -0.6))
    return finish(figure, title or f"Best on average: {order[0]}", real=real or kept is not None)


def _interval(ax: Axes, place: int, row: pd.Series, digits: int) -> None:
    colour, _, marker = look(row.get("kind", "frozen"), 2)
    strokes = list(row.get("scores", []))
    if len(strokes) not in (1, 2):
        ax.plot([row["low"], row["high"]], [place, place], color=colour, linewidth=2.5, solid_capstyle="butt")
    ax.plot(strokes, [place + 0.24] * len(strokes), "|", color=INK, markersize=7, alpha=0.7)
    ax.plot(row["mean"], place, marker, color=colour, markersize=9, markeredgecolor="white")
    ax.annotate(f"{row['mean']:.{digits}f}", (1.02, place), xycoords=("axes fraction", "data"), va="center")


def lines(
    frame: pd.DataFrame, title: str, xlabel: str, ylabel: str, *,
    xscale: str = "linear", yscale: str = "linear", real: bool = True,
    spread: Mapping[str, Mapping[float, tuple[float, float]]] | None = None,
    limits: tuple[float, float] | None = None,
) -> Figure:  # fmt: skip
    """One line for every column over the frame's index, each named at its end.

    ``limits`` are the ends of the vertical axis, by default what fits. ``spread`` has, by column and place, the two ends of an
    interval, drawn as a bar; those of a place stand side by side.
    """
    figure, ax = canvas(7.5, 4)
    ends, width = [], np.ptp(np.asarray(frame.index, dtype=float)) if spread else 0.0
    for i, (name, values) in enumerate(frame.items()):
        values = values.dropna()
        colour, _, marker = look(str(name), i)
        points = marker if len(values) <= 30 else None
        for place, (low, high) in (spread or {}).get(str(name), {}).items():
            beside = place * (0.96 + 0.04 * i) if xscale == "log" else place + 0.006 * (i - 1) * width
            ax.vlines(beside, low, high, color=colour, alpha=0.5, linewidth=2)
        ax.plot(values.index, values, color=colour, marker=points, markersize=5, label=plain(name))
        ends.append((values.index[-1], values.iloc[-1], plain(name), colour))
    ax.set(xlabel=plain(xlabel), ylabel=plain(ylabel), xscale=xscale, yscale=yscale)
    ax.set_ylim(limits)
    if xscale == "log" and len(frame) <= 10:  # a few powers are read more easily by themselves
        places = np.log(np.asarray(frame.index, dtype=float))
        ticks = frame.index[np.diff(places, prepend=-np.inf) > 0.04 * np.ptp(places)]  # none over another
        ax.set_xticks(ticks, [f"{x:g}" for x in ticks])
        ax.minorticks_off()
    ax.grid(axis="y")
    if len(ends) > 1:
        # Names stand outside, clear of all that is drawn: from the highest end down, a line's height between them.
        figure.draw_without_rendering()
        lowest, coords = np.inf, ("axes fraction", "offset points")
        for x, y, name, colour in sorted(ends, key=lambda end: -end[1]):
            at = ax.transData.transform((x, y))[1]
            lowest = min(at, lowest - 15 * figure.dpi / 72)
            leader = {"arrowstyle": "-", "linestyle": ":", "color": colour} if x != frame.index[-1] else None
            place = (1.01, (lowest - at) * 72 / figure.dpi)
            ax.annotate(name, (x, y), place, "data", coords, leader, va="center", color=colour)
    return finish(figure, title, frame, real=real)


def bars(frame: pd.DataFrame | pd.Series, title: str, xlabel: str, *, real: bool = True) -> Figure:
    """Horizontal bars, a row for each entry of the index; several columns stand side by side in each row."""
    frame = frame.to_frame() if isinstance(frame, pd.Series) else frame
    several = len(frame.columns) > 1  # the legend stands beside them
    figure, ax = canvas(9.5 if several else 7.5, 1.3 + 0.26 * len(frame) * (len(frame.columns) + 0.4))
    height = 0.8 / len(frame.columns)
    for i, (name, values) in enumerate(frame.items()):
        colour, hatch, _ = look(str(name), i) if len(frame.columns) > 1 else (COLOURS["frozen"], "", "")
        style: Style = {"color": colour, "edgecolor": "white", "hatch": hatch, "linewidth": 0}
        ax.barh(np.arange(len(frame)) + i * height, values, height, **style)
    middle = np.arange(len(frame)) + 0.4 - height / 2
    ax.set(yticks=middle, yticklabels=map(plain, frame.index), xlabel=plain(xlabel))
    ax.set_ylim(len(frame) - 0.1 - height / 2, -0.1 - height / 2)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    ax.axvline(0, color=GREY, linewidth=0.8)
    if len(frame.columns) > 1:
        ax.legend(ax.containers, map(plain, frame.columns), loc="upper left", bbox_to_anchor=(1, 1))
    return finish(figure, title, frame, real=real)


def heatmap(
    frame: pd.DataFrame, title: str, label: str, *, numbers: bool = True, limit: float = 0, real: bool = True
) -> Figure:
    """A matrix as coloured cells: white at 0, red above, blue below; with ``numbers``, each cell says its value.

    ``label`` says what the colours measure; beyond ``limit`` they stay the same (0: the largest value there is).
    """
    values = frame.to_numpy(dtype=float)
    limit = limit or float(np.nanmax(np.abs(values))) or 1.0
    rows, columns = values.shape
    wide = 0.62 if numbers else max(0.09, min(0.62, 7 / columns))
    longest = max(len(str(name)) for name in frame.index)
    height = 1.5 + (0.4 if numbers else 0.34) * rows
    figure, ax = canvas(min(11, 1.9 + 0.09 * longest + wide * columns), height)
    colours, least = ("RdBu_r", -limit) if np.nanmin(values) < 0 else ("Reds", 0)
    image = ax.imshow(values, cmap=colours, vmin=least, vmax=limit, aspect="auto")
    for i, j in np.ndindex(values.shape) if numbers else ():
        ink = "white" if abs(values[i, j]) > 0.6 * limit else INK
        ax.text(j, i, f"{values[i, j]:.2f}", ha="center", va="center", size=9, color=ink)
    ax.set_yticks(range(rows), map(plain, frame.index))
    shown = range(columns) if columns <= 20 else range(0, columns, 10)
    long = columns <= 20 and max(len(str(name)) for name in frame.columns) > 6
    slope: Style = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if long else {}
    ax.set_xticks(shown, [plain(frame.columns[j]) for j in shown], **slope)
    ax.set(xlabel=plain(frame.columns.name or ""), ylabel=plain(frame.index.name or ""))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    figure.colorbar(image, ax=ax, label=plain(label), shrink=0.9, pad=0.02).outline.set_visible(False)
    return finish(figure, title, frame, real=real)


def word_map(points: Any, groups: Mapping[str, Sequence[str]], title: str, *, real: bool = True) -> Figure:
    """Words at their places in two dimensions, (n, 2), in the order of the groups; each group has a colour and a marker."""
    points = np.asarray(points, dtype=float)
    figure, ax = canvas(8.5, 5.6)
    parts = np.split(points, np.cumsum([len(words) for words in groups.values()])[:-1])
    for i, (name, part) in enumerate(zip(groups, parts, strict=True)):
        colour, _, marker = look(name, i)
        style: Style = {"color": colour, "marker": marker, "edgecolor": "white", "linewidth": 0.4}
        ax.scatter(*part.T, s=40, **style)
    ax.set(xlabel="first direction (no unit)", ylabel="second direction (no unit)", xticks=[], yticks=[])
    ax.margins(0.12)
    ax.legend(ax.collections, map(plain, groups), loc="upper left", bbox_to_anchor=(1, 1), handletextpad=0.1)
    finish(figure, title, real=real)
    label_points(ax, points[:, 0], points[:, 1], [word for words in groups.values() for word in words])
    return figure


def scoreboard(frame: pd.DataFrame) -> Figure:
    """The table of :func:`course_utils.results.scoreboard`, a panel for each task: mean and interval of every method, the
    best on spam on top, and beside them how many parameters were trained.

    Raises:
        ValueError: if the table is empty.
    """
    if frame.empty:
        raise ValueError("The scoreboard is empty: run lecture 10, which adds the first rows.")
    lines_of = frame.groupby(["method", "data"], sort=False)  # a method on real and on stand-in data has two
    frame = frame.assign(place=lines_of.ngroup())
    order = [method for method, _ in lines_of.groups]
    tasks = dict(list(frame.groupby("task", sort=False)))
    widths = [3] * len(tasks) + [1]
    figure, axes = canvas(
        3 + 2 * sum(widths), 1.5 + 0.33 * len(order), ncols=len(widths), sharey=True, width_ratios=widths
    )
    leaders = []
    for ax, (task, rows) in zip(axes, tasks.items(), strict=False):
        _ranking(ax, rows)
        metric = TASKS[task]
        note = "bars: 95 % interval over seeds" + (
            "; hollow: stand-in data" if (rows.data != "real").any() else ""
        )
        scale = " (stretched towards 1)" if rows["mean"].max() >= STRETCHED else ""
        ax.set_xlabel(f"mean {metric}{scale}\n{note}")
        best = rows.loc[rows["mean"].idxmax()]
        size = f"{best['trainable parameters']:,} trained parameters"
        leaders.append(f"{best['method']}, {metric} {best['mean']:.3f} with {size}")
    axes[0].set(ylim=(len(order) - 0.4, -0.6))
    axes[0].set_yticks(range(len(order)), map(plain, order))
    sizes, trained = axes[-1], lines_of["trainable parameters"].first()
    sizes.barh(range(len(order)), np.maximum(trained, 1), 0.5, left=1, color=GREY)
    for i, size in enumerate(trained):
        sizes.annotate(f" {size:,}" if size else " none", (max(size, 1), i), va="center", size=9)
    sizes.set(
        xscale="log", xlim=(1, max(trained.max(), 10) ** 1.6), xlabel="trained parameters\n(logarithmic)"
    )
    sizes.set_xticks([])
    sizes.minorticks_off()
    sizes.spines["bottom"].set_visible(False)
    for part in axes:
        part.tick_params(axis="y", length=0)
    return finish(figure, f"Best so far: {'; '.join(leaders)}", frame)


def _ranking(ax: Axes, rows: pd.DataFrame) -> None:
    """Methods with ``mean``, ``low``, ``high`` and ``data``, each at its ``place``."""
    sure = rows[rows["seeds"] > 2]  # of two seeds, an interval says nothing
    ax.hlines(sure["place"], sure["low"], sure["high"].clip(upper=1), color=GREY, linewidth=2)
    for place, mean, data in rows[["place", "mean", "data"]].itertuples(index=False):
        ax.plot(mean, place, "o", color=INK, markersize=7, mfc=INK if data == "real" else "white")
    ax.grid(axis="both")
    if rows["mean"].max() < STRETCHED:
        return
    # Equal steps divide the distance from a perfect score: .90 to .95 is as far as .95 to .975, where methods crowd.
    stretch = (lambda v: -np.log(np.maximum(1.004 - v, 1e-4)), lambda v: 1.004 - np.exp(-v))
    ax.set_xscale("function", functions=stretch)
    ticks = np.array([0, 0.5, 0.8, 0.9, 0.95, 0.98, 1])
    ticks = ticks[ticks >= ticks[ticks <= min(rows["mean"].min(), 0.9)].max()]
    ax.set(xlim=(ticks[0] - 0.15 * (1 - ticks[0]), 1.0005))
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])


def label_points(ax: Axes, x: Any, y: Any, texts: Sequence[str]) -> None:
    """Labels beside points, none over another. Call it last, with the limits set: it fixes the layout."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    frame = ax.get_window_extent().padded(-5)
    points = ax.transData.transform(np.column_stack([x, y]))
    taken = [Bbox.from_extents(*(point - 8), *(point + 8)) for point in points]
    heights = sorted((13 * step for step in range(-8, 9)), key=abs)
    style: Style = {"textcoords": "offset points", "size": 9, "va": "center"}
    for i in np.argsort(y)[::-1]:
        for dx, dy in ((dx, dy) for dy in heights for dx in (10, -10)):
            line = {"arrowstyle": "-", "color": GREY, "linewidth": 0.7, "shrinkB": 5} if dy else None
            style["ha"] = "left" if dx > 0 else "right"
            note = ax.annotate(plain(texts[i]), (x[i], y[i]), (dx, dy), arrowprops=line, **style)
            note.get_window_extent()  # puts the text in its place
            box = Text.get_window_extent(note)  # without the line to the point
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
            if inside and not any(box.overlaps(other) for j, other in enumerate(taken) if j != i):
                break
            note.remove()
        else:
            ax.annotate(plain(texts[i]), (x[i], y[i]), (10, 0), **(style | {"ha": "left"}))
        taken.append(box)
