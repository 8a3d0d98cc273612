"""Mamba-2 mixers in GGUF files: tensor names, layouts and metadata.

https://github.com/ggml-org/llama.cpp, ``conversion/mamba.py``
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llm_export.errors import CheckpointError
from llm_export.models.families.conv_names import flat_taps
from llm_export.models.families.gguf_metadata import Metadata
from llm_export.models.families.gguf_names import B, D
from llm_export.models.families.keymap import Shape, Split

if TYPE_CHECKING:
    from torch import Tensor


def decays(source: str, target: str, dims: int = 2) -> Split:
    """The name of A = -exp(A_log), [H, 1], and of A_log, [H].

    Args:
        dims: 1 where the file stores it as [H].
    """

    def stored(tensors: list[Tensor]) -> Tensor:
        flat = -tensors[0].exp()
        return flat.unsqueeze(1) if dims == 2 else flat

    return Split(source, (target,), _logarithms, stored)


def _logarithms(tensor: Tensor, shapes: Sequence[Shape]) -> list[Tensor]:
    return [(-tensor).log().reshape(shapes[0])]


def _flat(tensor: Tensor, shapes: Sequence[Shape]) -> list[Tensor]:
    """D, [H, 1] -> [H]; the norm of groups, [G, C] -> [G * C]."""
    return [tensor.reshape(shapes[0])]


PAIRS = [
    (f"{B}.ssm_dt.bias", f"{D}.mixer.dt_bias"),
    (f"{B}.ssm_conv1d.bias", f"{D}.mixer.conv.bias"),
    (f"{B}.ssm_out.{{leaf}}", f"{D}.mixer.out.{{leaf}}"),
]
SPLITS = [
    Split(f"{B}.ssm_in.{{leaf}}", tuple(f"{D}.mixer.{x}.{{leaf}}" for x in ("gate", "xbc", "dt"))),
    flat_taps(f"{B}.ssm_conv1d.weight", f"{D}.mixer.conv.weight"),
    decays(f"{B}.ssm_a", f"{D}.mixer.A_log"),
    Split(f"{B}.ssm_d", (f"{D}.mixer.D",), _flat, lambda tensors: tensors[0].unsqueeze(1)),
    Split(f"{B}.ssm_norm.weight", (f"{D}.mixer.norm.weight",), _flat, lambda tensors: tensors[0]),
]


def read_heads(m: Metadata) -> tuple[int, int]:
    """(heads that have a state, channels of each).

    Raises:
        CheckpointError: they do not make up the inner size.
    """
    inner, heads = m.count("ssm.inner_size"), m.count("ssm.time_step_rank")
    if heads < 1 or inner % heads:
        raise CheckpointError(
            f"an inner size of {inner} does not divide into {heads} heads",
            where=f"the GGUF file's metadata, {m.architecture}.ssm.time_step_rank",
        )
    return heads, inner // heads


def read_mixer(m: Metadata, layer: int) -> dict[str, Any]:
    """The mixers' sizes under the keys ``mamba_*`` of config.json, and whether they have biases.

    Args:
        layer: the first that has a mixer.

    Raises:
        CheckpointError: the sizes do not fit each other.
    """
    heads, head_dim = read_heads(m)
    return {
        "mamba_n_heads": heads,
        "mamba_d_head": head_dim,
        "mamba_d_state": m.count("ssm.state_size"),
        "mamba_d_conv": m.count("ssm.conv_kernel"),
        "mamba_n_groups": m.count("ssm.group_count"),
        "mamba_conv_bias": m.has(f"blk.{layer}.ssm_conv1d.bias"),
        "mamba_proj_bias": m.has(f"blk.{layer}.ssm_in.bias"),
    }


def expansion(mixer: Mapping[str, Any], hidden: int) -> int | float:
    """How often the inner size of ``read_mixer`` holds the hidden size."""
    inner = mixer["mamba_n_heads"] * mixer["mamba_d_head"]
    if hidden < 1:
        raise CheckpointError(f"an embedding length of {hidden}", where="the GGUF file's metadata")
    return inner / hidden if inner % hidden else int(inner // hidden)
