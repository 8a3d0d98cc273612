"""Parse a PEFT adapter's adapter_config.json. Every key is checked: an ignored key would give a
wrong model.

https://huggingface.co/docs/peft/package_reference/lora
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_export.config.name_patterns import matches_name, require_pattern
from llm_export.errors import CheckpointError, InputError, excerpt
from llm_export.files import read_json

CONFIG = "adapter_config.json"

# Keys implemented below or by the merge.
_TAKEN = frozenset(
    {
        "alpha_pattern", "base_model_name_or_path", "bias", "fan_in_fan_out", "init_lora_weights",
        "lora_alpha", "modules_to_save", "peft_type", "r", "rank_pattern", "use_rslora",
    }
)  # fmt: skip
# Keys of training, of target selection (the tensors list the targets), or of initial values.
_INERT = frozenset(
    {
        "auto_mapping", "corda_config", "eva_config", "exclude_modules", "inference_mode",
        "layers_pattern", "layers_to_transform", "loftq_config", "lora_dropout", "lora_ga_config",
        "megatron_core", "peft_version", "qalora_group_size", "revision", "runtime_config",
        "target_modules", "task_type",
    }
)  # fmt: skip
# Initializations that do not change the base model's weights. pissa, olora, corda, loftq and
# lora_ga change them, so the adapter belongs to a base model that is saved nowhere.
_INITS = (True, False, "gaussian", "eva", "orthogonal", "mica")


_LARGEST = 1 << 24


@dataclass(frozen=True)
class LoraConfig:
    """The settings that the merge needs. ``rank`` and ``scale`` are per module."""

    base: str
    fan_in_fan_out: bool
    modules_to_save: tuple[str, ...]
    r: int
    alpha: float
    use_rslora: bool
    rank_pattern: Mapping[str, int]
    alpha_pattern: Mapping[str, float]

    def rank(self, module: str) -> int:
        return int(_matching(self.rank_pattern, module, self.r))

    def scale(self, module: str) -> float:
        """alpha / r, or alpha / sqrt(r) for rsLoRA (arXiv:2312.03732)."""
        alpha = float(_matching(self.alpha_pattern, module, self.alpha))
        rank = self.rank(module)
        return alpha / (rank**0.5 if self.use_rslora else rank)


def read_lora_config(folder: Path) -> LoraConfig:
    """Raises:
    InputError: the folder has no adapter_config.json.
    CheckpointError: another kind of adapter, or a setting that is not implemented, by name.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise InputError(
            f"the adapter has no {CONFIG}",
            where=str(folder),
            fix="give the folder that PEFT's save_pretrained wrote",
        )
    return lora_config(read_json(path), path)


def lora_config(raw: Mapping[str, Any], path: Path) -> LoraConfig:
    """The settings of a config that was read from ``path``.

    Raises:
        CheckpointError: as ``read_lora_config``.
    """
    kind = raw.get("peft_type")
    if kind != "LORA":
        raise _refused(path, f"peft_type={kind!r}", "implemented: 'LORA'")
    if raw.get("bias", "none") != "none":
        raise _refused(path, f"bias={raw['bias']!r}", "implemented: 'none'")
    if raw.get("init_lora_weights", True) not in _INITS:
        raise _refused(
            path, f"init_lora_weights={raw['init_lora_weights']!r}",
            "it changes the base model's own weights: merge it with PEFT (merge_and_unload)",
        )  # fmt: skip
    for key, value in raw.items():
        # A disabled setting (null, false, empty) has no effect, even for keys of later versions.
        if key not in _TAKEN | _INERT and value not in (None, False, [], {}, ""):
            raise _refused(path, f"{key}={value!r}", "merge it with PEFT (merge_and_unload)")
    lacking = [key for key in ("r", "lora_alpha") if not raw.get(key)]
    if lacking:
        raise CheckpointError(f"the adapter's config lacks '{lacking[0]}'", where=str(path))
    _require_values(raw, path)
    return LoraConfig(
        base=str(raw.get("base_model_name_or_path")),
        fan_in_fan_out=bool(raw.get("fan_in_fan_out")),
        modules_to_save=tuple(raw.get("modules_to_save") or ()),
        r=raw["r"],
        alpha=raw["lora_alpha"],
        use_rslora=bool(raw.get("use_rslora")),
        rank_pattern=raw.get("rank_pattern") or {},
        alpha_pattern=raw.get("alpha_pattern") or {},
    )


def _require_values(raw: Mapping[str, Any], path: Path) -> None:
    """Numbers are positive numbers, patterns are patterns."""
    ranks, alphas = (raw.get(f"{key}_pattern") or {} for key in ("rank", "alpha"))
    for key, table in (("rank_pattern", ranks), ("alpha_pattern", alphas)):
        if not isinstance(table, Mapping):
            raise _wrong(path, key, table, "a mapping of module names to numbers")
    numbers = {"r": raw["r"], "lora_alpha": raw["lora_alpha"]}
    numbers |= {f"rank_pattern: {excerpt(name)}": rank for name, rank in ranks.items()}
    whole = set(numbers) - {"lora_alpha"}
    numbers |= {f"alpha_pattern: {excerpt(name)}": alpha for name, alpha in alphas.items()}
    for key, value in numbers.items():
        kinds = int if key in whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds) or not 0 < value <= _LARGEST:
            raise _wrong(path, key, value, "a positive number")
    saved = raw.get("modules_to_save") or []
    if not isinstance(saved, list) or not all(isinstance(name, str) for name in saved):
        raise _wrong(path, "modules_to_save", saved, "a list of module names")
    for pattern in (*ranks, *alphas):
        try:
            require_pattern(_suffix(pattern))
        except ValueError as error:
            raise CheckpointError(f"the adapter's config has {error}", where=str(path)) from None


def _wrong(path: Path, key: str, value: object, kind: str) -> CheckpointError:
    return CheckpointError(
        f"the adapter's config has {key}={excerpt(value)}, which is not {kind}", where=str(path)
    )


def _suffix(pattern: str) -> str:
    return rf"(?s:.*\.)?({pattern})"


def _matching(patterns: Mapping[str, Any], module: str, default: Any) -> Any:
    """PEFT's rule: the first pattern that matches the end of the module's name applies."""
    for pattern, value in patterns.items():
        if matches_name(_suffix(pattern), module):
            return value
    return default


def _refused(path: Path, what: str, fix: str) -> CheckpointError:
    return CheckpointError(
        f"the adapter has {what}, which is not implemented", where=str(path), fix=fix
    )
