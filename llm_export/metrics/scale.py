"""The scale from a loss of quality to a word.

A level holds if the mean KL divergence from the float32 model and the share of positions whose most
likely token changed are both within its limits. KL and changed answers predict what users notice
better than accuracy or perplexity do, in which errors cancel (Dutta et al. 2024,
arXiv:2407.09141). The limits lie between known formats: llama.cpp publishes, for Llama 3 8B against
float16 (tools/perplexity/README.md), Q8_0 0.0014 nats and 2.3 % changed, Q6_K 0.0055 and 4.0 %,
Q4_K_M 0.031 and 8.1 %, Q3_K_M 0.10, Q2_K 0.33 to 0.45 and 29 %, and 1.4 or more for the IQ1
formats. docs/quality.md has those of this project's options.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from llm_export.config.quant_schema import QUALITY_LIMIT

NOT_JUDGED = "not judged"
"""In place of a level where the loss says nothing of quality."""


@dataclass(frozen=True)
class Level:
    """
    Attributes:
        word: its name.
        meaning: what a user can expect.
        max_mean_kl: largest mean KL divergence, in nats.
        max_changed: largest share of positions with another most likely token.
    """

    word: str
    meaning: str
    max_mean_kl: float
    max_changed: float


LEVELS = (
    Level("lossless", "answers as the float model does", 0.001, 0.02),
    Level("near-lossless", "a difference is hard to find", 0.01, 0.07),
    Level("good", "a little is lost, as with common 4-bit formats", 0.05, 0.15),
    Level("visible loss", "answers differ, and hard questions suffer", QUALITY_LIMIT, 0.30),
    Level("poor", "answers are often wrong", 1.0, 0.60),
    Level("broken", "answers have little to do with the model's", math.inf, 1.0),
)
"""From best to worst."""

ADVISED = 3
"""Index of the first level for which a better option is named."""


def level_of(mean_kl: float, changed: float) -> Level:
    """The best level whose two limits hold; the last one for NaN."""
    for level in LEVELS:
        if mean_kl <= level.max_mean_kl and changed <= level.max_changed:
            return level
    return LEVELS[-1]
