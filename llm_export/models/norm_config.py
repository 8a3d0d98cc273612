"""Config of a norm."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NormConfig:
    eps: float
    kind: str = "rms"
    bias: bool = False
