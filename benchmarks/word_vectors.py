"""Word vectors from scratch: how fast, and how good, beside gensim and beside the textbook's way.

    python benchmarks/word_vectors.py                                      the 206 Wikipedia pages, a table
    python benchmarks/word_vectors.py --text gcide.dict.dz wn.dict.dz      another corpus: plain text, or packed by gzip
    python benchmarks/word_vectors.py --stream                             windows may cross sentences, as in text8
    python benchmarks/word_vectors.py --json                               one line of JSON

One run, the same text for all: words that occur five times or more, 100 dimensions, window 5, five negatives, the same number
of epochs, two threads where a method can use them. The order is reversed from seed to seed, ratios are taken within a seed.
Reading the text and building the vocabulary is not counted.

    gensim        gensim's Word2Vec (skip-gram), two workers
    textbook      models.word2vec.SkipGram on batches of pairs: embeddings, autograd, negatives for each pair, dense Adam
    ours          train_word2vec() with two threads, and with one (which can be repeated to the bit)
    dict loop     co-occurrences counted pair by pair in a dictionary
    sparse        models.glove.GloVe with sparse gradients and Adagrad on two threads
    mittens       the public package of that name (NumPy, the whole table at once), on the 5,000 most frequent words
    GloVe: ours   count_cooccurrences() and train_glove() with two threads, and with one

A slow method is timed on a part of the text (its speed does not depend on how much), and then has no score.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import gzip
import json
import os
import re
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("COURSE_PROFILE", "ci")

import numpy as np
import torch

from course_utils.datasets import load_analogies, load_corpus, load_similarities
from course_utils.models.glove import GloVe, count_cooccurrences
from course_utils.models.word2vec import (
    SkipGram,
    keep_probability,
    noise_distribution,
    skip_gram_pairs,
)
from course_utils.text import (
    EncodedText,
    Vocabulary,
    WordVectors,
    score_analogies,
    score_similarities,
    split_sentences,
    split_words,
)
from course_utils.training.word_vectors import train_glove, train_word2vec

DIMENSIONS, WINDOW, NEGATIVES = 100, 5, 5
GLOVE_X_MAX = 10.0  # for millions of words, not billions


def read(paths: list[Path]) -> list[list[str]]:
    """Sentences of text files; paragraphs are told apart by empty lines."""
    sentences = []
    for path in paths:
        opened = gzip.open if path.suffix in (".gz", ".dz") else open
        with opened(path, "rt", encoding="utf-8", errors="replace") as stream:
            for paragraph in re.split(r"\n\s*\n", stream.read()):
                sentences += [
                    words for s in split_sentences(" ".join(paragraph.split())) if (words := split_words(s))
                ]
    return sentences


class Task:
    """The text as every method gets it, and the tests of the vectors."""

    def __init__(self, sentences: list[list[str]], epochs: int, glove_epochs: int):
        self.vocabulary = Vocabulary(sentences, min_count=5)
        self.text = self.vocabulary.encode(sentences)
        self.known = [[word for word in sentence if word in self.vocabulary] for sentence in sentences]
        self.epochs, self.glove_epochs = epochs, glove_epochs
        self.pairs = {
            name: load_similarities(f"{name}-{size}") for name, size in (("wordsim", 353), ("simlex", 999))
        }
        self.questions = load_analogies()

    def scores(self, words: list[str], matrix: np.ndarray) -> dict[str, float]:
        """WordSim-353, SimLex-999, and the share of right analogies among those whose words are known."""
        vectors = WordVectors(words, matrix)
        found = {name: score_similarities(vectors, pairs)["spearman"] for name, pairs in self.pairs.items()}
        table = score_analogies(vectors, self.questions)
        return found | {"analogies": table["right"].sum() / max(1, table["covered"].sum())}

    def part(self, tokens: int) -> EncodedText:
        """The first tokens of the text."""
        return EncodedText(self.text.ids[:tokens], self.text.sentences[:tokens])


Result = tuple[float, dict[str, float]]  # tokens (or cells) per second, scores


def with_gensim(task: Task, seed: int) -> Result:
    from gensim.models import Word2Vec

    model = Word2Vec(
        vector_size=DIMENSIONS,
        window=WINDOW,
        negative=NEGATIVES,
        sg=1,
        sample=1e-3,
        min_count=5,
        workers=2,
        seed=seed,
    )
    model.build_vocab(task.known)
    start = time.perf_counter()
    model.train(task.known, total_examples=len(task.known), epochs=task.epochs)
    took = time.perf_counter() - start
    return len(task.text) * task.epochs / took, task.scores(model.wv.index_to_key, model.wv.vectors)


def ours(task: Task, seed: int, threads: int) -> Result:
    start = time.perf_counter()
    model = train_word2vec(
        task.text, task.vocabulary.counts, dimensions=DIMENSIONS, window=WINDOW, negatives=NEGATIVES,
        epochs=task.epochs, seed=seed, threads=threads,
    )  # fmt: skip
    took = time.perf_counter() - start
    return len(task.text) * task.epochs / took, task.scores(task.vocabulary.words, model.centre.numpy())


def textbook(task: Task, seed: int, tokens: int = 40_000, batch: int = 1024) -> Result:
    """The first tokens only; pairs are prepared beforehand and not counted, which is to its advantage."""
    text, random = task.part(tokens), np.random.default_rng(seed)
    kept = random.random(len(text)) < keep_probability(task.vocabulary.counts)[text.ids]
    kept_text = EncodedText(text.ids[kept], text.sentences[kept])
    pairs = skip_gram_pairs(kept_text, random.integers(1, WINDOW + 1, size=len(kept_text)))
    pairs = torch.from_numpy(random.permutation(pairs))
    noise = torch.from_numpy(noise_distribution(task.vocabulary.counts))
    torch.manual_seed(seed)
    model = SkipGram(len(task.vocabulary), DIMENSIONS)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    start = time.perf_counter()
    for some in pairs.split(batch):
        negatives = torch.multinomial(noise, len(some) * NEGATIVES, replacement=True).view(-1, NEGATIVES)
        optimizer.zero_grad()
        model(some[:, 0], some[:, 1], negatives).backward()
        optimizer.step()
    return len(text) / (time.perf_counter() - start), {}


def count_in_a_dict(task: Task, seed: int, tokens: int = 200_000) -> Result:
    text = task.part(tokens)
    ids, sentences = text.ids.tolist(), text.sentences.tolist()
    counts: dict[tuple[int, int], float] = defaultdict(float)
    start = time.perf_counter()
    for i, one in enumerate(ids):
        for j in range(i + 1, min(i + WINDOW + 1, len(ids))):
            if sentences[j] != sentences[i]:
                break
            counts[one, ids[j]] += 1 / (j - i)
            counts[ids[j], one] += 1 / (j - i)
    return len(text) / (time.perf_counter() - start), {}


def count(task: Task, seed: int) -> Result:
    start = time.perf_counter()
    task.cells = count_cooccurrences(task.text, len(task.vocabulary), WINDOW)
    return len(task.text) / (time.perf_counter() - start), {}


def sparse_glove(task: Task, seed: int, batch: int = 4096, epochs: int | None = None) -> Result:
    torch.manual_seed(seed)
    cells = task.cells.tocoo()
    rows, columns = (torch.from_numpy(part.astype(np.int64)) for part in (cells.row, cells.col))
    data = torch.from_numpy(cells.data)
    model = GloVe(len(task.vocabulary), DIMENSIONS)
    for table in (model.word, model.context, model.word_bias, model.context_bias):
        table.sparse = True
    optimizer = torch.optim.Adagrad(model.parameters(), lr=0.05)
    epochs = epochs or task.glove_epochs
    start = time.perf_counter()
    for _ in range(epochs):
        for some in torch.randperm(len(data)).split(batch):
            optimizer.zero_grad()
            # The mean over a batch would make the steps of sparse rows tiny at first; Adagrad evens that out.
            model(rows[some], columns[some], data[some], GLOVE_X_MAX).backward()
            optimizer.step()
    took = time.perf_counter() - start
    matrix = (model.word.weight + model.context.weight).detach().numpy()
    return len(data) * epochs / took, task.scores(task.vocabulary.words, matrix)


def with_mittens(task: Task, seed: int, words: int = 5000, passes: int = 5) -> Result:
    """It holds dense tables, so it gets a corner of ours; a pass over it costs the same for empty cells."""
    from mittens import GloVe as Mittens

    corner = task.cells[:words][:, :words]
    np.random.seed(seed)
    model = Mittens(
        n=DIMENSIONS, max_iter=passes, xmax=int(GLOVE_X_MAX), learning_rate=0.05, display_progress=0
    )
    dense = corner.toarray().astype(np.float64)
    start = time.perf_counter()
    with contextlib.redirect_stdout(sys.stderr):
        model.fit(dense)
    return corner.nnz * passes / (time.perf_counter() - start), {}


def glove(task: Task, seed: int, threads: int) -> Result:
    start = time.perf_counter()
    model = train_glove(
        task.cells,
        dimensions=DIMENSIONS,
        epochs=task.glove_epochs,
        x_max=GLOVE_X_MAX,
        seed=seed,
        threads=threads,
    )
    took = time.perf_counter() - start
    return task.cells.nnz * task.glove_epochs / took, task.scores(task.vocabulary.words, model.vectors)


METHODS: dict[str, Callable[[Task, int], Result]] = {
    "gensim": with_gensim,
    "textbook": textbook,
    "ours": lambda task, seed: ours(task, seed, 2),
    "ours, one thread": lambda task, seed: ours(task, seed, 1),
    "counting: dict loop": count_in_a_dict,
    "counting: ours": count,
    "GloVe: sparse": sparse_glove,
    "GloVe: mittens": with_mittens,
    "GloVe: ours": lambda task, seed: glove(task, seed, 2),
    "GloVe: ours, one thread": lambda task, seed: glove(task, seed, 1),
}
RATIOS = {
    "ratio_vs_gensim": ("ours", "gensim"),
    "ratio_vs_gensim_one_thread": ("ours, one thread", "gensim"),
    "ratio_vs_textbook": ("ours", "textbook"),
    "glove_ratio_counting": ("counting: ours", "counting: dict loop"),
    "glove_ratio_vs_textbook": ("GloVe: ours", "GloVe: sparse"),
    "glove_ratio_vs_mittens": ("GloVe: ours", "GloVe: mittens"),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--text", type=Path, nargs="+", help="files to train on")
    parser.add_argument("--stream", action="store_true", help="pieces of 1,000 words instead of sentences")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--glove-epochs", type=int, default=15)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    sentences = read(arguments.text) if arguments.text else load_corpus().words
    if arguments.stream:
        words = [word for sentence in sentences for word in sentence]
        sentences = [words[start : start + 1000] for start in range(0, len(words), 1000)]
    task = Task(sentences, arguments.epochs, arguments.glove_epochs)
    gc.freeze()  # the collector shall not walk over millions of words while a method is timed
    speeds, scores = defaultdict(list), defaultdict(lambda: defaultdict(list))
    for seed in range(arguments.seeds):
        names = [name for name in METHODS if name in arguments.only]
        # Counting comes before GloVe either way.
        order = names if seed % 2 == 0 else names[5::-1] + names[:5:-1]
        for name in order:
            speed, found = METHODS[name](task, seed)
            speeds[name].append(speed)
            for test, value in found.items():
                scores[name][test].append(value)
            told = ", ".join(f"{test} {value:.3f}" for test, value in found.items())
            print(f"seed {seed}: {name} {speed:,.0f}/s {told}", file=sys.stderr, flush=True)
    ratios = {
        key: [round(a / b, 2) for a, b in zip(speeds[one], speeds[other], strict=True)]
        for key, (one, other) in RATIOS.items()
        if speeds[one] and speeds[other]
    }
    if arguments.json:
        line: dict = {key: float(np.median(values)) for key, values in ratios.items()}
        line |= {f"{key}_each": values for key, values in ratios.items()}
        for name, key in (
            ("ours", ""),
            ("gensim", "_gensim"),
            ("GloVe: ours", "glove"),
            ("GloVe: sparse", "glove_sparse"),
        ):
            for test, values in scores[name].items():
                made = (
                    f"{test}_ours"
                    if name == "ours"
                    else f"{test}{key}"
                    if key == "_gensim"
                    else f"glove_{test}" + ("_ours" if key == "glove" else "_textbook")
                )
                line[made], line[f"{made}_each"] = float(np.mean(values)), [round(v, 4) for v in values]
        line |= {
            "words": len(task.text),
            "vocabulary": len(task.vocabulary),
            "epochs": task.epochs,
            "stream": arguments.stream,
        }
        print(json.dumps(line))
        return
    print(f"{len(task.text):,} words, {len(task.vocabulary):,} different; {task.epochs} epochs (GloVe {task.glove_epochs}); "
          f"{arguments.seeds} seeds; torch {torch.__version__}\n")  # fmt: skip
    print(f"{'method':<26}{'per second':>14}   {'WordSim-353':>16}{'SimLex-999':>16}{'analogies':>16}")
    for name, values in ((name, speeds[name]) for name in arguments.only if speeds[name]):
        cells = "".join(
            f"{np.mean(v):>10.3f} ±{np.std(v):.3f}" if (v := scores[name][test]) else " " * 16
            for test in ("wordsim", "simlex", "analogies")
        )
        print(f"{name:<26}{np.median(values):>14,.0f}   {cells}")
    print()
    for key, values in ratios.items():
        print(f"{key:<28}{np.median(values):6.1f}  ({min(values):.1f} to {max(values):.1f})")


if __name__ == "__main__":
    main()
