"""Convert torchtune's LoRA adapters to PEFT's names, row order and settings.

``adapter_model.pt`` (``adapter_N.pt`` before 0.5) contains ``layers.0.attn.q_proj.lora_a.weight``
and so on; ``adapter_config.json`` in the same folder contains rank and alpha. Only torchtune's
Hugging Face checkpointer writes that config.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from llm_export.checkpoints.torchtune_storage import is_flat_file, read_header, read_tensors
from llm_export.compat.torchtune_names import adapter_modules
from llm_export.compat.torchtune_package import load_torchtune
from llm_export.errors import CheckpointError
from llm_export.files import read_json

CONFIG = "adapter_config.json"
# torchtune rotates interleaved RoPE pairs in these, so its rows of q and k have another order.
_INTERLEAVED = frozenset({"llama", "mistral", "gemma2"})
_HALVES = frozenset({"qwen2"})


@dataclass(frozen=True)
class PeftAdapter:
    """``tensors``: ``base_model.model.<module>.lora_A.weight`` [r, in] and ``lora_B`` [out, r],
    under Hugging Face's module names. ``settings``: r, lora_alpha, target_modules, ..."""

    tensors: Mapping[str, Tensor]
    settings: Mapping[str, Any]


def holds_torchtune_adapter(path: Path) -> bool:
    """Whether ``path`` is a file of tensors with torchtune's LoRA names."""
    if not is_flat_file(path):
        return False
    try:
        names = list(read_header(path))
    except CheckpointError:
        return False  # the reader that opens it then reports the error
    return bool(names) and all(_is_lora(name) for name in names)


def read_torchtune_adapter(path: Path, model_config: Mapping[str, Any]) -> PeftAdapter:
    """Convert a torchtune adapter file.

    Args:
        path: the file; its folder must hold an adapter_config.json with r and lora_alpha.
        model_config: the base model's config.json.

    Raises:
        CheckpointError: no LoRA adapter of torchtune's, of a model type whose adapters cannot
            be converted, or without settings.
        MissingDependencyError: torchtune is not installed.
    """
    load_torchtune()
    _require_plain_lora(read_header(path), path)
    state = dict(read_tensors(path))
    model_type = str(model_config.get("model_type"))
    if model_type not in _INTERLEAVED | _HALVES:
        raise CheckpointError(
            f"torchtune adapters of the model type '{model_type}' cannot be applied to a "
            "Hugging Face checkpoint",
            where=str(path),
            fix="export the checkpoint that torchtune merged the adapter into; adapters of "
            f"{', '.join(sorted(_INTERLEAVED | _HALVES))} can be applied",
        )
    return PeftAdapter(_converted(state, model_type, model_config, path), _settings(path, state))


def _converted(
    state: Mapping[str, Tensor], model_type: str, config: Mapping[str, Any], path: Path
) -> dict[str, Tensor]:
    from torchtune.models.convert_weights import tune_to_peft_adapter_weights

    heads = config["num_attention_heads"]
    sizes = {
        "num_heads": heads,
        "num_kv_heads": config.get("num_key_value_heads") or heads,
        "dim": config["hidden_size"],
        "head_dim": config.get("head_dim"),
    }
    converted: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if model_type in _HALVES:
            # The function reorders q and k for every model type, which is wrong for types that
            # torchtune does not reorder. Heads of two channels need no reordering.
            rows = tensor.shape[0] // 2
            sizes = {"num_heads": rows, "num_kv_heads": rows, "dim": 2 * rows, "head_dim": 2}
        try:
            converted |= tune_to_peft_adapter_weights({name: tensor}, **sizes)
        except Exception as error:  # get_mapped_key raises bare Exception; views a RuntimeError
            raise CheckpointError(
                f"torchtune cannot convert '{name}': {str(error).splitlines()[0]}",
                where=str(path),
                fix="is the adapter of this base model?",
            ) from None
    return converted


def _settings(path: Path, state: Mapping[str, Tensor]) -> dict[str, object]:
    from torchtune.models.convert_weights import tune_to_peft_adapter_config

    file = path.parent / CONFIG
    if not file.is_file():
        raise CheckpointError(
            "the adapter's rank and alpha are not known",
            where=str(file),
            fix='write it: {"r": RANK, "lora_alpha": ALPHA, "target_modules": ["q_proj", ...]}, '
            "with the values of the torchtune config that trained it",
        )
    settings = read_json(file)
    missing = {"r", "lora_alpha", "target_modules"} - set(settings)
    if missing:
        raise CheckpointError(f"the adapter's config lacks {sorted(missing)}", where=str(file))
    # torchtune writes the file after conversion; a hand-written one may have torchtune's names.
    if set(settings["target_modules"]) <= adapter_modules():
        settings = tune_to_peft_adapter_config(settings)
    ranks = {t.shape[0] for n, t in state.items() if n.endswith("lora_a.weight")}
    if ranks != {settings["r"]}:
        raise CheckpointError(
            f"the adapter has rank {', '.join(map(str, sorted(ranks)))}; "
            f"its config says r={settings['r']}",
            where=str(file),
        )
    return settings


def _require_plain_lora(state: Mapping[str, Tensor], path: Path) -> None:
    others = [name for name in state if not _is_lora(name)]
    if not state or others:
        dora = any(name.endswith(".magnitude") for name in others)
        raise CheckpointError(
            "DoRA adapters are not implemented" if dora
            else f"no torchtune LoRA adapter: it holds {', '.join(others[:3]) or 'nothing'}",
            where=str(path),
            fix="export the checkpoint that torchtune merged the adapter into",
        )  # fmt: skip


def _is_lora(name: str) -> bool:
    return name.endswith((".lora_a.weight", ".lora_b.weight"))
