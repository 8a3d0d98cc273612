"""Tokenizers: read from every checkpoint format, converted to tokenizer.json, and compared."""
