"""Models that see: a vision tower, a projector and a decoder."""
