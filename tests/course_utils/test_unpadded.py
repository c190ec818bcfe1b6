"""Without padding BERT says the same, learns the same, and the cores share its texts."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers import BertConfig, BertModel

from course_utils.models.pooling import pool_states
from course_utils.models.unpadded import Dropout, can_read, draw_from, read_unpadded
from course_utils.training import Examples, Task, fit, loop, warm_up
from course_utils.training.heads import AnswerHead, EncoderWithHeads, TagHead, TextHead

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


def bert(dropout: float = 0.0, **sizes) -> BertModel:
    """A small BERT whose weights are large enough for texts to matter."""
    torch.manual_seed(0)
    config = BertConfig(vocab_size=50, max_position_embeddings=12, initializer_range=0.3, **SIZES | sizes)
    body = BertModel(config, add_pooling_layer=False)
    for name, part in [*body.named_modules()]:
        if isinstance(part, nn.Dropout):
            body.set_submodule(name, Dropout(dropout))
    return body


def batch(lengths, left=False, seed=0) -> dict[str, torch.Tensor]:
    """Texts of these lengths, padded on the right or on the left, with two kinds of tokens."""
    draw = torch.Generator().manual_seed(seed)
    shape = len(lengths), max(lengths)
    mask = (torch.arange(shape[1]) < torch.tensor(lengths)[:, None]).long()
    mask = mask.flip(1) if left else mask
    ids = torch.randint(1, 50, shape, generator=draw) * mask
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": (ids % 2) * mask}


LENGTHS = st.lists(st.integers(1, 12), min_size=1, max_size=5)


@settings(deadline=None, max_examples=30)
@given(lengths=LENGTHS, left=st.booleans(), kinds=st.booleans(), heads=st.sampled_from([1, 2, 4]))
def test_states_are_those_of_transformers(lengths, left, kinds, heads):
    body, inputs = bert(num_attention_heads=heads).eval(), batch(lengths, left)
    if not kinds:
        del inputs["token_type_ids"]
    real = inputs["attention_mask"].bool()
    with torch.no_grad():
        expected, found = body(**inputs).last_hidden_state, read_unpadded(body, **inputs)
        assert torch.allclose(found[real], expected[real], atol=1e-5)
        assert (found[~real] == 0).all()
        if real[:, 0].all():
            first = read_unpadded(body, **inputs, first=True)
            assert torch.allclose(first, expected[:, :1], atol=1e-5)
        else:
            with pytest.raises(ValueError, match="pad on the right"):
                read_unpadded(body, **inputs, first=True)


def test_an_empty_row_does_no_harm():
    body, inputs = bert().eval(), batch([3, 5])
    inputs["attention_mask"][0] = 0
    with torch.no_grad():
        found = read_unpadded(body, **inputs)
        expected = body(**inputs).last_hidden_state[1]
    assert (found[0] == 0).all()
    assert torch.allclose(found[1], expected, atol=1e-5)


@pytest.mark.parametrize("head", [TextHead(16, 3), TagHead(16, 3), AnswerHead(16, 2)])
def test_gradients_are_those_of_transformers(head):
    inputs, gradients = batch([2, 9, 5]), []
    model = EncoderWithHeads(bert(), task=head)
    real = inputs["attention_mask"].bool()
    stock = {"position_ids": torch.arange(9)[None]}  # told the places, it reads as transformers does
    for more in ({}, stock):
        model.zero_grad()
        scores = model.train()(**inputs, **more)
        scores = scores[real] if isinstance(head, TagHead) else scores[scores.isfinite()]
        scores.square().sum().backward()
        gradients.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})
    ours, theirs = gradients
    for name, gradient in theirs.items():  # what nothing reads has none, or zeros
        mine = ours.get(name, torch.zeros_like(gradient))
        assert torch.allclose(mine, gradient, atol=2e-4, rtol=1e-3), name


class Mean(TextHead):
    """A head that reads all states."""

    def forward(self, states, mask):
        return nn.Linear.forward(self, pool_states(states, mask, "mean"))


@pytest.mark.parametrize("head", [TextHead, Mean])
@pytest.mark.parametrize("left", [False, True])
def test_what_is_read_in_training_is_what_is_read_later(head, left):
    model, inputs = EncoderWithHeads(bert(), text=head(16, 2)), batch([2, 9, 5], left)
    states = model.encoder(**inputs).last_hidden_state
    as_transformers_reads = model.heads["text"](states, inputs["attention_mask"])
    for mode in (True, False):
        assert torch.allclose(model.train(mode)(**inputs), as_transformers_reads, atol=1e-5)
    places = torch.arange(9).expand(3, 9) + 2
    there = [model.train(mode)(**inputs, position_ids=places) for mode in (True, False)]
    assert torch.allclose(*there, atol=1e-5)


@pytest.fixture
def asked(monkeypatch):
    """For each reading without padding, whether [CLS] alone was asked for."""
    from course_utils.training import heads

    calls = []
    read = heads.read_unpadded
    monkeypatch.setattr(heads, "read_unpadded", lambda *a, **k: calls.append(k["first"]) or read(*a, **k))
    return calls


@pytest.mark.parametrize("mode", [True, False])
def test_only_bert_and_only_what_the_head_asks_for(asked, mode):
    inputs = batch([2, 4])
    for head, shape in ((TextHead(16, 2), (2, 2)), (TagHead(16, 2), (2, 4, 2))):
        model = EncoderWithHeads(bert(), head=head).train(mode)
        assert model(**inputs).shape == shape
    assert asked == [True, False]
    model(**inputs, position_ids=torch.arange(4)[None])  # places that only transformers knows
    assert asked == [True, False]
    assert not can_read(nn.Linear(2, 2))
    assert not can_read(bert().to("meta"))


def test_several_heads_read_without_padding_in_training_and_later_as_one_pass_for_all(asked):
    model = EncoderWithHeads(bert(), text=TextHead(16, 2), tags=TagHead(16, 2))
    inputs = batch([2, 4])
    for task in ("text", "tags"):
        model.train()(**inputs, task=task)
    assert asked == [True, False]
    states = model.eval().encoder(**inputs).last_hidden_state
    for task, head in model.heads.items():
        assert torch.equal(model(**inputs, task=task), head(states, inputs["attention_mask"]))
    assert asked == [True, False]


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointed_layers_are_computed_again(reentrant):
    inputs, gradients = batch([2, 9, 5]), []
    for again in (False, True):
        model = EncoderWithHeads(bert(), text=TextHead(16, 2)).train()
        if again:
            model.encoder.activation_checkpointing_enable({"use_reentrant": reentrant})
        assert model.divisible != again
        calls: list[object] = []
        hook = lambda *given, calls=calls: calls.append(given)  # noqa: E731
        model.encoder.encoder.layer[0].intermediate.register_forward_hook(hook)
        model(**inputs).square().sum().backward()
        gradients.append(model.encoder.embeddings.word_embeddings.weight.grad)
        assert len(calls) == 1 + again
    assert torch.allclose(*gradients, atol=1e-6)


def test_dropout_is_that_of_pytorch_and_a_thread_may_have_a_generator_of_its_own():
    states, mine = torch.ones(200, 300), Dropout(0.25)
    torch.manual_seed(0)
    first = mine(states)
    torch.manual_seed(0)
    assert torch.equal(first, nn.Dropout(0.25)(states))
    assert sorted({*first.flatten().tolist()}) == pytest.approx([0, 4 / 3])
    assert float((first == 0).float().mean()) == pytest.approx(0.25, abs=0.01)
    try:
        draw_from(torch.Generator().manual_seed(5))
        second = mine(states)
        draw_from(torch.Generator().manual_seed(5))
        torch.manual_seed(1)  # has no say
        assert torch.equal(second, mine(states))
    finally:
        draw_from(None)
    assert not torch.equal(first, second)
    assert torch.equal(mine.eval()(states), states)
    assert torch.equal(Dropout(0.0)(states), states)


def test_attention_drops_too():
    body, inputs = bert().train(), batch([9, 4])
    for part in body.modules():
        if isinstance(part, Dropout) and part is not body.encoder.layer[0].attention.self.dropout:
            part.p = 0.0
    assert torch.equal(read_unpadded(body, **inputs), read_unpadded(body, **inputs))
    body.encoder.layer[0].attention.self.dropout.p = 0.5
    assert not torch.equal(read_unpadded(body, **inputs), read_unpadded(body, **inputs))


def examples(n=26, seed=0) -> Examples:
    """Texts of 2 to 11 tokens; the label is whether token 7 is in it."""
    draw = torch.Generator().manual_seed(seed)
    rows = [torch.randint(8, 50, (2 + i % 10,), generator=draw).tolist() for i in range(n)]
    labels = [i % 2 for i in range(n)]
    rows = [[7, *row[1:]] if label else row for row, label in zip(rows, labels, strict=True)]
    return Examples({"input_ids": rows, "attention_mask": [[1] * len(row) for row in rows]}, labels)


@pytest.fixture
def cores():
    """A function that sets PyTorch's threads for the length of a test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def trained(threads, cores, dropout=0.0, **how) -> tuple[EncoderWithHeads, float]:
    """A network after two epochs on so many threads, and its last loss."""
    cores(threads)
    torch.manual_seed(1)
    model = EncoderWithHeads(bert(dropout), text=TextHead(16, 2))
    settings = {"epochs": 2, "learning_rate": 1e-2, "batch_size": 7, "schedule": warm_up} | how
    return model, fit(model, examples(), **settings).train_loss[-1]


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"accumulate": 3},
        {"class_weights": torch.tensor([1.0, 3.0]), "per_example": True},
        {"batch_size": 2, "by_length": False},  # fewer texts than cores
    ],
)
def test_cores_that_share_a_batch_take_the_step_of_one(cores, how):
    alone, loss = trained(1, cores, **how)
    for threads in (2, 3):
        shared, same = trained(threads, cores, **how)
        assert same == pytest.approx(loss, rel=1e-3)
        for (name, one), other in zip(alone.named_parameters(), shared.parameters(), strict=True):
            if "key.bias" not in name:  # has no gradient but rounding, which Adam makes large
                assert torch.allclose(one, other, atol=2e-3), name


