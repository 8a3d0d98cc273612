"""Models that write down speech: an encoder of audio, and a decoder that attends to it."""
