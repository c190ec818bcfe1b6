"""Has what arrives changed? Drift of scores with an alarm whose false-alarm rate is stated, and the words that drifted."""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

Distance = Callable[[np.ndarray, np.ndarray], float]


def largest_gap(before: np.ndarray, now: np.ndarray) -> float:
    """The largest gap between the shares of two samples, (n,) and (m,), that lie below a value; 0 to 1.

    The statistic of Kolmogorov and Smirnov: whatever the scores are, it sees where and how they moved.
    """
    places = np.concatenate([before, now])
    shares = [
        np.searchsorted(np.sort(sample), places, side="right") / len(sample) for sample in (before, now)
    ]
    return float(np.abs(shares[0] - shares[1]).max())


def stability_index(before: np.ndarray, now: np.ndarray, bins: int = 10) -> float:
    """The *population stability index* of two samples, (n,) and (m,): the sum over bins of (q - p) log(q / p).

    The bins hold equal shares of ``before``; half a case is added to each, so that none is empty.
    """
    edges = np.quantile(before, np.linspace(0, 1, bins + 1)[1:-1])
    counts = [np.bincount(np.searchsorted(edges, sample), minlength=bins) + 0.5 for sample in (before, now)]
    p, q = (count / count.sum() for count in counts)
    return float(((q - p) * np.log(q / p)).sum())


def alarm_bound(
    before: np.ndarray, size: int, *, false_alarms: float = 0.01, distance: Distance = largest_gap, draws: int = 1000, seed: int = 0
) -> float:  # fmt: skip
    """The distance beyond which ``size`` new scores are an alarm.

    Windows of that size are drawn from the scores ``before`` themselves and compared with the rest: where nothing has changed,
    so far apart they come in one case of 1 / ``false_alarms`` (a permutation test; Good 2005, chapter 3).

    Args:
        before: scores (n,) of a time when all was well, none of which the filter has learned from.
        size: how many new scores are compared with them, fewer than n.
        false_alarms: the share of windows that may raise an alarm although nothing has changed.
        distance: from scores before and now to a number.
        draws: how many windows are drawn; 1 / ``false_alarms`` at the very least.
        seed: of the draws.

    Raises:
        ValueError: if there are too few scores or draws.
    """
    if not 0 < size < len(before):
        raise ValueError(
            f"A window of {size} scores has to be smaller than the {len(before)} scores before it."
        )
    if draws * false_alarms < 1:
        raise ValueError(f"{draws} draws do not show what happens once in {1 / false_alarms:.0f}: take more.")
    random = np.random.default_rng(seed)
    mixed = (random.permutation(before) for _ in range(draws))
    apart = [distance(scores[size:], scores[:size]) for scores in mixed]
    return float(np.quantile(apart, 1 - false_alarms, method="higher"))


def word_drift(before: Sequence[Sequence[str]], now: Sequence[Sequence[str]]) -> pd.DataFrame:
    """Which words became more common, the most surprising first.

    Log-odds with a prior that both samples share, over their standard deviation (Monroe, Colaresi & Quinn 2008, section 3.4): a
    word that occurs once on one side does not lead the list.

    Args:
        before, now: the words of texts; a word counts once a text, or a single chatty text would drift alone.

    Returns:
        A row for each word: ``word``, ``z`` (above 0: more common now), ``before`` and ``now`` (texts that have it).
    """
    counts = [Counter(word for text in texts for word in set(text)) for texts in (before, now)]
    words = sorted(counts[0] | counts[1])
    old, new = (np.array([count[word] for word in words], dtype=float) for count in counts)
    prior = (old + new) / max((old + new).sum(), 1) * len(words)  # one imagined word each, on average
    odds = [(one + prior) / (one.sum() + prior.sum() - one - prior) for one in (old, new)]
    z = (np.log(odds[1]) - np.log(odds[0])) / np.sqrt(1 / (old + prior) + 1 / (new + prior))
    frame = pd.DataFrame({"word": words, "z": z, "before": old.astype(int), "now": new.astype(int)})
    return frame.sort_values(["z", "word"], ascending=[False, True], ignore_index=True)
