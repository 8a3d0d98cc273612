"""Training checkpoints: one safetensors file, replaced at each checkpoint."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from llm_export.files import replacing

_META = "training"


@dataclass(frozen=True)
class TrainingState:
    """Everything that the rest of a training depends on besides its settings.

    Attributes:
        step: updates done.
        curve: loss of each of them.
        tensors: what is trained, the model's persistent buffers, and the optimizer's moments.
    """

    step: int
    curve: list[float]
    tensors: dict[str, Tensor]


@dataclass(frozen=True)
class CheckpointFile:
    """The file in ``folder`` for ``digest``, a digest of everything that affects training: another
    recipe, text or model uses another file. This is best effort: a training goes on without it.

    Attributes:
        problems: what went wrong with it.
    """

    folder: Path
    digest: str
    problems: list[str] = field(default_factory=list, compare=False)

    @property
    def path(self) -> Path:
        return self.folder / f"{self.digest}.safetensors"

    def write(self, state: TrainingState) -> None:
        """Write to a temporary name and rename: a file with the final name is always complete."""
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        meta = json.dumps({"step": state.step, "curve": state.curve})
        # Cloned: safetensors refuses tensors that share memory.
        tensors = {n: t.detach().clone().contiguous() for n, t in state.tensors.items()}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(self.path) as partial:
                save_file(tensors, partial, {_META: meta})
        except (OSError, SafetensorError) as error:
            self.problems.append(f"no checkpoint of the training is kept: {error}")

    def read(self) -> TrainingState | None:
        """Read the last checkpoint; None if there is none. A damaged one is removed."""
        from safetensors import SafetensorError, safe_open

        if not self.path.is_file():
            return None
        try:
            with safe_open(str(self.path), "pt") as file:
                meta = json.loads((file.metadata() or {})[_META])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return TrainingState(int(meta["step"]), [float(x) for x in meta["curve"]], tensors)
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            self.problems.append(
                f"the checkpoint of an earlier training cannot be read: {error}; it begins anew"
            )
            self.remove()
            return None

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)
