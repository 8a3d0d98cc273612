"""Convert tensors between torchtune's and Hugging Face's formats, by torchtune's own functions.

The functions rename tensors, reorder the rows of q and k where torchtune rotates interleaved pairs
(llama, mistral, gemma2), and split or fuse weights (phi3). They are applied to a few tensors at a
time, so that a checkpoint can be streamed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from llm_export.compat import torchtune_names
from llm_export.compat.torchtune_package import load_torchtune
from llm_export.errors import CheckpointError

Tensors = Mapping[str, Tensor]

# A fused weight of Hugging Face's Phi-3 is several weights in torchtune.
_FUSED = re.compile(r"(layers\.\d+\.)(?:(attn)\.[qkv]_proj|(mlp)\.w[13])\.weight")


@dataclass(frozen=True)
class Converter:
    """torchtune's pair of functions for a model type, as (tensors, config) -> tensors."""

    to_hf: Callable[[Tensors, Mapping[str, Any]], dict[str, Tensor]]
    to_tune: Callable[[Tensors, Mapping[str, Any]], dict[str, Tensor]]
    fused: bool = False

    def groups(self, names: Iterable[str]) -> list[list[str]]:
        """torchtune names in the smallest groups that ``to_hf`` can convert."""
        portions: dict[str, list[str]] = {}
        for name in names:
            match = _FUSED.fullmatch(name) if self.fused else None
            key = "".join(part or "" for part in match.groups()) if match else name
            portions.setdefault(key, []).append(name)
        return list(portions.values())


def converter(model_type: str, where: str) -> Converter:
    """The conversion functions of a config's ``model_type``.

    Raises:
        CheckpointError: torchtune has none for it.
        MissingDependencyError: torchtune is not installed.
    """
    if model_type not in _MAKERS:
        raise CheckpointError(
            f"no torchtune names are known for the model type '{model_type}'",
            where=where,
            fix=f"known: {', '.join(sorted(_MAKERS))}",
        )
    load_torchtune()
    return _MAKERS[model_type]()


def _sizes(config: Mapping[str, Any]) -> dict[str, Any]:
    heads = _required(config, "num_attention_heads")
    return {
        "num_heads": heads,
        # Configs from before grouped-query attention lack the key: as many KV heads as query heads.
        "num_kv_heads": config.get("num_key_value_heads") or heads,
        "dim": _required(config, "hidden_size"),
        "head_dim": config.get("head_dim"),
    }


def _required(config: Mapping[str, Any], key: str) -> Any:
    if key not in config:
        raise CheckpointError(
            f"the model config lacks '{key}', which torchtune's weight conversion needs",
            where="config.json",
        )
    return config[key]


def _guarded(convert: Callable[..., dict[str, Tensor]], tensors: Tensors, **sizes: Any) -> Any:
    try:
        return convert(dict(tensors), **sizes)
    except Exception as error:  # get_mapped_key raises bare Exception; views a RuntimeError
        raise CheckpointError(
            f"torchtune cannot convert {', '.join(tensors)}: {str(error).splitlines()[0]}",
            where="names and shapes of the checkpoint",
            fix="does its config.json describe this checkpoint?",
        ) from None


def _sized(to_hf: Callable[..., Any], to_tune: Callable[..., Any]) -> Converter:
    return Converter(
        lambda tensors, config: _guarded(to_hf, tensors, **_sizes(config)),
        lambda tensors, config: _guarded(to_tune, tensors, **_sizes(config)),
    )


def _llama() -> Converter:
    from torchtune.models.convert_weights import hf_to_tune, tune_to_hf

    return _sized(tune_to_hf, hf_to_tune)


def _qwen2() -> Converter:
    return _sized(*torchtune_names.qwen2())


def _gemma2() -> Converter:
    return _sized(*torchtune_names.gemma2())


def _phi3() -> Converter:
    to_hf, from_hf = torchtune_names.phi3()

    def to_tune(tensors: Tensors, config: Mapping[str, Any]) -> dict[str, Tensor]:
        sizes = {k: v for k, v in _sizes(config).items() if k != "head_dim"}
        return dict(_guarded(from_hf, tensors, **sizes))

    return Converter(lambda t, config: _guarded(to_hf, t), to_tune, fused=True)


_MAKERS: dict[str, Callable[[], Converter]] = {
    "llama": _llama,
    "mistral": _llama,
    "qwen2": _qwen2,
    "gemma2": _gemma2,
    "phi3": _phi3,
}
