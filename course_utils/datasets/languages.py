"""Languages whose words have many forms: real ones, and one that is made up."""

import json
import random
import re
from itertools import accumulate

import pandas as pd

from course_utils.assets import AssetError, resolve
from course_utils.datasets.corpora import Corpus
from course_utils.datasets.messages import read_lines, sourced
from course_utils.session import current_profile
from course_utils.text import split_sentences


def load_language(name: str) -> Corpus:
    """A small text in a language whose words have many forms, or in English for comparison.

    Args:
        name: ``finnish`` or ``english-genesis``, the same book in both (26,554 and 36,041 words), or ``turkish``, the 1,958
            sentences of a treebank's development and test parts, which do not belong together (19,730 words).
            None of them can be had in profile ``ci``.

    Raises:
        ValueError: if the name is another one.
        course_utils.assets.AssetError: if the files cannot be had; the message says what to do.
    """
    files = {"finnish": "finnish.txt", "english-genesis": "english-web.txt"}
    if name in files:
        asset = resolve("genesis")
        # The lines end within sentences; the Finnish file is in Latin-1, the English one in ASCII.
        text = " ".join(asset.path(files[name]).read_text(encoding="latin-1").split())
        return Corpus(name, split_sentences(text), asset.origin, asset.licence, asset.citation)
    if name != "turkish":
        raise ValueError(f"name must be finnish, english-genesis or turkish, not {name!r}.")
    asset = resolve("ud-turkish-boun")
    if not asset.real:
        advice = "In profile ci only thirty sentences stand in for it, no text to read: COURSE_PROFILE=laptop fetches it."
        raise AssetError(f"The Turkish treebank is not here. {advice}")
    lines = "\n".join(asset.path(file).read_text(encoding="utf-8") for file in asset.files)
    # The sentence as it was written: the treebank's own rows split some words in two.
    sentences = re.findall(r"^# text = (.+)$", lines, flags=re.MULTILINE)
    # Turkish has two letters i, and Python's lower() knows one: it would give i for I and a broken i for İ.
    sentences = [sentence.replace("İ", "i").replace("I", "ı") for sentence in sentences]
    return Corpus(name, sentences, asset.origin, asset.licence, asset.citation)


# The languages that there are translations of, as Tatoeba and as Django call them.
TRANSLATED = {
    "de": ("deu", "de"), "es": ("spa", "es"), "et": ("est", "et"), "fi": ("fin", "fi"), "fr": ("fra", "fr"),
    "sw": ("swh", "sw"), "tr": ("tur", "tr"), "zh": ("cmn", "zh_Hans"),
}  # fmt: skip


def load_translations(language: str, *, profile: str | None = None) -> pd.DataFrame:
    """Sentences in English and in another language: Tatoeba's test set, or Django's messages where it cannot be had.

    Of Django's messages (profile ``ci``) those that are whole sentences without anything to be filled in are taken, some ninety,
    of Swahili 66: the language of forms and error messages, many of them alike.

    Args:
        language: ``de``, ``es``, ``et``, ``fi``, ``fr``, ``sw``, ``tr`` or ``zh``.
        profile: ``ci``, ``laptop`` or ``gpu``; by default the one in force.

    Returns:
        ``english`` and ``translation``, 1,000 rows, of Swahili 390. ``attrs`` as for :func:`load_claims`; ``real`` is true of Tatoeba.

    Raises:
        ValueError: for another language.
        course_utils.assets.AssetError: if neither can be had.
    """
    if language not in TRANSLATED:
        raise ValueError(f"language must be one of {', '.join(TRANSLATED)}, not {language!r}.")
    there, here = TRANSLATED[language]
    profile = current_profile(profile)
    if profile != "ci":
        try:
            asset = resolve("tatoeba", profile=profile)
            sides = (read_lines(asset.path(f"tatoeba.{there}-eng.{side}")) for side in ("eng", there))
            return sourced(pd.DataFrame(zip(*sides, strict=True), columns=["english", "translation"]), asset)
        except AssetError as error:
            print(f"Tatoeba could not be had ({error.short}). Django's messages are used instead.")
    asset = resolve("django-messages", profile=profile)
    texts = [asset.path(file).read_text(encoding="utf-8") for file in asset.files if f"/{here}/" in file]
    pairs = (pair for text in texts for entry in text.split("\n\n") if (pair := _message(entry)))
    frame = pd.DataFrame(pairs, columns=["english", "translation"])
    frame = sourced(frame.drop_duplicates("english", ignore_index=True), asset)
    frame.attrs["real"] = False
    return frame


