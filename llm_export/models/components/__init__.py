"""Parts that a decoder is composed of. One concern a file; chosen by config."""
