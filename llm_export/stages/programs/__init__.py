"""Stages of programs that are no decoders; see ``models.programs``."""
