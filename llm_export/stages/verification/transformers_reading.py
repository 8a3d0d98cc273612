"""A checkpoint as transformers reads it: logits, tokenizer, rendered conversations."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from llm_export.checkpoints.base import Checkpoint
from llm_export.checkpoints.locate import locate
from llm_export.compat.transformers_ternary import float_linears
from llm_export.config.schema import CheckpointConfig, Recipe, filled
from llm_export.home import expanded
from llm_export.models.hf.config import quietly, rope_limits
from llm_export.models.hf.trained_rope import with_trained_rope
from llm_export.tokenizers.chat_templates import PROCESSOR


class NotComparable(Exception):
    """Why transformers cannot say anything about a part of a checkpoint."""


def require_folder(source: CheckpointConfig, checkpoint: Checkpoint) -> None:
    """Raise NotComparable unless the checkpoint is a folder that transformers reads.

    Of GGUF it reads a part of what llama.cpp does: RoPE factors that stand in a tensor, for
    example, it leaves out.
    """
    if checkpoint.naming != "hf":
        raise NotComparable(f"{checkpoint.format} is not transformers' format")
    if not (_folder(source) / "config.json").is_file() and source.config_path is None:
        raise NotComparable("the folder has no config.json")


def logits(recipe: Recipe, ids: list[int]) -> Tensor:
    """[S, V] float32 logits of transformers' own model of the folder, adapter included."""
    source = recipe.checkpoint
    with quietly(), torch.no_grad():
        config = _attempt("the config", lambda: _config(source))
        for limit, kind in rope_limits(config):
            if kind != "yarn" and filled(recipe.runtime.context_length) > limit.tokens:
                raise NotComparable(
                    f"RoPE '{kind}' has other frequencies in transformers below {limit.tokens} "
                    "tokens"
                )
        model = _attempt("the model", lambda: _model(source, config))
        rows = _attempt("the model", lambda: model(torch.tensor([ids]), use_cache=False).logits[0])
    return rows.float()


@functools.lru_cache(maxsize=1)
def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    # For some models AutoTokenizer replaces parts of tokenizer.json by code.
    whole = (folder / "tokenizer.json").is_file()
    loader = PreTrainedTokenizerFast if whole else AutoTokenizer
    return loader.from_pretrained(folder, local_files_only=True)


def tokenizer(source: CheckpointConfig) -> Any:
    """transformers' tokenizer of the folder, or of the adapter if that brings its own."""
    folder = _folder(source)
    if source.adapter is not None:
        own = expanded(source.adapter)
        if (own / "tokenizer_config.json").is_file():
            folder = own
    with quietly():
        return _attempt("the tokenizer", lambda: _tokenizer(folder))


def require_no_processor(source: CheckpointConfig) -> None:
    """Raise NotComparable if the chat template is the processor's of a multimodal model, which
    transformers' tokenizer does not have."""
    if (_folder(source) / PROCESSOR).is_file():
        raise NotComparable(f"the chat template is the processor's ({PROCESSOR})")


def rendered(
    tokenizer: Any, messages: Sequence[Mapping[str, str]], tools: list[Any] | None = None
) -> str | None:
    """The prompt of a conversation; None if the template refuses it."""
    from jinja2 import TemplateError

    try:
        return str(
            tokenizer.apply_chat_template(
                [dict(m) for m in messages], tools=tools, tokenize=False, add_generation_prompt=True
            )
        )
    except TemplateError:
        return None


def _folder(source: CheckpointConfig) -> Path:
    path = locate(source)
    assert path is not None
    return path if path.is_dir() else path.parent


def _config(source: CheckpointConfig) -> Any:
    from transformers import AutoConfig

    where = source.config_path or _folder(source)
    return with_trained_rope(AutoConfig.from_pretrained(where, local_files_only=True))


def _model(source: CheckpointConfig, config: Any) -> Any:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        _folder(source), config=config, dtype=torch.float32, attn_implementation="eager",
        local_files_only=True,
    )  # fmt: skip
    if getattr(config, "quantization_config", None):
        float_linears(model)
    if source.adapter is not None:
        try:
            from peft import PeftModel
        except ImportError:
            raise NotComparable("the adapter needs peft, which is not installed") from None
        model = PeftModel.from_pretrained(model, source.adapter).merge_and_unload()
    return model.eval()


def _attempt(what: str, call: Any) -> Any:
    """The library raises anything from KeyError to OSError where it cannot read a folder."""
    try:
        return call()
    except NotComparable:
        raise
    except Exception as error:
        line = next(iter(str(error).strip().splitlines()), "")[:160]
        raise NotComparable(f"transformers cannot read {what}: {type(error).__name__}: {line}") \
            from error  # fmt: skip
