"""Models of the transformers library, exported as they stand."""
