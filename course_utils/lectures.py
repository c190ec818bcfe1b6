"""The lectures and their groups, in the order in which they are taught."""

LECTURES: dict[str, list[str]] = {
    "Start here": ["00 Welcome"],
    "Words": ["01 Word2vec", "02 GloVe"],
    "Language models": ["03 Language models", "04 ELMo", "05 ULMFiT"],
    "Transformers": ["06 The Transformer", "07 The tokenizer", "08 BERT pre-training"],
    "Using BERT": ["09 BERT features", "10 Freeze and fine-tune", "11 Full fine-tuning", "12 Adapters"],
    "Going further": ["13 One encoder, many tasks", "14 Beyond English, beyond BERT", "15 Into production"],
}
