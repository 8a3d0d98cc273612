"""Metrics for the difference between two models, by name. Importing this package or a metric of it
does not import torch.
"""

from llm_export.metrics.base import Metric
from llm_export.metrics.value import Value
from llm_export.registry import Registry

METRICS: Registry[Metric] = Registry("metric", needs=("name", "start", "columns"))

METRICS.register("kl", "llm_export.metrics.kl:METRIC")
METRICS.register("top1", "llm_export.metrics.top1:METRIC")
METRICS.register("logit_diff", "llm_export.metrics.logit_diff:METRIC")
METRICS.register("perplexity", "llm_export.metrics.perplexity:METRIC")
METRICS.register("word_perplexity", "llm_export.metrics.word_perplexity:METRIC")
METRICS.take_from_plugins("metrics")


def metrics() -> list[Metric]:
    """All metrics, in order of registration.

    Raises:
        MissingDependencyError: one of a plugin cannot be used; ``checks`` tells it before a run.
    """
    return [METRICS.get(name) for name in METRICS.in_order()]


def columns() -> list[Value]:
    """The values of all metrics that can be used, as a table has them."""
    sound = set(METRICS.sound())
    return [v for name in METRICS.in_order() if name in sound for v in METRICS.get(name).columns()]
