"""load_claims: splits that keep repetitions and experts out, on stand-in and real data."""

import json

import pytest

from course_utils.assets import store
from course_utils.datasets import load_claims


def test_the_shipped_stand_in():
    frame = load_claims()
    assert list(frame.columns) == ["text", "label", "split", "speaker", "year"]
    assert frame.attrs["real"] is False and set(frame["split"]) == {"train", "validation", "test"}
    assert not frame["split"].equals(load_claims(seed=1)["split"])
    assert (load_claims(train=16)["split"] == "train").sum() == 16


@pytest.mark.parametrize("entry", [{"text": "No.", "label": 2}, {"text": " ... ", "label": 0}, {"label": 1}])
def test_a_malformed_entry_is_named(entry, tmp_path, monkeypatch):
    (tmp_path / "claims_standin.json").write_text(json.dumps([{"text": "Yes.", "label": 0}, entry]))
    monkeypatch.setattr(store, "data_folder", lambda: tmp_path)
    with pytest.raises(ValueError, match="entry 2"):
        load_claims()


def test_what_is_no_json_is_named_with_its_line(tmp_path, monkeypatch):
    (tmp_path / "claims_standin.json").write_text('[{"text": "Yes.", "label": 0},\n{"text": }]')
    monkeypatch.setattr(store, "data_folder", lambda: tmp_path)
    with pytest.raises(ValueError, match=r"claims_standin\.json, line 2"):
        load_claims()


def test_a_repetition_is_unused_whatever_its_case_and_punctuation(tmp_path, monkeypatch):
    said = [f"Sentence {chr(97 + i)} of a speech." for i in range(20)]
    rows = [{"text": text, "label": i % 2} for i, text in enumerate([*said, "sentence B, of a  speech!"])]
    (tmp_path / "claims_standin.json").write_text(json.dumps(rows))
    monkeypatch.setattr(store, "data_folder", lambda: tmp_path)
    assert (load_claims()["split"] == "unused").tolist() == [False] * 20 + [True]


def test_the_real_claims(mirror):
    if not (mirror / "claimbuster").is_dir():
        pytest.skip("needs claimbuster in COURSE_MIRROR")
    frame = load_claims(profile="laptop")
    found = {"train": 5576, "validation": 1195, "test": 1195, "expert": 702, "unused": 10}
    assert frame["split"].value_counts().to_dict() == found
    assert list(frame.columns) == ["text", "label", "split"] and frame["label"].sum() == 1994 + 351
    # What lecture 13a says of the sentences that it learns from and judges.
    asked = frame[frame["split"].isin(["train", "validation", "test"])]
    digit = asked["text"].str.contains(r"\d")
    assert asked["text"].str.len().groupby(asked["label"]).mean().round().tolist() == [92, 132]
    assert asked["label"].groupby(digit).mean().round(2).tolist() == [0.18, 0.78]
    assert round(200 * digit.mean()) == 24
