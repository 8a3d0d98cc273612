"""Convert a config.json to a transformers config, and reject what cannot be exported."""

from __future__ import annotations

import contextlib
import logging
import re
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_export.checkpoints.quantized import without_quantization
from llm_export.compat.transformers_models import with_special_floats
from llm_export.errors import CheckpointError, MissingDependencyError, excerpt
from llm_export.models.definitions.base import ContextLimit
from llm_export.models.definitions.findings import require_same_model
from llm_export.models.families.count_limits import require_counts
from llm_export.models.families.inert_keys import INERT, is_inert
from llm_export.models.hf.auto_class import CAUSAL, AutoClass, task_for
from llm_export.models.hf.trained_rope import with_trained_rope
from llm_export.models.rope_limits import ORIGINAL, dynamic_limit

if TYPE_CHECKING:
    from llm_export.checkpoints.base import Checkpoint

WHERE = "model.config"
OLDEST = (5, 23)

# Keys that the library's base class reads from every config.
_ROPE_KEYS = {
    "rope_parameters", "rope_theta", "rope_scaling", "partial_rotary_factor",
    "original_max_position_embeddings",
}  # fmt: skip


def require_transformers() -> None:
    """Raises MissingDependencyError if transformers is missing or too old. Imports nothing
    heavy.
    """
    try:
        found = metadata.version("transformers")
    except metadata.PackageNotFoundError:
        found = ""
    if not found or tuple(map(int, found.split(".")[:2])) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        state = f"is {found}; {oldest} is the oldest that will do" if found else "is not installed"
        raise MissingDependencyError(
            f"the generic tier needs transformers, which {state}",
            where="model.definition=hf",
            fix='pip install "llm_export[hf]"',
        )


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Suppress console warnings and progress bars of transformers and of torchao, which it
    imports; what matters among them is raised as an error.
    """
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    from transformers.utils import logging as library

    bars = library.is_progress_bar_enabled()
    library.disable_progress_bar()
    try:
        yield
    finally:
        logging.disable(disabled)
        if bars:
            library.enable_progress_bar()


def transformers_config(raw: Mapping[str, Any], family: str = "", auto: AutoClass = CAUSAL) -> Any:
    """``PreTrainedConfig`` of a config.json.

    Args:
        family: the model_type if the config has none.

    Raises:
        MissingDependencyError: see ``require_transformers``.
        CheckpointError: not a model that ``auto`` builds without remote code.
    """
    require_transformers()
    require_counts(raw)
    with quietly():
        # All of its models import this, and with it torchao, which announces what it lacks.
        import transformers.modeling_utils  # noqa: F401
        from transformers import CONFIG_MAPPING

    model_type = raw.get("model_type") or family
    # The quantization settings of the published weights; readers dequantize them or raise.
    raw = without_quantization(raw, WHERE, "torchao")
    version = metadata.version("transformers")
    if not isinstance(model_type, str) or model_type not in CONFIG_MAPPING:
        own = " and comes with code of its own, which is never run" if "auto_map" in raw else ""
        raise CheckpointError(
            f"transformers {version} does not know the model type '{excerpt(model_type)}'{own}",
            where=f"{WHERE}.model_type",
            fix="a newer transformers may know it",
        )
    _require_known_keys(CONFIG_MAPPING[model_type], raw)
    try:
        with quietly():
            kind = CONFIG_MAPPING[model_type]
            config = kind.from_dict(with_special_floats(kind, dict(raw)))
    except Exception as error:  # each config class validates differently
        raise CheckpointError(
            f"not a valid '{model_type}' config: {_first_lines(error)}", where=WHERE,
            fix="check the values of config.json",
        ) from None  # fmt: skip
    if type(config) not in auto.classes() or config.is_encoder_decoder != auto.pairs:
        task = task_for(config)
        other = f", but {auto.unlike}" if auto.unlike and type(config) in auto.classes() else ""
        raise CheckpointError(
            f"'{model_type}' is no {auto.what} of transformers {version}{other}",
            where=f"{WHERE}.model_type",
            fix="a checkpoint of another model type; docs/generic-models.md lists them"
            if task is None or other
            else f"model.task={task}",
        )
    _drop_padding_outside(config, raw)
    return with_trained_rope(config)


def _drop_padding_outside(config: Any, raw: Mapping[str, Any]) -> None:
    """Where only the class's default says which token is padding, a small vocabulary may be
    without it: then none is, and ``nn.Embedding`` takes no other."""
    padding = None if "pad_token_id" in raw else vars(config).get("pad_token_id")
    size = None if padding is None else getattr(config, "vocab_size", None)
    if isinstance(padding, int) and isinstance(size, int) and padding >= size:
        config.pad_token_id = None
    for name in type(config).sub_configs:
        if (part := getattr(config, name, None)) is not None:
            _drop_padding_outside(part, raw.get(name) or {})


def _require_known_keys(config_class: Any, raw: Mapping[str, Any]) -> None:
    """Raise on unknown keys: transformers ignores them, so a model that needs one would be wrong.

    A key is known if the code of the model or of its config mentions it.

    Raises:
        CheckpointError: some keys are unknown; the message lists them.
    """
    from transformers import PreTrainedConfig

    own = Path(str(sys.modules[config_class.__module__].__file__))
    files = [own, *own.parent.glob("modeling_*.py")]
    words = set().union(*(re.findall(r"\w+", file.read_text(encoding="utf-8")) for file in files))
    known = words | set(PreTrainedConfig().to_dict()) | _ROPE_KEYS
    unknown = sorted({key for key, value in raw.items() if not is_inert(key, value)} - known)
    if unknown:
        raise CheckpointError(
            f"transformers does not know the config key(s) {', '.join(unknown)} of "
            f"'{config_class.model_type}'",
            where=f"{WHERE} or the checkpoint's config.json",
            fix="a key that changes the arithmetic and is ignored would give a wrong model; one "
            "that does not may be removed from config.json",
        )


def model_class(config: Any, auto: AutoClass = CAUSAL) -> Any:
    """The class that builds ``config``; this imports the model's code."""
    with quietly():
        return auto.classes()[type(config)]


