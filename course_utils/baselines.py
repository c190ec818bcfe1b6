"""What a network has to beat before anybody says that it has learned something: counting, on the tokens it reads itself.

An opponent is fair if it gets the same texts, the same tokens and the same labels. On scikit-learn's own tokens, naive Bayes
sees another word in every telephone number; on folded tokens, where each digit is a 0, its F1 on text messages with 100
labels rises from .72 to .84. So every opponent here takes the function that the network splits its texts with.
"""

from collections.abc import Callable

from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils.validation import check_is_fitted

Split = Callable[[str], list[str]]


def opponents(split: Split) -> dict[str, Pipeline]:
    """The baselines that every lecture compares with, the weakest first, unfitted.

    - *the commonest class* reads nothing: what is left of a score when there is no skill;
    - *naive Bayes* multiplies the shares of words in each class (Manning, Raghavan & Schütze, 2008, section 13.2);
    - *words* weighs each word by TF-IDF under a logistic regression (section 6.2 there);
    - *characters* does the same with all runs of two to five characters inside words: it needs no tokens, and
      shares what it learns between *free*, *freee* and *FREE*.

    Rare classes get the weight of frequent ones, as in the lectures' networks.

    Args:
        split: from a text to its tokens, the very function that the network's texts go through. Its own folding of case and
            digits counts: characters are taken from the tokens joined by spaces.

    Returns:
        Name -> pipeline with ``fit(texts, labels)`` and ``predict(texts)``; texts are a list, an array or a column of strings.
        Naive Bayes needs a text with a token in it, and words and characters two classes: scikit-learn raises ValueError.
    """

    def joined(text: str) -> str:
        return " ".join(split(text))

    # As the tokenizer, split would get texts that the vectorizer has lower-cased; as the analyzer it gets them as they are.
    return {
        "the commonest class": make_pipeline(CountVectorizer(analyzer=split), DummyClassifier()),
        "naive Bayes": make_pipeline(CountVectorizer(analyzer=split), MultinomialNB()),
        "words": make_pipeline(TfidfVectorizer(analyzer=split, sublinear_tf=True), _regression()),
        "characters": make_pipeline(
            TfidfVectorizer(preprocessor=joined, analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True),
            _regression(),
        ),
    }


def _regression() -> LogisticRegression:
    return LogisticRegression(C=30, class_weight="balanced", max_iter=1000)


def counted(opponent: Pipeline) -> int:
    """How many weights an opponent has learned: one for each class and token, or each token where a line parts two classes.

    Raises:
        sklearn.exceptions.NotFittedError: before ``fit``.
    """
    check_is_fitted(opponent[-1])
    weights = getattr(opponent[-1], "coef_", getattr(opponent[-1], "feature_log_prob_", None))
    return 0 if weights is None else int(weights.size)
