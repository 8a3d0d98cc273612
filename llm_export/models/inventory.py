"""Summarize a checkpoint and how it would be used, from its headers alone."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from llm_export.checkpoints.base import Checkpoint, TensorInfo, describe_tensors, remarks_of
from llm_export.checkpoints.open import describe_source, open_checkpoint
from llm_export.config.schema import CheckpointConfig, ModelConfig
from llm_export.errors import LlmExportError
from llm_export.models.build import build_on_meta
from llm_export.models.detect import AUTO, GENERIC, model_option
from llm_export.models.families import FAMILIES
from llm_export.models.hf.config import transformers_config
from llm_export.models.load_weights import match_names

_CONTEXT = 128  # tokens; parameters are independent of it


@dataclass(frozen=True)
class TensorRow:
    """One tensor of the checkpoint.

    Attributes:
        status: used, ignored (by rule), tied (a copy of another one), unknown, or "" if
            no family supports it.
        misfit: the shape that the model needs, if different.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    status: str
    misfit: tuple[int, ...] | None = None


@dataclass(frozen=True)
class TokenizerFacts:
    """Tokenizer metadata: ``kind`` is its algorithm, ``problem`` why there is no tokenizer."""

    kind: str | None = None
    vocab_size: int | None = None
    chat_template: bool = False
    problem: str | None = None


@dataclass(frozen=True)
class Inventory:
    """A summary of a checkpoint.

    Attributes:
        architecture: the checkpoint's name for it; None if not stated.
        family: the family whose components build it, or None: then ``refusal`` says why.
        generic: why transformers builds it; None if the fast tier does, or none can.
        bytes: total size of all weight files.
        dtypes: element or block type -> number of tensors.
        parameters: number of values of all tensors except ignored and tied ones.
        tied: whether embedding and output head share a weight; None if unknown.
        missing: parameters of the model without a tensor.
        remarks: see ``remarks_of``.
    """

    source: str
    format: str
    architecture: str | None
    family: str | None
    refusal: str | None
    files: int
    bytes: int
    dtypes: dict[str, int]
    parameters: int
    tied: bool | None
    tokenizer: TokenizerFacts
    tensors: list[TensorRow]
    generic: str | None = None
    missing: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def take_inventory(source: CheckpointConfig) -> Inventory:
    """Open a checkpoint and classify its tensors.

    Raises:
        LlmExportError: it does not exist, is damaged, or is of an unknown format. An unknown
            architecture is not an error; see ``refusal``.
    """
    checkpoint = open_checkpoint(source, {})
    infos = describe_tensors(checkpoint)
    family, refusal, tied, missing = None, None, None, list[str]()
    try:
        option = model_option(checkpoint, source, _CONTEXT)
        rows, missing, tied = _sorted(checkpoint, infos, option)
        family = option.family
    except LlmExportError as error:
        refusal = str(error)
        rows = [TensorRow(name, info.shape, info.dtype, "") for name, info in infos.items()]
    counted = [row for row in rows if row.status not in ("ignored", "tied")]
    return Inventory(
        source=describe_source(source),
        format=checkpoint.format,
        architecture=_architecture(checkpoint),
        family=family,
        refusal=refusal,
        files=len(checkpoint.files),
        bytes=sum(path.stat().st_size for path in checkpoint.files),
        dtypes=dict(Counter(row.dtype for row in rows).most_common()),
        parameters=sum(math.prod(row.shape) for row in counted),
        tied=tied,
        tokenizer=_tokenizer(checkpoint),
        tensors=rows,
        missing=missing,
        generic=None if refusal is None else _generic(checkpoint, source),
        remarks=list(remarks_of(checkpoint)),
    )


def _generic(checkpoint: Checkpoint, source: CheckpointConfig) -> str | None:
    """Why the generic tier builds it; None if that tier cannot."""
    try:
        option = model_option(checkpoint, source, _CONTEXT, AUTO)
        if option.definition != GENERIC:
            return None
        transformers_config(option.config, option.family)
    except LlmExportError:
        return None
    return option.reason


def _sorted(
    checkpoint: Checkpoint, infos: Mapping[str, TensorInfo], option: ModelConfig
) -> tuple[list[TensorRow], list[str], bool]:
    """(rows, missing parameters, whether embeddings are tied) for the option's model."""
    family = FAMILIES.get(option.family)
    config = family.read(option.config, "the checkpoint's config")
    model = build_on_meta(config, _CONTEXT, "plain", False)
    wanted = dict(model.named_parameters(remove_duplicate=False))
    plan = match_names(wanted, family, config, checkpoint.naming, list(infos))
    keys = family.keys[checkpoint.naming]
    status = dict.fromkeys(plan.used, "used") | dict.fromkeys(plan.unused, "unknown")
    for name in plan.ignored:
        status[name] = "tied" if keys.to_model(name) in plan.tied else "ignored"
    rows = []
    for name, info in infos.items():
        place = plan.used.get(name)
        whole = place is not None and place.split is None
        parameter = wanted[place.targets[0]] if place is not None and whole else None
        fits = parameter is None or tuple(parameter.shape) == info.shape
        misfit = None if fits or parameter is None else tuple(parameter.shape)
        rows.append(TensorRow(name, info.shape, info.dtype, status[name], misfit))
    return rows, plan.missing, config.tied_embeddings


def _architecture(checkpoint: Checkpoint) -> str | None:
    if checkpoint.naming == "meta":
        return "llama"  # the only family with Meta's names
    try:
        config = checkpoint.config()
    except LlmExportError:
        return None
    value = config.get("model_type", config.get("general.architecture"))
    return None if value is None else str(value)


def _tokenizer(checkpoint: Checkpoint) -> TokenizerFacts:
    try:
        assets = checkpoint.tokenizer()
    except LlmExportError as error:
        return TokenizerFacts(problem=error.what)
    from tokenizers import Tokenizer

    return TokenizerFacts(
        kind=str(json.loads(assets.tokenizer_json)["model"]["type"]),
        vocab_size=Tokenizer.from_str(assets.tokenizer_json).get_vocab_size(),
        chat_template=assets.chat_template is not None,
    )
