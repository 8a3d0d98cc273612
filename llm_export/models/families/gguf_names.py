"""Tensor names of GGUF files, which nearly all architectures share.

They map ``gguf.TENSOR_NAMES`` to the decoder's names and are copied here so that quick commands do
not import the gguf package. A test compares them with the package.
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from llm_export.models.config import DecoderConfig
from llm_export.models.families.keymap import KeyMap, Shape, Split

if TYPE_CHECKING:
    from torch import Tensor

B, D = "blk.{i}", "layers.{i}"
_E = f"{D}.feed_forward.experts.{{e}}"
Pairs = list[tuple[str, str]]

ENDS: Pairs = [
    ("token_embd.weight", "embed.weight"),
    ("output_norm.{leaf}", "norm.{leaf}"),
    ("output.{leaf}", "head.{leaf}"),
]
QKV: Pairs = [(f"{B}.attn_{x}.{{leaf}}", f"{D}.attention.qkv.{x}.{{leaf}}") for x in "qkv"]
QK_NORM: Pairs = [(f"{B}.attn_{x}_norm.weight", f"{D}.attention.{x}_norm.weight") for x in "qk"]
OUT: Pairs = [(f"{B}.attn_output.{{leaf}}", f"{D}.attention.out.{{leaf}}")]
PRE_NORM: Pairs = [
    (f"{B}.attn_norm.{{leaf}}", f"{D}.attention_norm.{{leaf}}"),
    (f"{B}.ffn_norm.{{leaf}}", f"{D}.ffn_norm.{{leaf}}"),
]
_POST_NORM: Pairs = [
    (f"{B}.post_attention_norm.weight", f"{D}.attention_post_norm.weight"),
    (f"{B}.post_ffw_norm.weight", f"{D}.ffn_post_norm.weight"),
]
MATRICES = (("gate", "gate_up.gate"), ("up", "gate_up.up"), ("down", "down"))
GATED: Pairs = [
    (f"{B}.ffn_{theirs}.{{leaf}}", f"{D}.feed_forward.{ours}.{{leaf}}") for theirs, ours in MATRICES
]
ROUTER: Pairs = [
    (f"{B}.ffn_gate_inp.{{leaf}}", f"{D}.feed_forward.router.gate.{{leaf}}"),
    (f"{B}.exp_probs_b.bias", f"{D}.feed_forward.router.correction"),
]
SHARED: Pairs = [
    (f"{B}.ffn_{theirs}_shexp.weight", f"{D}.feed_forward.shared.{ours}.weight")
    for theirs, ours in MATRICES
]
# Files from before April 2024 store each expert separately.
_SINGLE_EXPERTS: Pairs = [
    (f"{B}.ffn_{theirs}.{{e}}.weight", f"{_E}.{ours}.weight") for theirs, ours in MATRICES
]


def cut_experts(tensor: Tensor, shapes: Sequence[Shape]) -> list[Tensor]:
    """[X, F, D] -> [F, D] per expert; a bias, [X, F] -> [F]."""
    return list(tensor)


def join_experts(tensors: list[Tensor]) -> Tensor:
    import torch

    return torch.stack(tensors)


EXPERTS = [
    Split(f"{B}.ffn_{theirs}_exps.{{leaf}}", (f"{_E}.{ours}.{{leaf}}",), cut_experts,
          join_experts)
    for theirs, ours in MATRICES
]  # fmt: skip

# Tensors derived from the config; ``gguf_rope`` reads those that carry information.
TABLES = (
    r"rope_freqs\.weight",
    r"rope_factors_(long|short)\.weight",
    r"blk\.\d+\.attn_rot_embd(\.weight)?",
)


def keys(pairs: Pairs, splits: Iterable[Split] = ()) -> KeyMap:
    return KeyMap(ENDS + OUT + pairs, splits, ignored=TABLES)


COMMON = keys(QKV + QK_NORM + PRE_NORM + _POST_NORM + GATED + ROUTER + _SINGLE_EXPERTS, EXPERTS)
"""Includes names that some decoders lack; such a tensor is then reported as unknown."""

_GATE_OF_SHARED = Split(
    f"{B}.ffn_gate_inp_shexp.weight", (f"{D}.feed_forward.shared_gate.weight",),
    lambda tensor, shapes: [tensor.reshape(shapes[0])], lambda tensors: tensors[0].flatten(),
)  # fmt: skip

COMMON_SHARED = keys(
    QKV + QK_NORM + PRE_NORM + GATED + ROUTER + SHARED, [*EXPERTS, _GATE_OF_SHARED]
)
"""Experts with a network beside them, which may be gated."""

GLM4_MOE = keys(
    [
        *QKV, *QK_NORM, *GATED, *ROUTER, *SHARED, PRE_NORM[0],
        (f"{B}.post_attention_norm.weight", f"{D}.ffn_norm.weight"),
    ],
    EXPERTS,
)  # fmt: skip

_GATE_UP = Split(
    f"{B}.ffn_up.{{leaf}}",
    tuple(f"{D}.feed_forward.gate_up.{x}.{{leaf}}" for x in ("gate", "up")),
)

PHI3 = keys(
    [*PRE_NORM, GATED[2]],
    [
        Split(f"{B}.attn_qkv.{{leaf}}", tuple(f"{D}.attention.qkv.{x}.{{leaf}}" for x in "qkv")),
        _GATE_UP,
    ],
)

PLAIN = keys(
    QKV
    + PRE_NORM
    + [(f"{B}.ffn_{x}.{{leaf}}", f"{D}.feed_forward.{x}.{{leaf}}") for x in ("up", "down")]
)
"""A feed-forward network without a gate."""

SEED_OSS = keys(
    [*QKV, *GATED, PRE_NORM[0], (f"{B}.post_attention_norm.weight", f"{D}.ffn_norm.weight")]
)

GLM4 = keys(
    [*QKV, *PRE_NORM, *_POST_NORM, GATED[2]],
    [_GATE_UP],
)

GPT_OSS = keys(
    [
        *QKV, *ROUTER, PRE_NORM[0],
        (f"{B}.post_attention_norm.{{leaf}}", f"{D}.ffn_norm.{{leaf}}"),
        (f"{B}.attn_sinks.weight", f"{D}.attention.sinks"),
    ],
    EXPERTS,
)  # fmt: skip


def deepseek(kv_up: Split) -> KeyMap:
    """Names of architecture ``deepseek2``.

    Args:
        kv_up: how to split keys and values from one tensor, as in files from
            before April 2025; later files store two, with keys [H, rank, nope].
    """
    latent = [
        (f"{B}.attn_q.{{leaf}}", f"{D}.attention.query.{{leaf}}"),
        (f"{B}.attn_q_a.{{leaf}}", f"{D}.attention.query.down.{{leaf}}"),
        (f"{B}.attn_q_a_norm.weight", f"{D}.attention.query.norm.weight"),
        (f"{B}.attn_q_b.{{leaf}}", f"{D}.attention.query.up.{{leaf}}"),
        (f"{B}.attn_kv_a_mqa.{{leaf}}", f"{D}.attention.kv_down.{{leaf}}"),
        (f"{B}.attn_kv_a_norm.weight", f"{D}.attention.kv_norm.weight"),
    ]
    halves = [
        Split(kv_up.source.replace("attn_kv_b", f"attn_{x}_b"), (target,), _swap, _swap_back)
        for x, target in zip("kv", kv_up.targets, strict=True)
    ]
    return keys(
        latent + PRE_NORM + GATED + ROUTER + SHARED + _SINGLE_EXPERTS,
        [*EXPERTS, kv_up, *halves],
    )


_BLOCK = re.compile(r"blk\.(\d+)\..*")


def predicts_further(name: str, config: DecoderConfig) -> bool:
    """Whether a tensor is of the blocks after the decoder's layers, which predict further tokens
    (``nextn_predict_layers``). They are for speculative decoding.
    """
    block = _BLOCK.fullmatch(name)
    return block is not None and int(block[1]) >= config.num_layers


def _swap(tensor: Tensor, shapes: Sequence[Shape]) -> list[Tensor]:
    return [tensor.transpose(1, 2)]


def _swap_back(tensors: list[Tensor]) -> Tensor:
    return tensors[0].transpose(1, 2)
