"""The tools that make the checkpoints: they read their sources, hold text out, and write what the course can load."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from course_tools import notebooks
from course_utils.assets import store
from course_utils.models import checkpoints
from course_utils.models.elmo import CharacterEncoder, spell
from course_utils.models.language_model import LanguageModel
from course_utils.text import Vocabulary, WordVectors

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
import device_check
import gpu_run
import texts
import train_checkpoint

ENTRY = '00002325 29 v 02 respire 1 take_a_breath(p) 0 001 @ 00001740 v 0000 01 + 02 00 | draw air into the lungs; "I can breathe"; "again"  \n'


def test_a_dictionary_entry_and_its_examples(tmp_path):
    folder = tmp_path / "usr/share/wordnet"
    folder.mkdir(parents=True)
    for part in ("noun", "verb", "adj", "adv"):
        (folder / f"data.{part}").write_text("  1 This is a licence\n" + ENTRY, encoding="utf-8")
    found = texts.wordnet(tmp_path)
    assert found == ["respire, take a breath: draw air into the lungs", "I can breathe"] * 4


def test_paragraphs_join_lines():
    assert texts.paragraphs(["It is a", " truth.", "", "Next", "one"]) == "It is a truth.\nNext one"


@pytest.mark.parametrize("name", ["wordnet", "austen"])
def test_no_sentence_is_held_out_and_learned(name):
    sentences = [f"sentence {i % 900}" for i in range(1000)]
    parts = {part: sources[name] for part, sources in texts.split({name: sentences}).items()}
    assert sorted(s for some in parts.values() for s in some) == sorted(set(sentences))
    assert all(0.02 < len(parts[part]) / 900 < 0.04 for part in ("validation", "test"))


@pytest.fixture
def small(monkeypatch, tmp_path):
    words = ["the", "cat", "sat", "on", "a", "mat", "and", "dog", "ran", "off"]
    glove = WordVectors(words, np.random.default_rng(0).normal(size=(len(words), 50)))
    monkeypatch.setattr(train_checkpoint, "load_glove", lambda: glove)
    monkeypatch.setattr(train_checkpoint, "FOLDER", tmp_path)
    sizes = {name: {"words": 9, "units": 52, "layers": 2} for name in train_checkpoint.SIZES}
    monkeypatch.setattr(train_checkpoint, "SIZES", sizes)
    return tmp_path


def test_spelling_is_learned_from_word_vectors(small, capsys):
    torch.manual_seed(0)
    words = ["the", "cat", "sat", "unheard"]
    encoder = CharacterEncoder(52)
    train_checkpoint.spell_glove(encoder, words, 52)
    rows, known = train_checkpoint.glove_rows(words, 52)
    assert known.tolist() == [True, True, True, False]
    error = (encoder(spell(words[:3]))[:, :50] - rows[:3, :50]).pow(2).mean()
    assert error < 0.1 < rows[:3, :50].pow(2).mean()


@pytest.mark.parametrize("name", ["elmo", "language_model"])
def test_what_is_trained_can_be_loaded(name, small, monkeypatch, capsys):
    some = ["The cat sat on the mat.", "A dog ran off", "the dog sat"] * 60
    parts = {part: {"toy": some} for part in ("train", "validation", "test")}
    getattr(train_checkpoint, f"train_{name}")(parts)
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(told) >= {"seconds"}
    files = ("model.safetensors", "config.json", "words.txt")
    asset = checkpoints.resolve.__globals__["Resolved"](name, small / name, "course", files, "", "")
    monkeypatch.setattr(checkpoints, "resolve", lambda _: asset)
    model, vocabulary = getattr(checkpoints, f"load_{name}")()
    assert len(vocabulary) == 7 and not model.training


def test_what_is_saved_comes_back(tmp_path):
    torch.manual_seed(0)
    vocabulary = Vocabulary([["a", "b", "c", "a", "\u2028", "d\u0085"]])
    model = LanguageModel(len(vocabulary) + 2, units=8, layers=2)
    train_checkpoint.save_checkpoint(tmp_path / "x", model, {"words": 7, "units": 8, "layers": 2})
    vocabulary.write(tmp_path / "x" / "words.txt")
    asset = store.Resolved(
        "x", tmp_path / "x", "course", ("model.safetensors", "config.json", "words.txt"), "", ""
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "resolve", lambda name: asset)
        again, words = checkpoints.load_language_model()
    assert words.words == vocabulary.words and words.counts.tolist() == vocabulary.counts.tolist()
    assert again.output.weight is again.embedding.weight
    for (name, one), two in zip(model.named_parameters(), again.parameters(), strict=True):
        assert torch.equal(one.half().float(), two), name


# ---- on a device


def test_sizes_are_those_of_ci_and_names_those_of_profile_gpu(monkeypatch):
    monkeypatch.setenv("COURSE_CAP", "50")
    capped = device_check.capped
    assert capped(20, 4000) == 20 and capped(200, 4000) == 50 and capped(0.1, 0.5) == 0.1
    assert capped("minilm", "bert-base-uncased") == "bert-base-uncased" and capped(None, 3) is None
    both = (
        {"n": 5, "precision": "fp32", "deep": {"m": 100}},
        {"n": 9, "precision": "bf16", "deep": {"m": 900}},
    )
    assert capped(*both) == {"n": 5, "precision": "bf16", "deep": {"m": 50}}
    assert capped({"16": 3}, {"16": 8, "250": 3}) == {"16": 3} and capped((2,), (3, 4)) == (2,)
    assert capped(True, False) is True


def test_a_lecture_runs_in_profile_gpu_with_bert_from_our_hub(tmp_path, monkeypatch):
    """A lecture of three cells: one that works, one that says what it got, one that fails."""
    monkeypatch.setenv("COURSE_PROFILE", "gpu")
    cells = [
        "from course_utils import expect, start\ncourse = start()\nexpect('never', 0, at_least=1)",
        "from course_utils import features\nencoder = features.load_encoder()\n"
        "assert (encoder.name, encoder.hidden_size) == ('bert-base-uncased', 96), encoder\n"
        "assert course.choose(ci=3, laptop=30, gpu=300) == 3",
        "nothing",
        "print('never')",
    ]
    notebook = device_check.nbformat.v4.new_notebook(
        cells=[*map(device_check.nbformat.v4.new_code_cell, cells)]
    )
    device_check.nbformat.write(notebook, tmp_path / "99_tried.ipynb")
    with device_check.hub(**device_check.SMALL) as environment:
        outcome = device_check.run(tmp_path / "99_tried.ipynb", environment, minutes=5)
    assert (outcome.ran, outcome.cells) == (2, 4)
    assert "NameError: name 'nothing' is not defined" in outcome.stopped


def test_the_gpu_run_goes_through_its_steps(tmp_path, monkeypatch, capsys):
    steps = {name: step for name, step in gpu_run.STEPS.items() if name != "lectures"}  # tried above
    monkeypatch.setattr(gpu_run, "STEPS", steps)
    monkeypatch.setattr(sys, "argv", ["gpu_run.py", "--dry", "--out", str(tmp_path)])
    monkeypatch.setenv("COURSE_PROFILE", "ci")
    with pytest.raises(SystemExit) as left:
        gpu_run.main()
    told = json.loads((tmp_path / "gpu_run.json").read_text())
    assert left.value.code == 0 and list(told) == ["machine", "loop", "encoding", "tuning", "pretraining"]
    assert (
        told["encoding"]["largest difference from the CPU, fp32"] < 1e-5
        and told["encoding"]["weights"] == "minilm"
    )
    assert told["tuning"]["2 x 16"]["utilisation"] > 0 and told["pretraining"]["4 x 128"]["utilisation"] > 0


def test_the_gpu_run_stops_in_time_and_names_what_is_missing(tmp_path, monkeypatch, capsys):
    def fails(it):
        raise RuntimeError("out of memory")

    steps = {"quick": (lambda it: {"is": 1}, 1), "broken": (fails, 1), "long": (lambda it: {"is": 2}, 1000)}
    monkeypatch.setattr(gpu_run, "STEPS", steps)
    monkeypatch.setattr(sys, "argv", ["gpu_run.py", "--seconds", "60", "--out", str(tmp_path)])
    monkeypatch.setattr("course_utils.session.find_accelerator", lambda: torch.device("cpu"))
    monkeypatch.setenv("COURSE_PROFILE", "ci")
    with pytest.raises(SystemExit):
        gpu_run.main()
    told = json.loads((tmp_path / "gpu_run.json").read_text())
    assert told["quick"]["is"] == 1 and told["broken"]["failed"] == "RuntimeError: out of memory"
    assert told["long"]["not run"] == "no time was left"
    assert "Not measured: broken, long" in capsys.readouterr().out


def test_the_gpu_run_asks_for_every_lecture_once_those_that_train_encoders_first(monkeypatch):
    asked = []

    def run(command, **_):
        asked.append(command[2])
        return SimpleNamespace(stdout=f"Device: x\n{command[2]}: 3 of 3 cells, 1 s, passed\n", stderr="")

    monkeypatch.setattr(gpu_run.subprocess, "run", run)
    told = gpu_run.lectures(SimpleNamespace(dry=False, until=gpu_run.time.monotonic() + 1000))
    assert sorted(asked) == [notebooks.number(path.name) for path in notebooks.find()]
    assert asked[0] == "11" and told["13b"] == "13b: 3 of 3 cells, 1 s, passed"


def test_operations_of_a_training_step_are_counted_as_published():
    """Six for each weight and token; attention twelve for each layer, token, place and unit (PaLM, appendix B)."""
    layer = torch.nn.Linear(10, 20)
    assert gpu_run.flops(layer, 8, 2, 3, 5, embeddings=20) == 6 * 200 * 3 + 12 * 2 * 3 * 5 * 8


@pytest.mark.parametrize(("script", "advice"), [(device_check, "make test-device"), (gpu_run, "--dry")])
def test_without_a_device_both_say_what_to_do(script, advice, monkeypatch):
    for name in ("COURSE_PROFILE", "COURSE_TIMEOUT", "HF_HUB_DISABLE_PROGRESS_BARS"):
        monkeypatch.setenv(name, "")  # what the scripts set is taken back
    monkeypatch.setattr("course_utils.session.find_accelerator", lambda: None)
    monkeypatch.setattr(sys, "argv", ["script"])
    with pytest.raises(SystemExit, match=advice):
        script.main()
