"""Measure a bundle on this machine: python -m runtime_py.benchmark BUNDLE."""

from runtime_py.benchmark.formats import FORMATS, text
from runtime_py.benchmark.measure import SCHEMA_VERSION, measure
from runtime_py.benchmark.spread import spread
from runtime_py.benchmark.words import DISTURBED, combinations, disturbed, table

__all__ = [
    "DISTURBED", "FORMATS", "SCHEMA_VERSION", "combinations", "disturbed", "measure", "spread",
    "table", "text",
]  # fmt: skip
