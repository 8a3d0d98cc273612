"""Keys of the group ``deploy``: what the finished bundle is asked."""

from __future__ import annotations

from dataclasses import dataclass, field

from omegaconf import MISSING


@dataclass
class DeployConfig:
    """Files for the app that uses the bundle."""

    name: str = MISSING
    questions: list[str] = field(default_factory=list)
    """Asked of the finished bundle and kept with their answers as evidence."""
    reference: bool | None = None
    """Whether to ask the float32 model the same questions, and report where the program's answers
    part from its answers. null: if the recipe verifies the program, the weights are not random and
    the model has at most 400 million parameters."""
    description: str = ""
