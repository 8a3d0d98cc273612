"""Map names of torchtune's state dicts to those of TorchtuneModel, and back."""

from __future__ import annotations

_PREFIXES = (("tok_embeddings.", "embed."), ("output.", "head."))

# torchtune 0.6.1 swaps Gemma 2's norms around the feed-forward when it converts from Hugging Face:
# pre_feedforward_layernorm becomes mlp_scale, which its layer applies after the feed-forward, and
# the post norm becomes mlp_norm. A torchtune file is interpreted by torchtune's own conversion to
# Hugging Face, so the two are swapped back when they are loaded.
_CROSSED = ((".mlp_norm.", ".mlp_scale."), (".mlp_scale.", ".mlp_norm."))


def from_torchtune(name: str, family: str) -> str:
    """The model's name for a name in a torchtune state dict."""
    for theirs, ours in _PREFIXES:
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    if family == "gemma2":
        return _crossed(name).replace("norm.rms_norm.", "norm.")
    return name


def to_torchtune(name: str, family: str) -> str:
    """The name in a torchtune state dict for one of the model's parameters."""
    for theirs, ours in _PREFIXES:
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    if family == "gemma2":
        return "norm.rms_norm.scale" if name == "norm.scale" else _crossed(name)
    return name


def _crossed(name: str) -> str:
    for one, other in _CROSSED:
        if one in name:
            return name.replace(one, other)
    return name
