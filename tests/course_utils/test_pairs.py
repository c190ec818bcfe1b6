"""load_pairs: reading, splits and the draw of fewer training pairs, on small files, stand-in and real data; splits of claims, too."""

import pytest

from course_utils.assets import store
from course_utils.datasets import load_claims, load_pairs

HEADER = "label\tnumber\tkind\tfirst\tsecond\n"


def test_the_shipped_stand_in():
    frame = load_pairs()
    assert list(frame.columns) == ["first", "second", "label", "split"]
    assert frame.attrs["real"] is False and 0.6 < frame["label"].mean() < 0.7
    assert set(frame["split"]) == {"train", "validation", "test"}
    assert frame.equals(load_pairs()) and not frame["split"].equals(load_pairs(seed=1)["split"])


def test_fewer_pairs_keep_the_shares_and_lie_within_more():
    few, more = (load_pairs(train=number)["split"] == "train" for number in (12, 24))
    assert (few.sum(), more.sum()) == (12, 24) and (more | ~few).all()
    assert load_pairs(train=12)["label"][few].sum() == 8
    for wrong in (3, 4.5, "8"):
        with pytest.raises(ValueError, match="whole number, 4 or more"):
            load_pairs(train=wrong)


@pytest.mark.parametrize("line", ["1\t2\tx\tonly one\n", "2\t2\tx\tone\tother\n", "1\t2\tx\t \tother\n"])
def test_malformed_lines_are_named(line, tmp_path, monkeypatch):
    (tmp_path / "pairs_standin.tsv").write_text(
        "\ufeff" + HEADER + '1\t1\tx\t"a\tb\n' + line, encoding="utf-8"
    )
    monkeypatch.setattr(store, "data_folder", lambda: tmp_path)
    with pytest.raises(ValueError, match="line 3"):
        load_pairs()


both = pytest.mark.parametrize(
    ("load", "texts"), [(load_pairs, ["first", "second"]), (load_claims, ["text"])]
)


@both
def test_no_text_stands_in_two_splits(load, texts):
    for seed in range(3):
        frame = load(seed=seed)
        used = frame[frame["split"] != "unused"]
        assert not used[texts].agg("".join, axis=1).str.casefold().duplicated().any()
        shares = used["split"].value_counts(normalize=True).to_dict()
        assert shares == pytest.approx({"train": 0.7, "validation": 0.15, "test": 0.15}, abs=0.01)
        by_split = used.groupby("split")["label"].mean()
        assert by_split.sub(used["label"].mean()).abs().max() <= 0.02, "stratified"


@both
@pytest.mark.parametrize("seed", [-1, 1.5, True, "0", None])
def test_wrong_seeds(load, texts, seed):
    with pytest.raises(ValueError, match="seed must be a whole number"):
        load(seed=seed)


def test_the_real_pairs(mirror):
    if not (mirror / "msr-paraphrase").is_dir():
        pytest.skip("needs msr-paraphrase in COURSE_MIRROR")
    frame = load_pairs(profile="laptop")
    assert frame["split"].value_counts().to_dict() == {"train": 3576, "test": 1725, "validation": 500}
    assert frame["label"].sum() == 3900 and "MSR-SSLA" in frame.attrs["licence"]
