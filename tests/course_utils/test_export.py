"""A filter as a folder: what goes in comes out, in plain transformers, as ONNX and in 8 bits, and a changed file is noticed."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from course_utils import features
from course_utils.production import export
from course_utils.production.export import load_filter, save_filter, to_int8, to_onnx
from course_utils.training.heads import EncoderWithHeads, TextHead

CASES = ["see you at six then, bring the dog", "WIN £500 now, call 09088 829210 " * 4, "WIN FREE"]
OTHERS = ["a text that is no test case", "free entry", "x " * 400, ""]
OVER = {0: "texts", 1: "tokens"}


@pytest.fixture(scope="module")
def network():
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64)
    body = BertModel(config, add_pooling_layer=False)
    for parameter in body.parameters():  # far enough from their start that scores differ
        parameter.data += 0.05 * torch.randn_like(parameter)
    return EncoderWithHeads(body, spam=TextHead(32, 2)).train()  # as after a look at its gradients


@pytest.fixture(scope="module")
def tokenizer():
    return features.load_encoder().tokenizer


@pytest.fixture(scope="module")
def saved(network, tokenizer, tmp_path_factory):
    pytest.importorskip("onnxruntime")
    folder = tmp_path_factory.mktemp("filter")
    figures = {"spam F1": [0.90, 0.94, 0.92], "messages": "3,600"}
    save_filter(
        folder,
        network,
        tokenizer,
        threshold=0.25,
        name="Spam filter",
        figures=figures,
        cases=CASES,
        max_length=64,
    )
    to_onnx(folder)
    to_int8(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    """A copy that a test may spoil."""
    return shutil.copytree(saved, tmp_path / "filter")


def by_hand(network, tokenizer, text):
    batch = tokenizer(
        [text], truncation=True, max_length=64, return_tensors="pt", return_token_type_ids=False
    )
    with torch.no_grad():
        return float(network.eval()(**batch).softmax(-1)[0, 1])


@pytest.mark.parametrize("runtime", ["torch", "onnx"])
def test_what_goes_in_comes_out(runtime, saved, network, tokenizer):
    loaded = load_filter(saved, runtime)
    texts = CASES + OTHERS
    wanted = [by_hand(network, tokenizer, text) for text in texts]
    assert np.ptp(wanted) > 0.01
    np.testing.assert_allclose(loaded.scores(texts), wanted, atol=1e-5)
    np.testing.assert_allclose(
        loaded.scores(texts, batch_size=2), wanted, atol=1e-5
    )  # in the order of the texts
    assert loaded.threshold == 0.25 and loaded.scores([]).shape == (0,)


def test_coarser_numbers_come_close(saved, network, tokenizer):
    wanted = [by_hand(network, tokenizer, text) for text in CASES + OTHERS]
    for runtime in ("bf16", "int8"):
        off = np.abs(load_filter(saved, runtime).scores(CASES + OTHERS) - wanted).max()
        assert 0 < off < export.TOLERANCE[runtime]


def test_the_network_that_was_given_stays_as_it_was(network, tokenizer, tmp_path):
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    save_filter(tmp_path, network, tokenizer, threshold=0.5, name="x", figures={}, cases=CASES)
    assert network.training and all(torch.equal(before[k], v) for k, v in network.state_dict().items())


def test_plain_transformers_loads_it_with_equal_logits(saved, network, tokenizer):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    plain = AutoModelForSequenceClassification.from_pretrained(saved).eval()
    batch = AutoTokenizer.from_pretrained(saved)(CASES, padding=True, truncation=True, return_tensors="pt")
    with torch.no_grad():
        ours = network.eval()(batch["input_ids"], batch["attention_mask"])
        torch.testing.assert_close(plain(**batch).logits, ours, atol=2e-5, rtol=0)
    assert plain.config.id2label == {0: "ham", 1: "spam"}


def test_tied_weights_are_written_for_each_name(tokenizer, tmp_path):
    from transformers import BertConfig, BertModel

    torch.manual_seed(1)
    config = BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
    body = BertModel(config, add_pooling_layer=False)
    body.encoder.layer[1] = body.encoder.layer[0]  # one layer, read twice, as in ALBERT
    tied = EncoderWithHeads(body, spam=TextHead(32, 2))
    with pytest.raises(RuntimeError, match="share memory"):
        save_file(tied.state_dict(), tmp_path / "x.safetensors")
    save_filter(tmp_path, tied, tokenizer, threshold=0.5, name="tied", figures={}, cases=CASES)
    text = "one more message"
    assert load_filter(tmp_path).scores([text])[0] == pytest.approx(by_hand(tied, tokenizer, text), abs=1e-5)


@pytest.mark.parametrize("part", ["classifier.bias", "bert.encoder.layer.0.output.dense.weight"])
def test_a_changed_weight_is_noticed(part, folder):
    weights = load_file(folder / "model.safetensors")
    weights[part] = weights[part] + 0.3 * torch.randn(weights[part].shape)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"does not pass its test cases: .* when it was saved"):
        load_filter(folder)


def test_a_changed_tokenizer_is_noticed(folder):
    said = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    said["do_lower_case"] = False  # as where a cased tokenizer comes to uncased weights
    (folder / "tokenizer_config.json").write_text(json.dumps(said), encoding="utf-8")
    for runtime in ("torch", "onnx"):
        with pytest.raises(ValueError, match="WIN"):
            load_filter(folder, runtime)


def test_a_pickle_is_never_read(folder):
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"holds no model.safetensors.* a pickle .* is never read"):
        load_filter(folder)


def test_what_is_refused(folder, network, tokenizer, tmp_path):
    for wrong in ({"threshold": 1.5}, {"cases": []}):
        settings = {"threshold": 0.5, "name": "x", "figures": {}, "cases": CASES} | wrong
        with pytest.raises(ValueError, match="a threshold between 0 and 1 and a test case"):
            save_filter(tmp_path / "x", network, tokenizer, **settings)
    with pytest.raises(ValueError, match="no runtime 'fp8'; choose one of torch, bf16, onnx, int8"):
        load_filter(folder, "fp8")
    with pytest.raises(TypeError, match="not a string"):
        load_filter(folder).scores(["a", None])
    (folder / "model.onnx").unlink()
    for call in (lambda: load_filter(folder, "onnx"), lambda: to_int8(folder)):
        with pytest.raises(FileNotFoundError, match=r"holds no model.onnx: .*to_onnx"):
            call()


def test_a_new_filter_in_an_old_folder_leaves_no_old_graph(folder, network, tokenizer):
    save_filter(folder, network, tokenizer, threshold=0.5, name="new", figures={}, cases=CASES)
    assert not list(folder.glob("*.onnx"))


@pytest.mark.parametrize(
    ("axes", "says"),
    [
        ({"input_idz": OVER, "attention_mask": OVER}, "There is no input_idz"),
        ({"input_ids": {0: "texts", 2: "tokens"}}, r"There is no input_ids with axes \[0, 2\]"),
        ({"input_ids": {0: "texts"}, "attention_mask": {0: "texts"}}, r"input_ids\[1\] is always 9"),
        ({"attention_mask": OVER}, "must be named alike in each input"),
    ],
)
def test_a_misspelt_or_forgotten_axis_is_refused(axes, says, folder):
    (folder / "model.onnx").unlink()
    with pytest.raises(ValueError, match=says):
        to_onnx(folder, axes)
    assert not (folder / "model.onnx").exists()


def test_without_onnxruntime_a_sentence_says_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(ImportError, match="pip install onnx onnxruntime onnxscript"):
        load_filter(folder, "onnx")


def test_int8_depends_on_company_and_fp32_does_not(saved):
    text, company = CASES[0], ["a" * 60 + " ! ? % 7 £", "so " * 50]
    alone, beside = {}, {}
    for runtime in ("onnx", "int8"):
        loaded = load_filter(saved, runtime)
        alone[runtime] = loaded.scores([text])[0]
        beside[runtime] = loaded.scores([text, *company])[0]
    assert abs(alone["onnx"] - beside["onnx"]) < 1e-6
    assert abs(alone["int8"] - beside["int8"]) > 1e-5


@pytest.mark.parametrize(
    ("machine", "can", "bits"),
    [
        ("x86_64", {"avx512_vnni": True}, 8),
        ("AMD64", {"avx_vnni": True}, 8),
        ("x86_64", {"avx2": True}, 7),
        ("x86_64", {}, 7),
        ("arm64", {}, 8),
    ],
)
def test_weights_take_the_bits_that_a_processor_can_add_up(monkeypatch, folder, machine, can, bits):
    onnx = pytest.importorskip("onnx")
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: can, raising=False)
    codes = [
        onnx.numpy_helper.to_array(tensor)
        for tensor in onnx.load(to_int8(folder)).graph.initializer
        if tensor.data_type == onnx.TensorProto.INT8 and "embeddings" not in tensor.name
    ]
    largest = max(np.abs(matrix.astype(int)).max() for matrix in codes)
    assert codes and 2 ** (bits - 2) < largest <= 2 ** (bits - 1)


def test_the_card_says_the_figures(saved):
    card = (saved / "README.md").read_text(encoding="utf-8")
    assert "| spam F1 | 0.920 (0.870 to 0.970), 3 splits |" in card  # t(2) = 4.303, sd .02
    assert "| messages | 3,600 |" in card and "From 0.250 on" in card and "3 test cases" in card
