"""benchmark.json: how fast a bundle is, as ``runtime_py.benchmark`` measures it."""

from __future__ import annotations

from dataclasses import dataclass, field

from llm_export.json_data import OPTIONAL, from_json, to_json


@dataclass(frozen=True)
class Spread:
    """Of repetitions."""

    median: float
    min: float
    max: float
    stdev: float


@dataclass(frozen=True)
class BenchmarkSettings:
    """Lengths are in tokens."""

    prompt_length: int
    decode_length: int
    warmup: int
    repetitions: int
    threads: int


@dataclass(frozen=True)
class BenchmarkMachine:
    processor: str
    logical_cpus: int | None


@dataclass(frozen=True, kw_only=True)
class Speed:
    """
    Attributes:
        bundle: its name; None before it has one.
        peak_memory_bytes: of the process that ran the program.
        measured: when, in UTC.
    """

    bundle: str | None = field(default=None, metadata=OPTIONAL)
    settings: BenchmarkSettings
    machine: BenchmarkMachine
    load_seconds: float
    time_to_first_token_seconds: Spread
    prefill_tokens_per_second: Spread
    decode_tokens_per_second: Spread
    peak_memory_bytes: int
    measured: str | None = field(default=None, metadata=OPTIONAL)

    def as_dict(self) -> dict[str, object]:
        """The JSON object of benchmark.json."""
        return to_json(self)

    @classmethod
    def from_dict(cls, body: object) -> Speed:
        """Raises ValueError, naming the key, if ``body`` is no such object."""
        return from_json(cls, body)
