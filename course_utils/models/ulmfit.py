"""ULMFiT: a language model under the head of a classifier, and its layers from the input to the output.

After Howard and Ruder (2018), *Universal Language Model Fine-tuning for Text Classification*, arXiv:1801.06146. The network is
the LSTM language model of :mod:`course_utils.models.language_model`; theirs has three layers of 1,150 units.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from course_utils.models.language_model import LanguageModel
from course_utils.models.pooling import last_state, pool_states


def concat_pool(states: Tensor, mask: Tensor) -> Tensor:
    """The last state, and each unit's largest and mean value, side by side (section 3.3); padding counts for nothing.

    (batch, tokens, units), and 1 for a token, 0 for padding at the end (batch, tokens) -> (batch, 3 x units).
    """
    return torch.cat([last_state(states, mask), pool_states(states, mask, "max+mean")], dim=-1)


class TextClassifier(nn.Module):
    """A language model that reads, under a head that judges.

    The language model is copied, so one can start many classifiers; ``pool`` makes one vector of a text's states.
    """

    def __init__(self, language_model: LanguageModel, pool: Callable[[Tensor, Tensor], Tensor] = concat_pool):
        super().__init__()
        self.reader, self.pool = copy.deepcopy(language_model), pool
        del self.reader.output  # the softmax has done its work; its table stays, as the embedding
        units = language_model.lstm.hidden_size
        width = pool(torch.zeros(1, 1, units), torch.ones(1, 1, dtype=torch.long)).shape[1]
        self.head = nn.Sequential(nn.Linear(width, 50), nn.ReLU(), nn.Dropout(0.1), nn.Linear(50, 2))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(batch, tokens) twice -> scores (batch, 2)."""
        states, _ = self.reader.read(input_ids)
        return self.head(self.pool(states, attention_mask))


def layer_groups(model: Any) -> list[list[nn.Parameter]]:
    """The parameters by layer, from the input to the output; each is in exactly one group.

    A classifier: the embedding, each LSTM layer, the head. A language model: each LSTM layer, then the table, which is its
    first layer and, as the softmax, its last; the authors' code counts it as the last.
    """
    reader: LanguageModel = getattr(model, "reader", model)
    named, layers = list(reader.lstm.named_parameters()), range(reader.lstm.num_layers)
    lstm = [[parameter for name, parameter in named if name.endswith(f"_l{layer}")] for layer in layers]
    if reader is model:
        return [*lstm, [*reader.embedding.parameters(), reader.output.bias]]
    return [list(reader.embedding.parameters()), *lstm, list(model.head.parameters())]
