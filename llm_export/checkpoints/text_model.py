"""The text model of a multimodal checkpoint, such as Gemma 3 with vision.

Its config has the text model's as ``text_config``, and its tensors have longer names:
``language_model.model.layers...``, or ``model.language_model.layers...`` since transformers 4.52.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

from torch import Tensor

from llm_export.checkpoints.base import Checkpoint, TensorInfo, describe_tensors, remarks_of
from llm_export.checkpoints.shards import TIED
from llm_export.checkpoints.spans import Span
from llm_export.checkpoints.tied import has_own_head
from llm_export.errors import CheckpointError, LlmExportError, MissingDependencyError
from llm_export.tokenizers.base import TokenizerAssets

KEY = "text_config"
_EMBED = re.compile(r"(?P<prefix>((model|language_model|text_model)\.)+)embed_tokens\.weight")
# Their text models attend to the prompt in both directions, or have inputs besides token ids.
_OTHER_ATTENTION = frozenset({"paligemma", "gemma3n", "moshi", "csm"})


class TextModel:
    """``whole`` as its text model alone, with the names and the config of one.

    Raises:
        CheckpointError: the text model's tensors are not to be found.
    """

    naming = "hf"

    def __init__(self, whole: Checkpoint) -> None:
        self.whole = whole
        self.format = f"{whole.format}, text model"
        self.files: tuple[Path, ...] = whole.files
        names = whole.names()
        prefixes = {m["prefix"] for m in map(_EMBED.fullmatch, names) if m is not None}
        if len(prefixes) != 1:
            raise CheckpointError(
                f"the tensors of the text model are not to be found: {len(prefixes)} of them "
                "have the name of a token embedding",
                where=f"{KEY} of config.json, and the names of the tensors",
            )
        prefix = prefixes.pop()
        outer = prefix.removesuffix("model.") if prefix.endswith("language_model.model.") else ""
        renamed = {n: f"model.{n.removeprefix(prefix)}" for n in names if n.startswith(prefix)}
        for head in (f"{outer}lm_head.weight", "lm_head.weight"):
            if head in names:
                renamed[head] = "lm_head.weight"
        self._renamed = renamed
        self._left_out = [name for name in names if name not in renamed]

    def config(self) -> Mapping[str, Any]:
        return self._config

    @cached_property
    def _config(self) -> dict[str, Any]:
        text, outer_tied = _completed(self.whole.config())
        spans: Mapping[str, Span] = getattr(self.whole, "spans", {})
        plain = {n: spans[stored] for stored, n in self._renamed.items() if stored in spans}
        tied = outer_tied or bool(text.get(TIED))
        return {**text, TIED: tied and not has_own_head(self.names(), plain)}

    def names(self) -> list[str]:
        return list(self._renamed.values())

    def infos(self) -> Mapping[str, TensorInfo]:
        infos = describe_tensors(self.whole)
        return {name: infos[stored] for stored, name in self._renamed.items()}

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        for stored, tensor in self.whole.tensors():
            if stored in self._renamed:
                yield self._renamed[stored], tensor

    def tokenizer(self) -> TokenizerAssets:
        return self.whole.tokenizer()

    def remarks(self) -> tuple[str, ...]:
        parts = dict.fromkeys(_part(name) for name in self._left_out)
        said = (
            f"the text model alone is used: {len(self._left_out)} tensors of "
            f"{', '.join(parts)} are left out"
        )
        return (*remarks_of(self.whole), *([said] if parts else []))


def _part(name: str) -> str:
    first, _, rest = name.partition(".")
    return rest.partition(".")[0] if first == "model" else first


def text_model_of(checkpoint: Checkpoint) -> Checkpoint:
    """``checkpoint`` itself, unless its config.json wraps that of a text model which transformers
    builds as a language model of its own.

    Raises:
        CheckpointError: the wrapper does more to text than its text model does.
    """
    if checkpoint.naming != "hf":
        return checkpoint
    try:
        raw = checkpoint.config()
    except LlmExportError:
        return checkpoint  # whoever needs the config reports it
    text = raw.get(KEY)
    if not isinstance(text, dict) or raw.get("model_type") == text.get("model_type"):
        return checkpoint
    return TextModel(checkpoint) if _is_wrapper(raw) else checkpoint


def _is_wrapper(raw: Mapping[str, Any]) -> bool:
    if any(not isinstance(of.get("model_type", ""), str) for of in (raw, raw[KEY])):
        return False  # reported with the family
    text = raw[KEY].get("model_type") or _default_text_type(str(raw.get("model_type")))
    if raw.get("model_type") in _OTHER_ATTENTION:
        return False
    if text is None:
        return False
    _require_transformers(raw)
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    return text in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES


def _default_text_type(model_type: str) -> str | None:
    """Some configs name no type for their text model, because there is but one."""
    _require_transformers({"model_type": model_type})
    from transformers import CONFIG_MAPPING

    if model_type not in CONFIG_MAPPING:
        return None
    found = getattr(CONFIG_MAPPING[model_type]().get_text_config(decoder=True), "model_type", None)
    return None if found is None else str(found)


def _completed(raw: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """The text config with the values that it leaves out, since nested ones are stored as
    differences; and whether the whole model ties embedding and head.
    """
    from transformers import CONFIG_MAPPING

    outer = str(raw["model_type"])
    try:
        whole = CONFIG_MAPPING[outer].from_dict(dict(raw))
        text = whole.get_text_config(decoder=True)
    except Exception as error:  # each config class validates differently
        line = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise CheckpointError(
            f"not a valid '{outer}' config: {line}", where=f"config.json, {KEY}"
        ) from None
    full = {k: v for k, v in text.to_dict().items() if not k.startswith("_")}
    full["eos_token_id"] = raw.get("eos_token_id", full.get("eos_token_id"))
    return full, bool(getattr(whole, TIED, False))


def _require_transformers(raw: Mapping[str, Any]) -> None:
    try:
        metadata.version("transformers")
    except metadata.PackageNotFoundError:
        raise MissingDependencyError(
            f"the checkpoint is a '{raw.get('model_type')}' around a text model, whose config "
            "transformers completes, and that is not installed",
            where=f"config.json, {KEY}",
            fix='pip install "llm_export[hf]"',
        ) from None
