"""Keys of the group ``benchmark``: the speed of the program on this machine."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from llm_export.config.quant_schema import require, require_length
from llm_export.config.several import NUMBERS, require_numbers


@dataclass
class BenchmarkConfig:
    """Benchmark of the program on this machine."""

    name: str = MISSING
    enabled: bool = True
    """Whether to benchmark the program."""
    prompt_length: Any = field(default=None, metadata=NUMBERS)
    """Prompt tokens of the prefill measurement, one number or a list. null is 512, or what fits
    the context."""
    decode_length: Any = field(default=None, metadata=NUMBERS)
    """Generated tokens of the decode measurement, one number or a list. null is 128, or what fits
    the context."""
    depth: Any = field(default=None, metadata=NUMBERS)
    """Tokens in the caches before the prompt, one number or a list. null is those of
    ``default_depth`` that fit the context."""
    default_depth: list[int] = field(default_factory=lambda: [0])
    """The depths that are measured where ``depth`` is null, and which the context may shorten."""
    threads: Any = field(default=None, metadata=NUMBERS)
    """Threads, one number or a list; null is ExecuTorch's choice for the machine. Every combination
    of lengths, depths and threads is measured."""
    warmup: int | None = None
    """Repetitions before the measurement, not counted. null: until two in a row agree within 5%,
    five at most."""
    repetitions: int = 3
    """Measured repetitions of each combination; the median is reported."""
    max_seconds: float = 120.0
    """Start no further repetition after this time, so that the benchmark of a slow program
    ends."""
    sustained_seconds: float = 0.0
    """Afterwards decode for so long and record how the speed changes, as a processor that gets hot
    slows down; 0 is off."""
    profile: bool = False
    """Also divide the time of a step of the prompt, and of a generated token after it, among the
    modules of the model, as llm-export profile does; the report has the result."""
    description: str = ""

    def __post_init__(self) -> None:
        for key in ("prompt_length", "decode_length", "threads"):
            require_numbers(self, key, at_least=1)
        for key in ("depth", "default_depth"):
            require_numbers(self, key, at_least=0)
        require_length(self, "repetitions")
        require(self.warmup is None or self.warmup >= 0, "warmup", "must not be negative",
                self.warmup)  # fmt: skip
        require(self.max_seconds > 0, "max_seconds", "must be positive", self.max_seconds)
        require(0 <= self.sustained_seconds < math.inf, "sustained_seconds",
                "must be a number of seconds", self.sustained_seconds)  # fmt: skip
