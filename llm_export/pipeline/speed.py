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
    """
    Attributes:
        features: instruction sets, as torch names them: avx2, avx512_vnni, amx_int8, neon, dot.
        governor: of the CPU frequency; None where the system does not tell.
    """

    processor: str
    logical_cpus: int | None
    physical_cpus: int | None = None
    features: tuple[str, ...] = ()
    governor: str | None = None


@dataclass(frozen=True)
class BenchmarkConditions:
    """What else the machine did.

    Attributes:
        load_average_before: of the minute before; None where the system has none.
        other_cpus: CPUs that other processes kept busy during the measurement, on average.
        disturbed: whether that makes the figures doubtful.
    """

    load_average_before: float | None
    other_cpus: float
    disturbed: bool


@dataclass(frozen=True, kw_only=True)
class Speed:
    """
    Attributes:
        bundle: its name; None before it has one.
        conditions: None for results of earlier versions.
        peak_memory_bytes: of the process that ran the program.
        bare_memory_bytes: of the same process, with all its libraries, before it loaded the
            program; None for results of earlier versions.
        measured: when, in UTC.
        device: what ``targets.bench.bench_on`` tells of another device; None for this machine.
    """

    bundle: str | None = field(default=None, metadata=OPTIONAL)
    settings: BenchmarkSettings
    machine: BenchmarkMachine
    conditions: BenchmarkConditions | None = field(default=None, metadata=OPTIONAL)
    load_seconds: float
    time_to_first_token_seconds: Spread
    prefill_tokens_per_second: Spread
    decode_tokens_per_second: Spread
    peak_memory_bytes: int
    bare_memory_bytes: int | None = field(default=None, metadata=OPTIONAL)
    measured: str | None = field(default=None, metadata=OPTIONAL)
    device: dict[str, object] | None = field(default=None, metadata=OPTIONAL)

    @property
    def disturbed(self) -> bool:
        """Whether other processes made the figures doubtful; False if it is not known."""
        return self.conditions is not None and self.conditions.disturbed

    def as_dict(self) -> dict[str, object]:
        """The JSON object of benchmark.json."""
        return to_json(self)

    @classmethod
    def from_dict(cls, body: object) -> Speed:
        """Raises ValueError, naming the key, if ``body`` is no such object."""
        return from_json(cls, body)
