"""Encoder–decoder models: an encoder whose output a decoder attends to."""
