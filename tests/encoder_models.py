"""Tiny text encoders, made with transformers, in folders as sentence-transformers writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoConfig, AutoModel, PreTrainedModel

from llm_export.checkpoints.open import open_checkpoint
from llm_export.config.schema import CheckpointConfig
from llm_export.models.encoders.model import EncoderModel
from llm_export.models.encoders.options import EmbedOptions
from llm_export.models.programs.definition import build_on_meta
from llm_export.models.programs.families import TASK_FAMILIES
from llm_export.models.programs.load_tensors import load_tensors

FAMILIES = ("bert", "roberta", "xlm-roberta", "modernbert", "gemma3_text", "qwen3")
CONTEXT = 48
_ACTIVATIONS = st.sampled_from(["gelu", "relu", "silu", "gelu_new"])


def reference(model_type: str, seed: int = 0, **config: Any) -> PreTrainedModel:
    """A random encoder whose token vectors differ."""
    torch.manual_seed(seed)
    settings = AutoConfig.for_model(model_type, attn_implementation="eager", **config)
    model = AutoModel.from_config(settings, attn_implementation="eager").float().eval()
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if "norm" in name.lower():
                tensor.add_(0.2 * torch.randn_like(tensor))
            elif tensor.is_floating_point() and "rotary" not in name:
                tensor.normal_(std=1.0 if "embed" in name else tensor.shape[-1] ** -0.5)
    return model


def tiny(family: str) -> dict[str, Any]:
    """config.json of the family's own tiny member."""
    known = dict(TASK_FAMILIES.get(family).tiny)
    known.pop("dense", None)
    return known


@st.composite
def members(draw: st.DrawFn, family: str) -> dict[str, Any]:
    """Config values of a small, odd member."""
    e, heads = draw(st.sampled_from([4, 6, 10])), draw(st.sampled_from([2, 4, 6]))
    shared = {
        "vocab_size": draw(st.integers(40, 90)), "hidden_size": e * heads,
        "num_attention_heads": heads, "num_hidden_layers": draw(st.integers(1, 4)),
        "intermediate_size": draw(st.integers(5, 40)), "pad_token_id": draw(st.integers(0, 3)),
        "max_position_embeddings": draw(st.integers(CONTEXT + 4, 90)),
    }  # fmt: skip
    if family == "modernbert":
        flags = ("attention_bias", "mlp_bias", "norm_bias")
        return {
            **{flag: draw(st.booleans()) for flag in flags},
            **shared, "hidden_activation": draw(_ACTIVATIONS),
            "local_attention": draw(st.integers(2, 30)),
            "norm_eps": draw(st.sampled_from([1e-5, 1e-2])),
            "global_attn_every_n_layers": draw(st.integers(1, 4)),
            "global_rope_theta": draw(st.sampled_from([160000.0, 100.0])),
        }  # fmt: skip
    if family == "gemma3_text":
        return {
            **shared, "num_key_value_heads": draw(st.sampled_from([1, 2, heads])),
            "head_dim": draw(st.sampled_from([4, 8])), "sliding_window": draw(st.integers(2, 40)),
            "query_pre_attn_scalar": draw(st.integers(1, 30)),
            "use_bidirectional_attention": draw(st.sampled_from([True, True, False])),
        }  # fmt: skip
    if family == "qwen3":
        return {
            **shared, "num_key_value_heads": draw(st.sampled_from([1, 2, heads])),
            "head_dim": draw(st.sampled_from([4, 8])), "attention_bias": draw(st.booleans()),
            "hidden_act": draw(_ACTIVATIONS), "rms_norm_eps": 1e-6,
        }  # fmt: skip
    return {
        **shared, "hidden_act": draw(_ACTIVATIONS), "type_vocab_size": draw(st.integers(1, 3)),
        "layer_norm_eps": draw(st.sampled_from([1e-12, 1e-5, 1e-2])),
    }  # fmt: skip


def save(
    model: PreTrainedModel,
    folder: Path,
    pooling: Mapping[str, Any] | None = None,
    dense: Sequence[tuple[int, int]] = (),
    normalize: bool = True,
    **settings: Any,
) -> Path:
    """Save the encoder, and modules.json with what ``pooling`` says, if it says anything.

    Args:
        dense: (inputs, outputs) of dense layers with random weights.
        settings: config_sentence_transformers.json.
    """
    model.save_pretrained(folder)
    if pooling is None:
        return folder
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling")]
    _json(folder / "1_Pooling" / "config.json", pooling)
    for i, (inputs, outputs) in enumerate(dense, start=2):
        kinds.append((f"{i}_Dense", "Dense"))
        place = folder / f"{i}_Dense"
        _json(place / "config.json", {
            "in_features": inputs, "out_features": outputs, "bias": True,
            "activation_function": "torch.nn.modules.activation.Tanh",
        })  # fmt: skip
        weights = {"linear.weight": torch.randn(outputs, inputs) * inputs**-0.5,
                   "linear.bias": torch.randn(outputs)}  # fmt: skip
        save_file(weights, place / "model.safetensors")
    if normalize:
        kinds.append((f"{len(kinds)}_Normalize", "Normalize"))
    _json(folder / "modules.json", [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(kinds)
    ])  # fmt: skip
    if settings:
        _json(folder / "config_sentence_transformers.json", settings)
    return folder


def _json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def loaded(folder: Path, family: str, context: int = CONTEXT) -> EncoderModel:
    """The folder's model of ours, with its weights."""
    found = TASK_FAMILIES.get(family)
    checkpoint = found.opened(open_checkpoint(CheckpointConfig(path=str(folder)), {}, whole=True))
    model = build_on_meta(found, found.from_hf(checkpoint.config()), context)
    load_tensors(model, found, checkpoint)
    model.init_buffers()
    assert isinstance(model, EncoderModel)
    return model


def options_of(folder: Path, family: str) -> dict[str, Any]:
    """What the folder says of the task's options."""
    found = TASK_FAMILIES.get(family)
    checkpoint = open_checkpoint(CheckpointConfig(path=str(folder)), {}, whole=True)
    return dict(found.options(found.opened(checkpoint)))


def batch(lengths: Sequence[int], vocab: int, pad: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Random texts of these lengths, none of which has the padding token, and their mask."""
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(4, vocab, (len(lengths), max(lengths)), generator=draw)
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    return torch.where(mask == 1, ids, pad), mask


def embed(model: EncoderModel, ids: Tensor, mask: Tensor, **options: Any) -> Tensor:
    """What the program computes, in eager mode."""
    (method,) = model.methods(EmbedOptions(**options), dynamic=True)
    with torch.no_grad():
        out: Tensor = method.module(ids, mask)
    return out
