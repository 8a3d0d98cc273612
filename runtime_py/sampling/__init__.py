"""Sample the next token from logits."""

from runtime_py.sampling.sampler import Sampler
from runtime_py.sampling.settings import SETTINGS, Sampling

__all__ = ["SETTINGS", "Sampler", "Sampling"]
