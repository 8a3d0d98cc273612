"""Models of the transformers library, exported unchanged."""
