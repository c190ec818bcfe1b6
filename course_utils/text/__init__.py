"""Text before any network sees it: words and pieces of words, vocabularies, batches, tags, vectors of words."""

from course_utils.text.batches import length_bucketed, pad_rows
from course_utils.text.pieces import basic_tokens, learn_pieces, tokenize, word_pieces
from course_utils.text.word_vectors import WordVectors, score_analogies, score_senses, score_similarities
from course_utils.text.words import EncodedText, Vocabulary, spans, split_sentences, split_tokens, split_words
