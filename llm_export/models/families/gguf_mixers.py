"""Mamba-2 mixers in GGUF files: tensor names, layouts, and the metadata of Falcon-H1.

https://github.com/ggml-org/llama.cpp, ``conversion/mamba.py`` and ``conversion/falcon_h1.py``
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llm_export.models.families import gguf_names
from llm_export.models.families.conv_names import flat_taps
from llm_export.models.families.gguf_metadata import Metadata, read_common, read_head_dim
from llm_export.models.families.gguf_names import B, D
from llm_export.models.families.gguf_rope import read_rope
from llm_export.models.families.keymap import KeyMap, Shape, Split

if TYPE_CHECKING:
    from torch import Tensor


def _decays(tensor: Tensor, shapes: Sequence[Shape]) -> list[Tensor]:
    """A = -exp(A_log), [H, 1] -> A_log, [H]."""
    return [(-tensor).log().reshape(shapes[0])]


def _stored_decays(tensors: list[Tensor]) -> Tensor:
    return -tensors[0].exp().unsqueeze(1)


def _flat(tensor: Tensor, shapes: Sequence[Shape]) -> list[Tensor]:
    """D, [H, 1] -> [H]; the norm of groups, [G, C] -> [G * C]."""
    return [tensor.reshape(shapes[0])]


_MIXER = [
    # The converter drops the suffix of this name.
    (f"{B}.ffn_norm", f"{D}.ffn_norm.weight"),
    (f"{B}.ssm_dt.bias", f"{D}.mixer.dt_bias"),
    (f"{B}.ssm_conv1d.bias", f"{D}.mixer.conv.bias"),
    (f"{B}.ssm_out.{{leaf}}", f"{D}.mixer.out.{{leaf}}"),
]
_MIXER_SPLITS = [
    Split(f"{B}.ssm_in.{{leaf}}", tuple(f"{D}.mixer.{x}.{{leaf}}" for x in ("gate", "xbc", "dt"))),
    flat_taps(f"{B}.ssm_conv1d.weight", f"{D}.mixer.conv.weight"),
    Split(f"{B}.ssm_a", (f"{D}.mixer.A_log",), _decays, _stored_decays),
    Split(f"{B}.ssm_d", (f"{D}.mixer.D",), _flat, lambda tensors: tensors[0].unsqueeze(1)),
    Split(f"{B}.ssm_norm.weight", (f"{D}.mixer.norm.weight",), _flat, lambda tensors: tensors[0]),
]

FALCON_H1 = KeyMap(
    gguf_names.COMMON.pairs + _MIXER, [*gguf_names.COMMON.splits, *_MIXER_SPLITS],
    ignored=gguf_names.TABLES,
)  # fmt: skip


FOLDED = {
    **dict.fromkeys(
        ("attention_in_multiplier", "attention_out_multiplier", "embedding_multiplier",
         "key_multiplier", "lm_head_multiplier", "ssm_in_multiplier", "ssm_out_multiplier"), 1.0
    ),
    "mlp_multipliers": [1.0] * 2, "ssm_multipliers": [1.0] * 5,
}  # fmt: skip
"""Multipliers of Falcon-H1, which the converter folds into the weights."""


def falcon_h1(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata of architecture ``falcon-h1`` as config.json keys."""
    m = Metadata(raw)
    facts = read_common(m)
    facts["head_dim"] = read_head_dim(m, facts)
    facts |= read_rope(m, facts["head_dim"])
    inner, heads = m.count("ssm.inner_size"), m.count("ssm.time_step_rank")
    facts |= {
        "mamba_d_ssm": inner, "mamba_n_heads": heads, "mamba_d_head": inner // heads,
        "mamba_d_state": m.count("ssm.state_size"), "mamba_d_conv": m.count("ssm.conv_kernel"),
        "mamba_n_groups": m.count("ssm.group_count"),
        "mamba_rms_norm": m.has("blk.0.ssm_norm.weight"), "mamba_norm_before_gate": False,
        "mamba_conv_bias": m.has("blk.0.ssm_conv1d.bias"),
        "mamba_proj_bias": m.has("blk.0.ssm_in.bias"),
        "projectors_bias": m.has("blk.0.ssm_out.bias"),
        "attention_bias": m.has("blk.0.attn_q.bias"), "mlp_bias": m.has("blk.0.ffn_up.bias"),
    }  # fmt: skip
    m.finish()
    return facts | FOLDED
