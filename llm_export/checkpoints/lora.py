"""A checkpoint with a LoRA adapter merged into it, tensor by tensor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from llm_export.checkpoints.adapter import Adapter
from llm_export.checkpoints.base import Checkpoint, TensorInfo, describe_tensors
from llm_export.errors import CheckpointError
from llm_export.tokenizers.adapters import of_adapter
from llm_export.tokenizers.base import TokenizerAssets

_WEIGHT = ".weight"
_EMBEDDINGS = ("embed_tokens", "lm_head")


class MergedCheckpoint:
    """``base`` with W + scale * B @ A for each target of the adapter, in float32.

    Raises:
        CheckpointError: the adapter is of another model, or changes one of two tied weights.
    """

    naming = "hf"

    def __init__(self, base: Checkpoint, adapter: Adapter) -> None:
        require_hf_names(base)
        self.base = base
        self.adapter = adapter
        self.format = f"{base.format} + LoRA"
        self.files: tuple[Path, ...] = base.files + adapter.files
        self._base_infos = describe_tensors(base)
        self._require_fit()
        self._require_untied()

    def config(self) -> Mapping[str, Any]:
        return self.base.config()

    def names(self) -> list[str]:
        return self.base.names()

    def infos(self) -> Mapping[str, TensorInfo]:
        merged = {module + _WEIGHT for module in self.adapter.scale} | set(self.adapter.replaced)
        return {n: replace(i, dtype="f32") if n in merged else i
                for n, i in self._base_infos.items()}  # fmt: skip

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        adapter = self.adapter
        for name, tensor in self.base.tensors():
            if name in adapter.replaced:
                tensor = adapter.replaced[name]
            module = name.removesuffix(_WEIGHT)
            if name.endswith(_WEIGHT) and module in adapter.scale:
                a, b = (factor.to(torch.float32) for factor in adapter.pairs[module])
                # In place, without a B @ A of the weight's size. The reader does not keep the
                # tensor.
                tensor = tensor.to(torch.float32)
                target = tensor.T if adapter.fan_in_fan_out else tensor
                target.addmm_(b, a, alpha=adapter.scale[module])
            yield name, tensor

    def tokenizer(self) -> TokenizerAssets:
        """The adapter's tokenizer if it has one, else the base model's with the adapter's settings;
        see ``of_adapter``.

        Raises:
            CheckpointError: the adapter brings another vocabulary.
        """
        return of_adapter(self.base.tokenizer(), self.adapter.folder)

    def _require_fit(self) -> None:
        wanted = {module + _WEIGHT: shape for module, shape in self.adapter.shapes.items()}
        wanted |= self.adapter.replaced_shapes
        misfits = []
        for name, shape in wanted.items():
            info = self._base_infos.get(name)
            if info is None:
                misfits.append(f"{name} is not in the base model")
            elif info.shape != shape:
                misfits.append(f"{name} is {info.shape} in the base model and {shape} here")
        if misfits:
            raise CheckpointError(
                f"the adapter is of another model: {len(misfits)} of its {len(wanted)} targets do "
                f"not fit: {'; '.join(misfits[:3])}",
                where=str(self.adapter.folder),
                fix=f"its base_model_name_or_path is {self.adapter.base}",
            )

    def _require_untied(self) -> None:
        """Refuse an adapter that changes only one of two tied weights: the merge would change
        both.
        """
        tied = f"lm_head{_WEIGHT}" not in self._base_infos
        if not tied and not self.base.config().get("tie_word_embeddings"):
            return
        touched = [*self.adapter.scale, *(n.removesuffix(_WEIGHT) for n in self.adapter.replaced)]
        for module in touched:
            if module.split(".")[-1] in _EMBEDDINGS:
                raise CheckpointError(
                    f"the adapter changes {module}, and the base model ties embedding and head",
                    where=str(self.adapter.folder),
                    fix="untie and merge with PEFT (merge_and_unload), or train without it",
                )


def require_hf_names(base: Checkpoint) -> None:
    """Raises CheckpointError if an adapter's names are not those of ``base``."""
    if base.naming != "hf":
        raise CheckpointError(
            "an adapter needs a base model with Hugging Face names; "
            f"this one is of format {base.format}",
            where="checkpoint.adapter",
        )
