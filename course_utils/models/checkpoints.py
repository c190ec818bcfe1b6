"""The course's own pre-trained models: a folder each in ``data/checkpoints``, with a card that says how they were made.

All raise :class:`course_utils.assets.AssetError` if a file is missing or is not the one that was published.
"""

import json
from collections.abc import Callable
from typing import TypeVar

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import nn

from course_utils.assets import Resolved, resolve
from course_utils.models.bert import BertForPreTraining
from course_utils.models.elmo import BiLM
from course_utils.models.language_model import LanguageModel
from course_utils.text import Vocabulary

Model = TypeVar("Model", bound=nn.Module)


def load_elmo() -> tuple[BiLM, Vocabulary]:
    """The bidirectional language model of lecture 04, and the words that it can predict; dropout off."""
    return _load("elmo", BiLM)


def load_language_model() -> tuple[LanguageModel, Vocabulary]:
    """The LSTM language model that lecture 05 starts from, and its words; dropout off."""
    return _load("language-model", LanguageModel)


def load_bert_mini(*, next_sentence: bool = True) -> tuple[BertForPreTraining, Tokenizer]:
    """The small BERT of lecture 08 with both heads of its pre-training, and its WordPiece tokenizer; dropout off.

    Args:
        next_sentence: False for the one that saw the same pairs in as many steps and learned from hidden pieces alone. Its
            pooler and the head after it are as they were born.
    """
    asset = resolve("bert-mini" if next_sentence else "bert-mini-mlm")
    return _model(asset, BertForPreTraining), Tokenizer.from_file(str(asset.path("tokenizer.json")))


def _load(name: str, build: Callable[..., Model]) -> tuple[Model, Vocabulary]:
    asset = resolve(name)
    return _model(asset, build), Vocabulary.read(asset.path("words.txt"))


def _model(asset: Resolved, build: Callable[..., Model]) -> Model:
    model = build(**json.loads(asset.path("config.json").read_text(encoding="utf-8")))
    weights = load_file(asset.path("model.safetensors"))
    with torch.no_grad():
        for key, parameter in model.named_parameters():  # a tied weight is named once, as in the file
            parameter.copy_(weights[key])  # float16 to float32
    return model.eval()