def build_model(config: Any, auto: AutoClass = CAUSAL, **options: Any) -> Any:
    """A model of the library, with its own attention, on the device of the context.

    Raises:
        CheckpointError: its code refuses the config's values.
    """
    try:
        with quietly():
            return auto.load().from_config(config, attn_implementation="eager", **options)
    except Exception as error:  # each model checks its config in its own way
        raise CheckpointError(
            f"transformers cannot build '{config.model_type}' from its config: "
            f"{type(error).__name__}: {_first_lines(error)}",
            where=WHERE, fix="check the values of config.json",
        ) from error  # fmt: skip


def _first_lines(error: Exception) -> str:
    """Two lines: the first of a validation error only names the field."""
    lines = [line.strip() for line in str(error).strip().splitlines()]
    return " ".join(lines[:2]) or type(error).__name__


def context_limit(config: Any) -> ContextLimit | None:
    """The longest context of a transformers model; None if its config has no limit.

    YaRN reaches further than ``max_position_embeddings``. LongRoPE and dynamic scaling change
    their frequencies when a text grows, and a program has one set of them.
    """
    keys = ("max_position_embeddings", "max_target_positions", "max_seq_len")
    stated = {key: getattr(config, key, None) for key in keys}
    limits = [
        ContextLimit(value, f"the model has {value} positions ({key})")
        for key, value in stated.items()
        if isinstance(value, int)
    ]
    scaled = list(rope_limits(config))
    reached = [limit for limit, kind in scaled if kind == "yarn"]
    if limits and reached:
        limits = [max([*limits, *reached], key=lambda limit: limit.tokens)]
    limits += [limit for limit, kind in scaled if kind != "yarn"]
    return min(limits, key=lambda limit: limit.tokens, default=None)


def rope_limits(config: Any) -> Iterator[tuple[ContextLimit, str]]:
    """(limit, type) of each RoPE whose type sets one."""
    stated = getattr(config, "rope_parameters", None) or {}
    # Models with several attention kinds have one mapping per kind.
    each = [stated] if "rope_type" in stated else [v for v in stated.values() if v]
    for rope in each:
        kind = rope.get("rope_type", "default") if isinstance(rope, Mapping) else "default"
        original = rope.get(ORIGINAL) if isinstance(rope, Mapping) else None
        if kind == "longrope" and original:
            why = f"LongRoPE changes its frequencies when a text grows past {original} tokens"
            yield ContextLimit(int(original), f"{why}; a program has one set of them"), kind
        elif kind == "dynamic":
            yield dynamic_limit(int(config.max_position_embeddings)), kind
        elif kind == "yarn" and original and rope.get("factor"):
            reach = int(float(rope["factor"]) * original)
            yield (
                ContextLimit(reach, f"YaRN reaches {rope['factor']:g} x {original} positions"),
                kind,
            )


def differences(stated: Any, own: Any) -> list[str]:
    """Messages for the differences between two configs; lengths and bookkeeping keys are
    ignored.
    """
    free = {*INERT, "max_position_embeddings", "max_seq_len", "n_positions", "n_ctx"}
    ours, theirs = stated.to_dict(), own.to_dict()
    return [
        f"{key} is {theirs.get(key)} there and {ours.get(key)} in the model option"
        for key in sorted(ours.keys() | theirs.keys())
        if key not in free and _facts(ours.get(key)) != _facts(theirs.get(key))
    ]


def _facts(value: Any) -> Any:
    """A config value; a config within it without its bookkeeping keys."""
    if not isinstance(value, Mapping) or "model_type" not in value:
        return value
    return {key: _facts(each) for key, each in value.items() if key not in INERT}


def require_same_config(config: Any, checkpoint: Checkpoint, auto: AutoClass = CAUSAL) -> None:
    """Compare configs, because names and shapes may fit although RoPE base or activation differ.

    Raises:
        CheckpointError: the checkpoint's config is another one.
    """
    own = transformers_config(checkpoint.config(), auto=auto)
    fix = "model=auto takes the checkpoint's own config"
    require_same_model(differences(config, own), checkpoint, fix)
