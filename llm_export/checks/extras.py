"""Optional packages that features beside backends need, and which of them are installed."""

from __future__ import annotations

from dataclasses import dataclass

from llm_export.compat.versions import installed

EXTRAS = {
    "hf": ("transformers", "the generic tier, and comparison with a checkpoint's own code"),
    "eval": ("lm-eval", "tasks of lm-evaluation-harness"),
    "datasets": ("datasets", "calibration on a dataset of the hub"),
    "torchtune": ("torchtune", "model.definition=torchtune"),
    "tune": ("optuna", "llm-export tune"),
    "templates": ("minijinja", "chat templates in minijinja, as apps in Rust render them"),
    "joblib": ("hydra-joblib-launcher", "sweeps in several processes"),
    "slurm": ("hydra-submitit-launcher", "sweeps on a cluster"),
    "ray": ("ray", "sweeps on Ray"),
}
"""Extra of this package -> (the distribution that it installs, what needs it)."""


@dataclass(frozen=True)
class ExtraState:
    """Attributes:
    version: of the package; None if it is not installed.
    purpose: what needs it.
    """

    name: str
    package: str
    version: str | None
    purpose: str

    @property
    def install(self) -> str:
        return f"pip install 'llm_export[{self.name}]'"


def extra_states() -> list[ExtraState]:
    return [
        ExtraState(name, package, installed(package) or None, purpose)
        for name, (package, purpose) in EXTRAS.items()
    ]
