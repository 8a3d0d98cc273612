"""Bundles on the command line: ``python -m runtime_py``, and verbs of ``llm-export``."""
