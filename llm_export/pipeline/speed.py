"""benchmark.json: how fast a bundle is, as ``runtime_py.benchmark`` measures it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

from llm_export.json_data import OPTIONAL, from_json, to_json


@dataclass(frozen=True)
class Spread:
    """Of repetitions. What results of earlier versions lack is None or empty.

    Attributes:
        p10: percentiles: a tenth of the repetitions is below it.
        samples: the repetitions, or evenly spaced ones of many.
    """

    median: float
    min: float
    max: float
    stdev: float
    mean: float | None = field(default=None, metadata=OPTIONAL)
    p10: float | None = field(default=None, metadata=OPTIONAL)
    p50: float | None = field(default=None, metadata=OPTIONAL)
    p90: float | None = field(default=None, metadata=OPTIONAL)
    p99: float | None = field(default=None, metadata=OPTIONAL)
    samples: tuple[float, ...] | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True)
class BenchmarkSettings:
    """Lengths are in tokens.

    Attributes:
        depth: tokens in the caches before the prompt.
    """

    prompt_length: int
    decode_length: int
    warmup: int
    repetitions: int
    threads: int
    depth: int | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True)
class LoadTimes:
    """Seconds: of the imports, unless they were done already; of loading the program; of the first
    step after that, one token."""

    imports_seconds: float
    program_seconds: float
    first_step_seconds: float


@dataclass(frozen=True)
class Bandwidth:
    """
    Attributes:
        bytes_per_second: that the machine reads.
        decode_share: the part of it at which decoding reads weights and caches; None where it is
            not known what a step reads.
    """

    bytes_per_second: float
    decode_share: float | None


@dataclass(frozen=True, kw_only=True)
class SpeedTest:
    """One combination of lengths, depth and threads.

    Attributes:
        warmup: rounds before the measurement.
        warmup_settled: whether the last two of them agreed; None where their number was given.
        bandwidth_share: as ``Bandwidth.decode_share``.
    """

    prompt_length: int
    decode_length: int
    depth: int
    threads: int
    warmup: int
    warmup_settled: bool | None
    repetitions: int
    time_to_first_token_seconds: Spread
    prefill_tokens_per_second: Spread
    decode_tokens_per_second: Spread
    inter_token_latency_seconds: Spread
    bandwidth_share: float | None


@dataclass(frozen=True)
class SpeedAt:
    """Mean speed since the point before, at so many seconds."""

    seconds: float
    tokens_per_second: float


@dataclass(frozen=True, kw_only=True)
class Sustained:
    """Decoding for a long time.

    Attributes:
        first_tokens_per_second, last_tokens_per_second: in the first and last tenth of the time.
        drift: their ratio; below 1, it became slower.
    """

    seconds: float
    tokens: int
    tokens_per_second: float
    first_tokens_per_second: float
    last_tokens_per_second: float
    drift: float
    series: tuple[SpeedAt, ...]


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
    Figures that are not in ``tests`` are those of the first combination. Results of earlier
    versions lack what is None by default.

    Attributes:
        bundle: its name; None before it has one.
        conditions: None for results of earlier versions.
        peak_memory_bytes: of the process that ran the program.
        steady_memory_bytes: of the same after the measurement.
        bare_memory_bytes: of the same process, with all its libraries, before it loaded the
            program; None for results of earlier versions.
        weight_bytes: of the program; ``cache_bytes``: of keys, values and states.
        tests: every combination.
        notes: a line for each length that the context has shortened.
        measured: when, in UTC.
        image_encoding_seconds: of one image, or one tile of it, where the program sees.
        device: what ``targets.bench.bench_on`` tells of another device; None for this machine.
    """

    schema_version: int | None = field(default=None, metadata=OPTIONAL)
    bundle: str | None = field(default=None, metadata=OPTIONAL)
    settings: BenchmarkSettings
    machine: BenchmarkMachine
    conditions: BenchmarkConditions | None = field(default=None, metadata=OPTIONAL)
    load_seconds: float
    load: LoadTimes | None = field(default=None, metadata=OPTIONAL)
    time_to_first_token_seconds: Spread
    prefill_tokens_per_second: Spread
    decode_tokens_per_second: Spread
    inter_token_latency_seconds: Spread | None = field(default=None, metadata=OPTIONAL)
    image_encoding_seconds: Spread | None = field(default=None, metadata=OPTIONAL)
    peak_memory_bytes: int
    steady_memory_bytes: int | None = field(default=None, metadata=OPTIONAL)
    bare_memory_bytes: int | None = field(default=None, metadata=OPTIONAL)
    weight_bytes: int | None = field(default=None, metadata=OPTIONAL)
    cache_bytes: int | None = field(default=None, metadata=OPTIONAL)
    bandwidth: Bandwidth | None = field(default=None, metadata=OPTIONAL)
    tests: tuple[SpeedTest, ...] | None = field(default=None, metadata=OPTIONAL)
    sustained: Sustained | None = field(default=None, metadata=OPTIONAL)
    notes: tuple[str, ...] | None = field(default=None, metadata=OPTIONAL)
    measured: str | None = field(default=None, metadata=OPTIONAL)
    device: dict[str, object] | None = field(default=None, metadata=OPTIONAL)

    @property
    def disturbed(self) -> bool:
        """Whether other processes made the figures doubtful; False if it is not known."""
        return self.conditions is not None and self.conditions.disturbed

    def brief(self) -> Speed:
        """Without the single measurements: what a record of the run needs."""
        names = [f.name for f in fields(self) if isinstance(getattr(self, f.name), Spread)]
        spreads = {name: replace(getattr(self, name), samples=None) for name in names}
        return replace(self, **spreads, tests=None, sustained=None)

    def as_dict(self) -> dict[str, object]:
        """The JSON object of benchmark.json."""
        return to_json(self)

    @classmethod
    def from_dict(cls, body: object) -> Speed:
        """Raises ValueError, naming the key, if ``body`` is no such object."""
        return from_json(cls, body)
