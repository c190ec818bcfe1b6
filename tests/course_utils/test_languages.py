"""Languages of long suffixes: Finnish and Turkish as their files are read, and the made-up one."""

from itertools import pairwise

import pytest

from course_utils.assets import AssetError, Resolved
from course_utils.datasets import attach, languages, load_language, load_translations, suffix_language


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A function that makes some files those of every asset."""

    def write(**contents):
        for name, content in contents.items():
            (tmp_path / name).write_bytes(content)
        resolved = Resolved("toy", tmp_path, "mirror", tuple(contents), "CC0", "Nobody.")
        monkeypatch.setattr(languages, "resolve", lambda name: resolved)

    return write


def test_turkish_has_two_letters_i(files):
    first = "# text = IŞIK İstanbul’da, ılık!\n1\tIşık\t_\n\n# text = 1990\n1\t1990\t_\n\n"
    files(dev=first.encode(), test="# sent_id = 1\n# text = Iğdır İzmir\n".encode())
    assert load_language("turkish").words == [["ışık", "istanbul'da", "ılık"], ["ığdır", "izmir"]]


def test_finnish_is_read_as_latin_1_and_across_its_lines(files):
    files(**{"finnish.txt": "Maa oli\nautio ja tyhjä.  Jumala\nsanoi: Ääni!\n".encode("latin-1")})
    corpus = load_language("finnish")
    assert corpus.sentences == ["Maa oli autio ja tyhjä.", "Jumala sanoi: Ääni!"]
    assert corpus.words[1] == ["jumala", "sanoi", "ääni"]


def test_a_language_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="finnish, english-genesis or turkish, not 'swahili'"):
        load_language("swahili")
    for name in ("finnish", "turkish"):  # profile ci
        with pytest.raises(AssetError, match="COURSE_PROFILE=laptop"):
            load_language(name)


@pytest.mark.parametrize(
    ("name", "sentences", "words", "different", "some"),
    [
        ("finnish", 2121, 26_554, 6385, ["alussa", "jumala", "loi", "taivaan", "ja", "maan"]),
        ("english-genesis", 2212, 36_041, 2500, ["in", "the", "beginning", "god", "created", "the"]),
        ("turkish", 1958, 19_730, 10_300, ["fakülteyi", "bitirenler", "en", "uçtan", "göreve"]),
    ],
)
def test_the_real_languages(mirror, monkeypatch, name, sentences, words, different, some):
    if not {"genesis", "ud-turkish-boun"} <= {path.name for path in mirror.iterdir()}:
        pytest.skip("needs genesis and ud-turkish-boun in COURSE_MIRROR")
    monkeypatch.setenv("COURSE_PROFILE", "laptop")
    corpus = load_language(name)
    flat = [word for sentence in corpus.words for word in sentence]
    assert (len(corpus.sentences), len(flat), len(set(flat))) == (sentences, words, different)
    assert corpus.words[0][: len(some)] == some and corpus.origin == "mirror"
    assert "i\u0307" not in "".join(flat) and max(map(len, corpus.words)) < 120


# Translations

PO = """msgid ""
msgstr ""
"Project-Id-Version: django\\n"

msgid "German"
msgstr "Almanca"

#: a.py
msgid "Enter a valid \\"value\\", please."
msgstr "Geçerli bir "
"\\"değer\\" girin."

#, fuzzy
msgid "This translation is a guess."
msgstr "Bu bir tahmin."

#, python-format
msgid "Please enter %(count)d more values."
msgstr "%(count)d değer daha."

msgid "Ensure that it has one character."
msgid_plural "Ensure that it has more characters."
msgstr[0] "Bir karakter."

msgid "Nobody has translated this one."
msgstr ""

msgctxt "page"
msgid ""
"This is a longer text, "
"in two lines."
msgstr "İki satırlık uzun metin."

