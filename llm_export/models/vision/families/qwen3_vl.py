"""Qwen3-VL (arXiv:2511.21631) and Qwen3.5: a tower with RoPE by rows and columns, tokens of 2 x 2
patches, and a decoder that rotates by three positions (M-RoPE). Qwen3-VL also adds features of the
tower's earlier layers after the decoder's first ones (DeepStack).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llm_export.errors import CheckpointError
from llm_export.models.config import DecoderConfig
from llm_export.models.families import FAMILIES
from llm_export.models.families.config_values import ConfigReader
from llm_export.models.families.keymap import KeyMap
from llm_export.models.families.layers import activation
from llm_export.models.vision.config import GRID, Size, VisionConfig
from llm_export.models.vision.families.base import VisionFamily, fits, part, read_text, square
from llm_export.models.vision.towers.configs import BlockProjectorConfig, Qwen3VLTowerConfig

if TYPE_CHECKING:
    from torch import Tensor

_USUAL = 512
"""The side of images, up to whole tokens, where the recipe names none: 256 tokens in published
models, whose processors keep about an image's own size."""

_TOWER: Mapping[str, Any] = {
    "depth": 27, "hidden_size": 1152, "hidden_act": "gelu_pytorch_tanh",
    "intermediate_size": 4304, "num_heads": 16, "in_channels": 3, "patch_size": 16,
    "spatial_merge_size": 2, "temporal_patch_size": 2, "out_hidden_size": 3584,
    "num_position_embeddings": 2304,
}  # fmt: skip
"""Values that transformers takes for keys which ``vision_config`` leaves out."""
_MROPE = ("mrope_section", "mrope_interleaved")
_ROPE_KEYS = ("rope_parameters", "rope_scaling")


def streams(sections: Any, pairs: int, interleaved: bool) -> tuple[int, ...]:
    """The position stream of each of a RoPE's frequencies: 0 is the temporal one, 1 rows, 2
    columns.

    Args:
        sections: how many frequencies each stream has.
        interleaved: whether the streams take turns, as far as they reach, the temporal one having
            what is left; or follow each other.

    Raises:
        CheckpointError: the sections do not fit.
    """
    whole = isinstance(sections, list | tuple) and all(type(n) is int for n in sections)
    if not whole or len(sections) != 3 or sum(sections) != pairs or min(sections) < 0:
        raise CheckpointError(
            f"mrope_section={sections!r} does not divide {pairs} frequencies among three positions",
            where="rope_parameters of text_config",
        )
    if not interleaved:
        return tuple(stream for stream, count in enumerate(sections) for _ in range(count))
    found = [0] * pairs
    for stream in (1, 2):
        for at in range(stream, min(3 * sections[stream], pairs), 3):
            found[at] = stream
    return tuple(found)


def plain_text(text: Mapping[str, Any]) -> dict[str, Any]:
    """``text_config`` without the keys of M-RoPE: text has the same position three times."""
    plain = dict(text)
    for key in _ROPE_KEYS:
        if isinstance(rope := plain.get(key), Mapping):
            plain[key] = {k: v for k, v in rope.items() if k not in _MROPE}
    return plain


