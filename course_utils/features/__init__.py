"""A frozen encoder as a feature extractor: encode once, keep the vectors, train heads on them."""

from course_utils.features.encoder import (
    POOLINGS,
    Encoder,
    encode,
    encode_words,
    has_bf16,
    load_encoder,
    standardise,
)  # fmt: skip
