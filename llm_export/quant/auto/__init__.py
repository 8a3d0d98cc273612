"""Automatic mixed precision: the candidates, the choice among them, and the resulting rules."""