def test_cores_draw_the_same_whichever_is_first_and_go_on_after_a_stop(cores, tmp_path):
    first, second = (trained(3, cores, dropout=0.3)[0] for _ in range(2))
    assert all(map(torch.equal, first.parameters(), second.parameters()))
    other = trained(3, cores, dropout=0.3, seed=1)[0]
    assert not all(map(torch.equal, first.parameters(), other.parameters()))

    def stop(epoch):
        if epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(3, cores, dropout=0.3, before_epoch=stop, checkpoint=tmp_path)
    again = trained(3, cores, dropout=0.3, checkpoint=tmp_path)[0]
    assert all(map(torch.equal, first.parameters(), again.parameters()))


def test_parts_of_a_batch_have_other_dropout(cores, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        loop, "draw_from", lambda generator: generator and drawn.append(generator.initial_seed())
    )
    trained(2, cores, epochs=1)
    assert len({*drawn}) == 2
    mine = {*drawn}
    trained(2, cores, epochs=1, seed=1)
    assert len({*drawn}) == 4 and mine < {*drawn}  # a seed shares no generator with the next one


def test_the_caller_draws_as_before(cores):
    cores(2)
    model = EncoderWithHeads(bert(0.3), text=TextHead(16, 2))
    fit(model, examples(), epochs=2, before_epoch=lambda epoch: cores(2 - epoch))
    torch.manual_seed(3)
    first = Dropout(0.5)(torch.ones(50))
    torch.manual_seed(3)
    assert torch.equal(first, nn.Dropout(0.5)(torch.ones(50)))