def _message(entry: str) -> tuple[str, str] | None:
    """A whole English sentence of a ``.po`` file and its translation; None for what is fuzzy, plural, a title or a pattern."""
    found = re.search(r"^msgid (.*?)^msgstr (.*)", entry, flags=re.MULTILINE | re.DOTALL)
    if not found or re.search(r"^#,.*fuzzy|^#~|^msgid_plural", entry, flags=re.MULTILINE):
        return None
    english, translation = ("".join(map(json.loads, part.strip().split("\n"))) for part in found.groups())
    whole = re.fullmatch(r"(\S+ ){3,}\S+[.!?]", english) and not re.search(r"[%{}<>]", english)
    return (english, translation) if whole and translation else None


# ---- a made-up language of long suffixes

VOWELS, FRONT, CONSONANTS = "aıoueiöü", "eiöü", "bdgklmnprstvyz"
# A stands for a or e, I for ı or i: whichever agrees with the vowels before it.
POSSESSIVE, CASE = ("Im", "In", "I", "ImIz", "InIz"), ("I", "A", "dA", "dAn", "lA", "cA")
TENSE, PERSON = ("dI", "mIş", "AcAk", "Ar"), ("Im", "sIn", "Iz", "sInIz", "lAr")


def attach(word: str, suffix: str) -> str:
    """The suffix in the form that fits the word: vowels in harmony, and an n where two vowels would meet."""
    front = [letter for letter in word if letter in VOWELS][-1] in FRONT
    spelled = suffix.replace("A", "e" if front else "a").replace("I", "i" if front else "ı")
    return f"n{spelled}" if word[-1] in VOWELS and spelled[0] in VOWELS else spelled


def suffix_language(words: int, seed: int = 0) -> list[list[str]]:
    """Sentences of a made-up agglutinative language, its morphology like a small part of Turkish.

    Written for the course: it shows what such a language does to a vocabulary. The grammar:

    - sentence: one to four nouns, then a verb;
    - noun: one of 600 stems, then plural (in 30 % of cases), possessive (40 %), case (60 %);
    - verb: one of 200 stems, then tense, then person (70 %);
    - a stem has one vowel, back or front, and every suffix takes vowels of that kind (two-way harmony);
      stem number r is drawn with a probability proportional to 1 / r (Zipf).

    Returns:
        Sentences with at least ``words`` words, their seams marked: ``kel-ler-im-den``. The stems are the same for all seeds.
    """
    if words < 1:
        raise ValueError(f"words must be 1 or more, not {words!r}.")
    stems = [onset + vowel + coda for onset in CONSONANTS for vowel in VOWELS for coda in CONSONANTS]
    stems = random.Random(0).sample(stems, 800)
    nouns, verbs, zipf = stems[:600], stems[600:], list(accumulate(1 / rank for rank in range(1, 601)))
    draw = random.Random(seed)

    def build(stems: list[str], *slots: tuple[tuple[str, ...], float]) -> str:
        pieces = draw.choices(stems, cum_weights=zipf[: len(stems)])
        for suffixes, share in slots:
            if draw.random() < share:
                pieces.append(attach("".join(pieces), draw.choice(suffixes)))
        return "-".join(pieces)

    sentences: list[list[str]] = []
    while words > 0:
        number = range(draw.randint(1, 4))
        sentence = [build(nouns, (("lAr",), 0.3), (POSSESSIVE, 0.4), (CASE, 0.6)) for _ in number]
        sentences.append([*sentence, build(verbs, (TENSE, 1.0), (PERSON, 0.7))])
        words -= len(sentences[-1])
    return sentences
