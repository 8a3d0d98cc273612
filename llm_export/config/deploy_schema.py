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
    targets: list[str] = field(default_factory=list)
    """Consumers that must be able to load the bundle: NAME@VERSION, or NAME for the latest version;
    `llm-export ls consumers` names them. The run fails if the bundle does not meet what one of them
    requires; what the recipe tells of that is refused before any work, and attention that it leaves
    open is plain for a consumer without fused operators."""
    reference: bool | None = None
    """Whether to ask the float32 model the same questions, and report where the program's answers
    part from its answers. null: if the recipe verifies the program, the weights are not random and
    the model has at most 400 million parameters."""
    description: str = ""
