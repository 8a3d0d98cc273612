"""Vision-language models of the transformers library as they stand: the generic tier of ``see``."""