def _language(
    config: Mapping[str, Any], family: str, default: tuple[int, ...], taps: int
) -> DecoderConfig:
    """The decoder, with position streams, and additions after its first ``taps`` layers."""
    stated = config.get("text_config")
    text: Mapping[str, Any] = stated if isinstance(stated, Mapping) else {}
    sections: Any = default
    for key in _ROPE_KEYS:
        rope = text.get(key)
        if not isinstance(rope, Mapping):
            continue
        if not rope.get("mrope_interleaved", True):
            raise CheckpointError(
                "mrope_interleaved=false, and models of this family interleave",
                where=f"{key} of text_config",
            )
        sections = rope.get(_MROPE[0], sections)
    if text:
        config = {**config, "text_config": {**plain_text(text), "model_type": family}}
    plain = read_text(config, family, tied=False)
    if taps > plain.num_layers:
        raise ValueError(f"{taps} deepstack_visual_indexes, and {plain.num_layers} layers")
    return replace(
        plain,
        ropes=tuple(
            replace(rope, streams=streams(sections, rope.dim // 2, interleaved=True))
            for rope in plain.ropes
        ),
        layers=tuple(
            replace(layer, addition=number if number < taps else None)
            for number, layer in enumerate(plain.layers)
        ),
    )


def _from_hf(
    name: str, text: str, sections: tuple[int, ...], taps: tuple[int, ...]
) -> Callable[[Mapping[str, Any], Size | None], VisionConfig]:
    def from_hf(config: Mapping[str, Any], image_size: Size | None) -> VisionConfig:
        """A ``Qwen3VLConfig`` or ``Qwen3_5Config`` as dict -> VisionConfig.

        Raises:
            CheckpointError: a key is missing, unknown, or has a value that is not implemented.
        """
        c = ConfigReader(name, config)
        v = part(config, "vision_config", _TOWER)
        patch, merge = square(v, "patch_size"), v.count("spatial_merge_size")
        v.expect("temporal_patch_size", 2, [2, 2])
        unit = patch * merge
        usual = max(_USUAL // unit, 1) * unit
        tower = Qwen3VLTowerConfig(
            image=fits(image_size or (usual, usual), unit, "whole tokens"),
            channels=v.expect("in_channels", 3),
            patch=patch,
            hidden=v.count("hidden_size"),
            heads=v.count("num_heads"),
            ffn=v.count("intermediate_size"),
            layers=v.count("depth"),
            activation=activation(v),
            merge=merge,
            table=v.count("num_position_embeddings"),
            taps=tuple(v.take("deepstack_visual_indexes", before=taps) or ()),
            theta=_theta(v),
        )
        language = _language(config, text, sections, len(tower.taps))
        projector = BlockProjectorConfig(
            tower.grid, tower.hidden, v.expect("out_hidden_size", language.hidden_size), merge,
            len(tower.taps),
        )  # fmt: skip
        v.finish()
        image_token = c.count("image_token_id", before=151655)
        marks = {key: c.take(key, before=None) for key in ("vision_start_token_id",
                                                           "vision_end_token_id")}  # fmt: skip
        c.take_unused(
            "text_config", "vision_config", "tie_word_embeddings", "video_token_id",
            "language_model_only",
        )  # fmt: skip
        c.finish()
        settings = {
            GRID: list(projector.token_grid),
            **{key: value for key, value in marks.items() if value is not None},
        }
        return VisionConfig(
            name, language, tower, projector, tower.image, projector.tokens, image_token,
            settings=settings,
        )  # fmt: skip

    return from_hf


def _theta(v: ConfigReader) -> float:
    """The base of the tower's RoPE."""
    stated = v.take("rope_parameters", before=None) or {}
    if not isinstance(stated, Mapping) or not set(stated) <= {"rope_type", "rope_theta"}:
        raise CheckpointError(f"rope_parameters={stated!r} are not those of an axial RoPE",
                              where="vision_config")  # fmt: skip
    if stated.get("rope_type", "axial") not in ("axial", "default"):
        raise CheckpointError(f"the RoPE {stated['rope_type']!r} is not implemented for towers",
                              where="rope_parameters of vision_config")  # fmt: skip
    return float(stated.get("rope_theta", 10000.0))


def restore(name: str, tensor: Tensor, config: VisionConfig) -> Tensor:
    """The kernel of both frames [D, C, 2, p, p] as a linear of one [D, C * p * p]."""
    return tensor.sum(2).flatten(1) if name == "tower.patches.linear.weight" else tensor


_L, _OURS = "tower.blocks.{i}", "tower.layers.{i}"
_TAP, _OUR_TAP = "tower.deepstack_merger_list.{i}", "projector.taps.{i}"
KEYS = KeyMap(
    [
        ("tower.patch_embed.proj.{leaf}", "tower.patches.linear.{leaf}"),
        ("tower.pos_embed.weight", "tower.positions"),
        (f"{_L}.norm1.{{leaf}}", f"{_OURS}.attention_norm.{{leaf}}"),
        (f"{_L}.norm2.{{leaf}}", f"{_OURS}.ffn_norm.{{leaf}}"),
        (f"{_L}.attn.qkv.{{leaf}}", f"{_OURS}.qkv.{{leaf}}"),
        (f"{_L}.attn.proj.{{leaf}}", f"{_OURS}.out.{{leaf}}"),
        (f"{_L}.mlp.linear_fc1.{{leaf}}", f"{_OURS}.feed_forward.up.{{leaf}}"),
        (f"{_L}.mlp.linear_fc2.{{leaf}}", f"{_OURS}.feed_forward.down.{{leaf}}"),
        *((f"tower.merger.{a}.{{leaf}}", f"projector.merger.{b}.{{leaf}}")
          for a, b in (("norm", "norm"), ("linear_fc1", "up"), ("linear_fc2", "down"))),
        *((f"{_TAP}.{a}.{{leaf}}", f"{_OUR_TAP}.{b}.{{leaf}}")
          for a, b in (("norm", "norm"), ("linear_fc1", "up"), ("linear_fc2", "down"))),
    ],
    ignored=[r"mtp\..*"],
)  # fmt: skip
_PREFIXES = ((r"(model\.)?visual\.", "tower"),)
_TINY_TOWER = {
    "depth": 3, "hidden_size": 32, "num_heads": 2, "intermediate_size": 48, "patch_size": 4,
    "out_hidden_size": 64, "num_position_embeddings": 25,
}  # fmt: skip


def _tiny(family: str, rope: Mapping[str, Any]) -> dict[str, Any]:
    text = {**FAMILIES.get(family).tiny, "rope_parameters": {"rope_theta": 1e4, **rope}}
    marks = {"image_token_id": 300, "video_token_id": 301, "vision_start_token_id": 302,
             "vision_end_token_id": 303}  # fmt: skip
    return {"": marks, "text_config": text, "vision_config": dict(_TINY_TOWER)}


_TINY = _tiny("qwen3", {"mrope_section": [6, 5, 5]})
_TINY["vision_config"]["deepstack_visual_indexes"] = [0, 2]

QWEN3_VL = VisionFamily(
    name="qwen3_vl",
    architecture="Qwen3VLForConditionalGeneration",
    text="qwen3",
    from_hf=_from_hf("qwen3_vl", "qwen3", (24, 20, 20), (8, 16, 24)),
    prefixes=_PREFIXES,
    keys=KEYS,
    restore=restore,
    plain_text=plain_text,
    tiny=_TINY,
)
QWEN3_5 = VisionFamily(
    name="qwen3_5",
    architecture="Qwen3_5ForConditionalGeneration",
    text="qwen3_5_text",
    from_hf=_from_hf("qwen3_5", "qwen3_5_text", (11, 11, 10), ()),
    prefixes=_PREFIXES,
    keys=KEYS,
    restore=restore,
    plain_text=plain_text,
    tiny=_tiny("qwen3_5_text", {"mrope_section": [2, 1, 1], "partial_rotary_factor": 0.25}),
)
