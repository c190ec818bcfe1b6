"""load_parts_of_speech: CoNLL-U and the two columns of the stand-in."""

import pytest

from course_utils.datasets import PARTS_OF_SPEECH, load_parts_of_speech
from course_utils.datasets.names import _read_tagged


def test_the_shipped_stand_in():
    frame = load_parts_of_speech()
    shares = frame["split"].value_counts(normalize=True).to_dict()
    assert shares == pytest.approx({"train": 0.6, "test": 0.25, "validation": 0.15}, abs=0.01)
    assert frame.equals(load_parts_of_speech())
    assert frame["tokens"].map(len).equals(frame["tags"].map(len))
    assert {tag for tags in frame["tags"] for tag in tags} <= set(PARTS_OF_SPEECH)


def test_ranges_decimals_and_comments_are_no_tokens(tmp_path):
    path, rest = tmp_path / "a.conllu", "\t_" * 6
    rows = ["# text = don't", f"1-2\tdon't\t_\t_{rest}", f"1\tdo\tdo\tAUX{rest}", f"2\tn't\tnot\tPART{rest}"]
    path.write_text("\n".join([*rows, f"2.1\tgo\tgo\tVERB{rest}", "", ""]))
    assert _read_tagged(path, PARTS_OF_SPEECH) == [(["do", "n't"], ["AUX", "PART"])]
    path.write_text(f"# x\n1\tdo\tdo\tVB{rest}\n")
    with pytest.raises(ValueError, match="line 2"):
        _read_tagged(path, PARTS_OF_SPEECH)


def test_the_real_sentences(mirror):
    if not (mirror / "ud-english-ewt").is_dir():
        pytest.skip("needs ud-english-ewt in COURSE_MIRROR")
    frame = load_parts_of_speech(profile="laptop")
    assert frame["split"].value_counts().to_dict() == {"test": 2077, "train": 1700, "validation": 301}
    assert frame["tokens"].map(len).sum() == 50241


@pytest.mark.parametrize("language", ["de", "es", "fi", "tr"])
def test_thirty_sentences_in_four_languages_stand_in_for_the_treebanks(language):
    frame = load_parts_of_speech(language, profile="ci")
    assert not frame.attrs["real"] and frame["split"].value_counts().to_dict() == {"train": 18, "test": 12}
    assert frame["tokens"].map(len).equals(frame["tags"].map(len)) and frame.equals(
        load_parts_of_speech(language)
    )
    assert {"NOUN", "VERB", "ADJ", "PRON", "PUNCT"} <= {tag for tags in frame["tags"] for tag in tags}


def test_another_language_is_refused():
    with pytest.raises(ValueError, match="must be one of en, de"):
        load_parts_of_speech("sw")


@pytest.mark.parametrize(
    ("language", "train", "test"), [("de", 777, 200), ("es", 257, 170), ("fi", 1355, 200), ("tr", 1758, 200)]
)
def test_the_real_treebanks(mirror, language, train, test):
    if not (mirror / "ud-finnish-tdt").is_dir():
        pytest.skip("needs the treebanks in COURSE_MIRROR")
    frame = load_parts_of_speech(language, profile="laptop")
    assert frame.attrs["real"] and frame["split"].value_counts().to_dict() == {"train": train, "test": test}
