"""A profile: where the time of a step of a bundle goes. Its JSON follows profile.schema.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from llm_export.profile.breakdown import Part
from llm_export.profile.kinds import ATTENTION, KINDS, LINEAR
from llm_export.profile.tree import Module, tree_of

PHASES = ("decode", "prefill")
FORMAT = 1
"""Version of profile.schema.json."""
_NAMED = 4
"""Kinds in the summary, at most."""
_LEAST = 0.01
"""The smallest share that the summary names."""


@dataclass(frozen=True)
class Share:
    """All parts of one kind.

    Attributes:
        share: of the traced step.
        bandwidth: the share of the machine's memory bandwidth at which its weights were read; None
            where the step has several tokens, or it reads no weights.
    """

    kind: str
    seconds: float
    share: float
    bytes: int
    bandwidth: float | None = None


@dataclass(frozen=True, kw_only=True)
class Profile:
    """
    Attributes:
        bundle: its name.
        phase: decode (one token) or prefill (several); of programs of several methods also a
            method's name.
        depth: tokens in the caches before the step.
        tokens: of the step; of a method without caches, the longest side of its inputs.
        step_seconds: of a step without the tracer; ``traced_seconds``: with it.
        steps: measured steps of each kind; the fastest quarter of each counts.
        bandwidth: bytes per second of a streaming read by as many threads.
        parts: of the traced step; they add up to it.
        whole: delegate -> how many of them traced no operators.
        unnamed_seconds: of operators of delegates that no operator of the graph matches.
        weights: module -> bytes in the program.
        conditions: what else the machine did, as of a benchmark; None where it does not tell.
    """

    bundle: str
    phase: str
    depth: int
    tokens: int
    method: str
    threads: int
    machine: Mapping[str, Any]
    conditions: Mapping[str, Any] | None
    executorch: str
    step_seconds: float
    traced_seconds: float
    steps: int
    bandwidth: float
    parts: tuple[Part, ...]
    whole: Mapping[str, int]
    unnamed_seconds: float
    weights: Mapping[str, int]

    @property
    def tracer_overhead(self) -> float:
        """What the tracer adds to a step, as a share of it."""
        return self.traced_seconds / self.step_seconds - 1

    @property
    def kinds(self) -> list[Share]:
        """By time, the longest first."""
        found = []
        for kind in KINDS:
            parts = [p for p in self.parts if p.kind == kind]
            seconds, size = sum(p.seconds for p in parts), sum(p.bytes for p in parts)
            if parts:
                bound = self.bound(seconds, size) if kind == LINEAR else None
                found.append(Share(kind, seconds, seconds / self.traced_seconds, size, bound))
        return sorted(found, key=lambda share: -share.seconds)

    def bound(self, seconds: float, size: int) -> float | None:
        """The share of the memory bandwidth at which so many bytes were read in so much time."""
        if self.tokens > 1 or not size or seconds <= 0:
            return None
        return size / seconds / self.bandwidth

    @property
    def modules(self) -> Module:
        return tree_of(self.parts)

    @property
    def slowest(self) -> Part:
        """The part of a module with the longest time."""
        named = [part for part in self.parts if part.module]
        return max(named or self.parts, key=lambda part: part.seconds)

    @property
    def summary(self) -> str:
        """One sentence: the kinds with most of the time, and the slowest module."""
        parts: list[str] = []
        for share in self.kinds:
            if share.share < _LEAST or len(parts) == _NAMED:
                continue
            text = f"{share.share:.0%} {'in ' * (share.kind == LINEAR)}{KINDS[share.kind]}"
            if share.bandwidth is not None:
                text += f" ({share.bandwidth:.0%} of the bandwidth bound)"
            if share.kind == ATTENTION and (self.depth or self.phase in PHASES):
                text += f" at depth {self.depth:,}"
            parts.append(text)
        slowest = self.slowest
        return f"{self.phase}: {', '.join(parts)}; slowest: {slowest.module or slowest.operator}"

    def as_dict(self) -> dict[str, object]:
        """The JSON object of ``--json``."""
        return {
            "format": FORMAT,
            "summary": self.summary,
            "bundle": self.bundle,
            "executorch": self.executorch,
            "machine": dict(self.machine),
            "conditions": self.conditions and dict(self.conditions),
            "threads": self.threads,
            "phase": self.phase,
            "method": self.method,
            "depth": self.depth,
            "tokens": self.tokens,
            "steps": self.steps,
            "step_seconds": self.step_seconds,
            "traced_seconds": self.traced_seconds,
            "tracer_overhead": self.tracer_overhead,
            "bandwidth_bytes_per_second": self.bandwidth,
            "kinds": [{**asdict(s), "name": KINDS[s.kind]} for s in self.kinds],
            "modules": _module(self.modules),
            "parts": [asdict(part) for part in self.parts],
            "delegates_without_operators": dict(self.whole),
            "unnamed_seconds": self.unnamed_seconds,
            "weights": dict(self.weights),
        }


def _module(module: Module) -> dict[str, object]:
    return {
        "path": module.path, "seconds": module.seconds, "bytes": module.bytes,
        "children": [_module(child) for child in module.children.values()],
    }  # fmt: skip
