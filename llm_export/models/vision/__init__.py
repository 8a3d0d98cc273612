"""Vision-language models: a vision tower, a projector and a decoder."""
