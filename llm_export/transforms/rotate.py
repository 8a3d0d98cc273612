"""Rotate what linears read, so that no channel is an outlier.

QuaRot (arXiv:2404.00456) and SpinQuant (arXiv:2405.16406). R1 and R2 are done offline.

R1: an RMS norm without a gain commutes with a rotation Q of x. So gains are folded into the
linears that read them; the linears that write the stream are rotated (rows of embedding, output
and down weights), and those that read it are rotated back (columns). A layer norm is an RMS norm
of a zero-mean stream, so the mean is removed from the weights that write it (arXiv:2401.15024);
its bias is folded into its readers' biases. The last norm's gain makes the output matrix another
than the embedding; a tied model stays tied if it applies the gain at run time (``RotatedNorm``),
but not if the mean was removed from the embedding.

R2: attention is linear in the values, so a head's values can be rotated in the value projection
and rotated back in the output projection. An RMS norm in between commutes with that rotation once
its gain is folded into the output projection.

R4: nothing linear comes before the last linear of a feed-forward network, so its input is rotated
at run time, in blocks.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from llm_export.errors import PostConditionError
from llm_export.models.components.attention import Attention
from llm_export.models.components.feed_forward import GatedFeedForward, PlainFeedForward
from llm_export.models.components.latent_attention import LatentAttention
from llm_export.models.components.norm import LayerNorm, RMSNorm
from llm_export.models.components.run_time_rotation import BlockRotation, RotatedNorm
from llm_export.models.config import NormConfig
from llm_export.models.decoder import Decoder
from llm_export.models.rotation import rotation_refusals, stays_tied
from llm_export.transforms.base import Transform
from llm_export.transforms.equivalence import checked_equivalent
from llm_export.transforms.hadamard import Rotation, rotation
from llm_export.transforms.scale_folding import norm_readers, untie, value_rows, writers

_ROWS = 4096  # that are rotated at once, in float64


def rotate(r1: bool, r2: bool, seed: int, *, r4: int | None = None, tied: bool = True) -> Transform:
    """A transform that rotates a decoder's residual stream (R1), its values (R2), and what the last
    linears of its feed-forward networks read (R4).

    Args:
        r4: channels that R4 rotates together; None is no R4.
        tied: whether a tied model stays so, which costs a product at run time.
    """

    def apply(model: Decoder) -> int:
        generator = torch.Generator().manual_seed(seed)
        places = 0
        refusals = rotation_refusals(model.config, r1=r1, r4=r4)
        for key, why in refusals.items():
            raise PostConditionError(why, where=f"quant.rotate.{key}", fix="quant.rotate=null")
        if r1:
            q = rotation(model.config.hidden_size, generator)
            places += rotate_residual(model, q, tied=tied)
        if r2:
            for layer, config in zip(model.layers, model.config.layers, strict=True):
                attention = config.attention
                if attention is not None and not (
                    attention.shares_values or attention.gate == "channel"
                ):
                    rotate_values(layer.attention, generator)  # type: ignore[arg-type]
                    places += 1
        if r4 is not None:
            places += rotate_features(model, rotation(r4, generator))
        return places

    return checked_equivalent("rotate", "rotating", apply)


@torch.no_grad()
def rotate_residual(model: Decoder, q: Rotation, *, tied: bool = True) -> int:
    """R1; returns the number of changed weights.

    Args:
        tied: whether a tied model stays so, if its norms allow it; see ``stays_tied``.
    """
    shared = model.head.weight is model.embed.weight
    tied = shared and stays_tied(model.config, r1=True, untied=not tied)
    if not tied:
        untie(model)
    writing = [w for layer in model.layers for w in writers(layer)]
    if isinstance(model.norm, LayerNorm):
        _center(model.embed.weight, -1)
        for writer in writing:
            _center(writer.weight, 0)  # type: ignore[arg-type]
            if writer.bias is not None:
                _center(writer.bias, 0)  # type: ignore[arg-type]
    readers: list[nn.Module] = []
    if tied:
        gain, matrix = model.norm.weight, q.matrix()
        assert isinstance(gain, Tensor)
        mixed = (matrix.t() * gain.double()) @ matrix
        model.norm = RotatedNorm(_plain(model.norm), mixed.to(gain.dtype))
    else:
        _absorb(model.norm, (model.head,))
        model.norm = _plain(model.norm)
        readers.append(model.head)
    for layer in model.layers:
        norms = {norm: name for name, norm in layer.named_children()}
        for norm, reading in norm_readers(layer):
            _absorb(norm, reading)
            setattr(layer, norms[norm], _plain(norm))
            readers += reading
    _turn(model.embed.weight, -1, q)
    for reader in readers:
        _turn(reader.weight, -1, q)  # type: ignore[arg-type]
    for writer in writing:
        _turn(writer.weight, 0, q)  # type: ignore[arg-type]
        if writer.bias is not None:
            _turn(writer.bias, 0, q)  # type: ignore[arg-type]
    return 1 + len(readers) + len(writing)


@torch.no_grad()
def rotate_features(model: Decoder, q: Rotation) -> int:
    """R4, in layers without experts; returns the number of changed weights."""
    networks = [
        layer.feed_forward
        for layer in model.layers
        if isinstance(layer.feed_forward, GatedFeedForward | PlainFeedForward)
    ]
    for network in networks:
        network.rotation = BlockRotation(q.matrix())
        _turn(network.down.weight, -1, q)
    return len(networks)


@torch.no_grad()
def rotate_values(attention: nn.Module, generator: torch.Generator) -> None:
    """R2: one rotation for all heads of a layer."""
    if isinstance(attention, LatentAttention):
        q = rotation(attention.latent.value_dim, generator)
        _turn(attention.value_up, -1, q)
    else:
        assert isinstance(attention, Attention)
        q = rotation(attention.config.head_dim, generator)
        if attention.out_norm is not None:
            _absorb(attention.out_norm, (attention.out,))
            attention.out_norm = _plain(attention.out_norm)
        value, rows = value_rows(attention)
        _turn(value.weight[rows], 0, q)  # type: ignore[index]
        if value.bias is not None:
            _turn(value.bias[rows], 0, q)  # type: ignore[index]
    _turn(attention.out.weight, -1, q)


def _turn(tensor: Tensor, dim: int, q: Rotation) -> None:
    """Rotate one dimension in place, block by block if it is a multiple of the rotation's size."""
    last = tensor.movedim(dim, -1)
    for part in last.split(_ROWS) if last.dim() > 1 else [last]:
        part.copy_(q(part))


def _center(tensor: Tensor, dim: int) -> None:
    tensor.sub_(tensor.mean(dim, keepdim=True))


def _absorb(norm: nn.Module, readers: tuple[nn.Module, ...]) -> None:
    """Fold a norm's gain, and its bias if it has one, into its readers."""
    gain, bias = norm.weight, getattr(norm, "bias", None)
    for reader in readers:
        weight = reader.weight
        assert isinstance(weight, Tensor)
        assert isinstance(gain, Tensor)
        if bias is not None:
            added = weight @ bias
            added = added if reader.bias is None else added + reader.bias
            reader.bias = nn.Parameter(added, requires_grad=False)
        weight.mul_(gain)


def _plain(norm: nn.Module) -> RMSNorm:
    """An RMS norm of the same size without a gain."""
    weight = norm.weight
    assert isinstance(weight, Tensor)
    made = RMSNorm(len(weight), NormConfig(norm.eps))  # type: ignore[arg-type]
    return made.requires_grad_(False)
