"""T5, T5 1.1 and Flan-T5 as families: config keys and names of tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llm_export.models.families.keymap import KeyMap
from llm_export.models.programs.family import TaskFamily
from llm_export.models.seq2seq.languages import check_languages
from llm_export.models.seq2seq.t5_config import T5Config, t5_config

if TYPE_CHECKING:
    from llm_export.checkpoints.base import Checkpoint
    from llm_export.models.seq2seq.t5 import T5

NAME = "t5"


def from_hf(config: Mapping[str, Any]) -> T5Config:
    """A Hugging Face ``T5Config`` as dict -> T5Config; raises CheckpointError."""
    return t5_config(NAME, config)


def _attention(source: str, target: str) -> list[tuple[str, str]]:
    return [(f"{source}.{name}.{{leaf}}", f"{target}.{name}.{{leaf}}") for name in "qkvo"]


def _layer(stack: str, cross: bool) -> list[tuple[str, str]]:
    source, target, last = f"{stack}.block.{{i}}.layer", f"{stack}.{{i}}", 2 if cross else 1
    pairs = [
        *_attention(f"{source}.0.SelfAttention", f"{target}.attention"),
        (f"{source}.0.layer_norm.weight", f"{target}.attention_norm.weight"),
        (f"{source}.{last}.layer_norm.weight", f"{target}.ffn_norm.weight"),
    ]
    if cross:
        pairs += _attention(f"{source}.1.EncDecAttention", f"{target}.cross")
        pairs += [(f"{source}.1.layer_norm.weight", f"{target}.cross_norm.weight")]
    dense = f"{source}.{last}.DenseReluDense"
    return [
        *pairs,
        (f"{dense}.wi.weight", f"{target}.ffn.up.weight"),
        (f"{dense}.wi_0.weight", f"{target}.ffn.gate_up.gate.weight"),
        (f"{dense}.wi_1.weight", f"{target}.ffn.gate_up.up.weight"),
        (f"{dense}.wo.weight", f"{target}.ffn.down.weight"),
    ]


def _stack(stack: str, cross: bool) -> list[tuple[str, str]]:
    bias = f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    return [
        (bias, f"{stack}_bias.weight"),
        (f"{stack}.final_layer_norm.weight", f"{stack}_norm.weight"),
        *_layer(stack, cross),
    ]


KEYS = KeyMap(
    [
        ("shared.weight", "embed.weight"),
        *_stack("encoder", cross=False),
        *_stack("decoder", cross=True),
        ("lm_head.weight", "head.weight"),
    ],
    ignored=[
        r"(encoder|decoder)\.embed_tokens\.weight",  # copies of shared.weight
        # Old files have one, which no version of the model reads.
        r"decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight",
    ],
)


def options(checkpoint: Checkpoint) -> dict[str, Any]:
    """The texts that config.json has an input begin with, for each purpose."""
    stated = checkpoint.config().get("task_specific_params")
    found = stated if isinstance(stated, Mapping) else {}
    prefixes = {
        str(name): each["prefix"]
        for name, each in found.items()
        if isinstance(each, Mapping) and isinstance(each.get("prefix"), str)
    }
    return {"prefixes": prefixes} if prefixes else {}


def _build(config: T5Config, context_length: int) -> T5:
    from llm_export.models.seq2seq.t5 import T5

    return T5(config, context_length)


FAMILY = TaskFamily(
    name=NAME,
    task="translate",
    architectures=("T5ForConditionalGeneration", "T5WithLMHeadModel"),
    from_hf=from_hf,
    build=_build,
    keys=KEYS,
    options=options,
    check_options=lambda config, options, length: check_languages(options),
    has_head=True,
    tiny={
        "vocab_size": 320, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2,
        "num_decoder_layers": 2, "num_heads": 4,
    },
)  # fmt: skip
