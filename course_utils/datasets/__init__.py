"""The course's data sets: from verified files to tidy frames with labels, splits and marked duplicates."""

from course_utils.datasets.claims import load_claims
from course_utils.datasets.corpora import Corpus, load_corpus
from course_utils.datasets.languages import attach, load_language, load_translations, suffix_language
from course_utils.datasets.messages import fold, load_sms, mark_duplicates, repair_text
from course_utils.datasets.names import NAME_TYPES, PARTS_OF_SPEECH, load_entities, load_parts_of_speech
from course_utils.datasets.pairs import load_pairs
from course_utils.datasets.questions import load_questions
from course_utils.datasets.relations import load_analogies, load_glove, load_senses, load_similarities
from course_utils.datasets.reviews import load_minimal_pairs, load_reviews