def test_cores_may_compute_in_bf16(cores):
    alone, shared = (trained(threads, cores, precision="bf16")[1] for threads in (1, 2))
    assert shared == pytest.approx(alone, rel=0.05)


def test_what_cannot_be_shared_is_learned_by_one(cores, monkeypatch):
    def spy(*_, **__):
        raise AssertionError("shared")

    monkeypatch.setattr(loop, "train_epoch_on_cores", spy)
    cores(2)
    stock = EncoderWithHeads(BertModel(BertConfig(vocab_size=50, **SIZES)), text=TextHead(16, 2))

    class Deep(TextHead):
        """A head that draws from the generator of all threads."""

        def __init__(self):
            super().__init__(16, 2)
            self.drop = nn.Dropout(0.5)

    for model in (stock, EncoderWithHeads(bert(0.1), text=Deep())):
        assert not model.divisible
        fit(model, examples(), epochs=1)
    with pytest.raises(AssertionError, match="shared"):
        fit(EncoderWithHeads(bert(0.1), text=TextHead(16, 2)), examples(), epochs=1)


def test_several_tasks_are_shared_too(cores):
    losses, ends = [], []
    for threads in (1, 2):
        cores(threads)
        torch.manual_seed(1)
        model = EncoderWithHeads(bert(), a=TextHead(16, 2), b=TextHead(16, 2))
        tasks = [Task(examples(seed=1), name="a", share=0.3), Task(examples(12, 2), name="b")]
        losses.append(fit(model, tasks, epochs=2, learning_rate=1e-2, batch_size=4).train_loss)
        ends.append(copy.deepcopy(model.heads))
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    for one, other in zip(ends[0].parameters(), ends[1].parameters(), strict=True):
        assert torch.allclose(one, other, atol=2e-3)