#~ msgid "This one is out of use."
#~ msgstr "Kullanılmıyor."
"""


def test_whole_sentences_of_django_alone_are_taken(tmp_path, monkeypatch):
    names = [
        f"{app}/locale/{place}/LC_MESSAGES/django.po" for app in ("conf", "auth") for place in ("tr", "de")
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(
            PO if "/tr/" in name else 'msgid "Wrong, wrong, and wrong."\nmsgstr "x"\n', encoding="utf-8"
        )
    found = Resolved("django-messages", tmp_path, "wheel", tuple(names), "BSD", "Django.")
    monkeypatch.setattr(languages, "resolve", lambda name, profile: found)
    frame = load_translations("tr")
    assert frame["english"].tolist() == [
        'Enter a valid "value", please.',
        "This is a longer text, in two lines.",
    ]
    assert frame["translation"].tolist() == ['Geçerli bir "değer" girin.', "İki satırlık uzun metin."]
    assert frame.attrs == {"origin": "wheel", "real": False, "licence": "BSD", "citation": "Django."}


def test_where_tatoeba_cannot_be_had_djangos_messages_are_read_and_a_line_says_so(monkeypatch, capsys):
    real = languages.resolve

    def resolve(name, profile):
        if name == "tatoeba":
            raise AssetError("long", "no connection")
        return real(name, profile="ci")

    try:
        real("django-messages", profile="ci")
    except AssetError:
        pytest.skip("needs the packages of wheels.txt")
    monkeypatch.setattr(languages, "resolve", resolve)
    frame = load_translations("de", profile="laptop")
    line = "Tatoeba could not be had (no connection). Django's messages are used instead.\n"
    assert not frame.attrs["real"] and capsys.readouterr().out == line


def test_an_unknown_language_has_no_translations():
    with pytest.raises(ValueError, match=r"one of de, es, .* zh, not 'eu'"):
        load_translations("eu")


@pytest.mark.parametrize(
    ("language", "rows"),
    {"de": 83, "es": 89, "et": 89, "fi": 87, "fr": 89, "sw": 64, "tr": 89, "zh": 90}.items(),
)
def test_djangos_real_messages(language, rows):
    try:
        frame = load_translations(language)
    except AssetError:
        pytest.skip("needs the packages of wheels.txt")
    assert len(frame) == rows and not frame["english"].duplicated().any()
    assert (
        frame["english"].str.fullmatch(r"[A-Z].*[.!?]").all()
        and not frame["translation"].str.contains("[%{]").any()
    )


@pytest.mark.parametrize(
    ("language", "rows", "first"),
    [("de", 1000, "Maria sagte, sie"), ("sw", 390, "Alinileta kahawa."), ("zh", 1000, "我們試試看！")],
)
def test_tatoebas_pairs_are_aligned(mirror, language, rows, first):
    if not (mirror / "tatoeba").is_dir():
        pytest.skip("needs tatoeba in COURSE_MIRROR")
    frame = load_translations(language, profile="laptop")
    assert len(frame) == rows and frame["translation"].iloc[0].startswith(first) and frame.attrs["real"]
    assert frame.columns.tolist() == ["english", "translation"] and (
        frame.apply(lambda text: text.str.len()) > 0
    ).all(axis=None)


# The made-up language


def test_suffixes_are_in_harmony_and_vowels_do_not_meet():
    assert attach("ev", "lAr") == "ler" and attach("dal", "lAr") == "lar"
    assert attach("göz", "ImIz") == "imiz" and attach("kol", "dAn") == "dan"
    assert attach("kolu", "A") == "na" and attach("evi", "I") == "ni" and attach("evi", "dA") == "de"


def test_every_word_of_the_language_is_in_harmony_with_itself():
    text = suffix_language(5_000, seed=1)
    assert sum(map(len, text)) >= 5_000
    for sentence in text:
        assert 2 <= len(sentence) <= 5
        for word in sentence:
            vowels = {letter in "eiöü" for letter in word if letter in "aıoueiöü"}
            assert len(vowels) == 1, word
            letters = word.replace("-", "")
            assert not any(a in "aıoueiöü" and b in "aıoueiöü" for a, b in pairwise(letters)), word


def test_the_language_is_the_same_each_time_and_other_seeds_say_other_things_with_the_same_stems():
    one, again, other = suffix_language(20_000, 3), suffix_language(20_000, 3), suffix_language(20_000, 4)
    assert one == again and one != other
    stems = [{word.split("-")[0] for sentence in text for word in sentence} for text in (one, other)]
    assert len(stems[0] | stems[1]) <= 800 and len(stems[0] & stems[1]) > 700


def test_a_language_without_words_is_refused():
    with pytest.raises(ValueError, match="words must be 1 or more"):
        suffix_language(0)