@given(sizes=st.lists(st.integers(1, 128), min_size=1, max_size=40), hands=st.integers(1, 8))
def test_texts_are_dealt_out_evenly(sizes, hands):
    rows = [*range(100, 100 + len(sizes))]
    parts = loop.dealt(rows, sizes, hands)
    assert sorted(row for part in parts for row in part) == rows
    assert len(parts) == min(hands, len(sizes))
    loads = [sum(sizes[row - 100] for row in part) for part in parts]
    assert max(loads) <= min(loads) + max(sizes)


class Added(TextHead):
    """Two vectors that only their sum is asked of: PyTorch hands both the same gradient."""

    def __init__(self):
        super().__init__(16, 2)
        self.one, self.other = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))

    def forward(self, states, mask):
        return super().forward(states, mask) + (self.one + self.other)


def test_parameters_that_are_added_up_have_gradients_of_their_own(cores):
    ends = []
    for threads in (1, 2):
        cores(threads)
        torch.manual_seed(1)
        model = EncoderWithHeads(bert(), text=Added())
        fit(model, examples(), epochs=1, learning_rate=1e-2, batch_size=7, clip=1e-2)
        ends.append(model.heads)
    for one, other in zip(*(end.parameters() for end in ends), strict=True):
        assert torch.allclose(one, other, atol=1e-3)


def test_layers_may_be_thawed_between_epochs(cores):
    cores(2)
    model = EncoderWithHeads(bert(), text=TextHead(16, 2))
    layer = model.encoder.encoder.layer[0].requires_grad_(False)
    before, moved = copy.deepcopy(layer), []

    def thaw(epoch):
        moved.append(not torch.equal(before.output.dense.weight, layer.output.dense.weight))
        layer.requires_grad_(epoch > 0)

    groups = [{"params": [*model.parameters()], "lr": 1e-2}]
    fit(model, examples(), epochs=3, groups=groups, before_epoch=thaw)
    assert moved == [False, False, True]
