"""The files of sentence-transformers beside a model: which modules follow the encoder.

``modules.json`` lists them, each with its folder: ``1_Pooling/config.json``, ``2_Dense`` with a
config and weights, ``2_Normalize``. https://sbert.net/docs/package_reference/base/modules.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_export.errors import CheckpointError
from llm_export.files import optional_json, parse_json, read_json, read_text, require_file

MODULES = "modules.json"
_WEIGHTS = "model.safetensors"

_POOLINGS = {
    "cls": "cls", "max": "max", "mean": "mean", "mean_sqrt_len_tokens": "mean_sqrt_length",
    "weightedmean": "weighted_mean", "lasttoken": "last",
}  # fmt: skip
_FLAGS = {
    "pooling_mode_cls_token": "cls", "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean", "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_length",
    "pooling_mode_weightedmean_tokens": "weighted_mean", "pooling_mode_lasttoken": "last",
}  # fmt: skip
"""Keys of older versions, in the order in which poolings are concatenated."""
_ACTIVATIONS = {
    "Identity": "identity", "Tanh": "tanh", "ReLU": "relu", "GELU": "gelu", "SiLU": "silu",
    "Sigmoid": "sigmoid",
}  # fmt: skip


@dataclass(frozen=True)
class SentenceFiles:
    """
    Attributes:
        dense: the key ``dense`` of a model option; see ``dense_config``.
        weights: files with the dense layers' tensors, in order.
        options: what the files say of the task's options.
    """

    dense: tuple[Mapping[str, Any], ...]
    weights: tuple[Path, ...]
    options: Mapping[str, Any]


def read_sentence_files(folder: Path) -> SentenceFiles | None:
    """What ``folder`` says; None if it has no ``modules.json``.

    Raises:
        CheckpointError: a file is missing or damaged, or says something that is not implemented.
    """
    listing = folder / MODULES
    if not listing.is_file():
        return None
    _require_cased(folder)
    made: dict[str, Any] = {"normalize": False}
    dense, weights = [], []
    for kind, place in _modules(listing):
        where = folder / place
        if made["normalize"] or (kind == "Dense" and "pooling" not in made):
            raise _order(listing, kind)
        if kind == "Pooling" and "pooling" not in made:
            made["pooling"] = _pooling(where / "config.json")
        elif kind == "Dense":
            dense.append(_dense(where / "config.json"))
            weights.append(require_file(where / _WEIGHTS, "the weights of a dense layer"))
        elif kind == "Normalize":
            _known(optional_json(where / "config.json"), where, {
                "module_input_name": ("sentence_embedding",),
                "module_output_name": ("sentence_embedding", None),
            })  # fmt: skip
            made["normalize"] = True
        elif kind != "Dropout":  # of training
            raise _order(listing, kind)
    return SentenceFiles(tuple(dense), tuple(weights), {**made, **_options(folder)})


def _modules(listing: Path) -> list[tuple[str, str]]:
    """(kind, folder) of all modules after the encoder.

    Kinds are class names: the modules that hold the classes have moved between versions.
    """
    entries = parse_json(read_text(listing), str(listing))
    found = []
    for entry in entries if isinstance(entries, list) else [None]:
        if not isinstance(entry, dict) or not {"type", "path"} <= set(entry):
            raise CheckpointError("it is no list of modules with type and path",
                                  where=str(listing))  # fmt: skip
        kind, place = str(entry["type"]).split(".")[-1], str(entry["path"])
        if Path(place).is_absolute() or ".." in Path(place).parts:
            raise CheckpointError(f"it names a folder outside: {place}", where=str(listing))
        found.append((kind, place))
    if not found or found[0][0] != "Transformer":
        first = found[0][0] if found else "nothing"
        raise CheckpointError(
            f"the first module is {first}, and only Transformer is implemented", where=str(listing)
        )
    if found[0][1]:
        raise CheckpointError(
            f"the encoder lies in a folder of its own, '{found[0][1]}'", where=str(listing),
            fix=f"give that folder: checkpoint.path={listing.parent / found[0][1]}; state pooling "
            "by model.task_options.pooling=NAME",
        )  # fmt: skip
    return found[1:]


def _order(listing: Path, kind: str) -> CheckpointError:
    return CheckpointError(
        f"module {kind} is not implemented, or not in this place", where=str(listing),
        fix="implemented: Transformer, Pooling, any number of Dense, Normalize, in this order",
    )  # fmt: skip


def _pooling(path: Path) -> str:
    raw = read_json(require_file(path, "the config of the pooling"))
    allowed = dict.fromkeys(("embedding_dimension", "word_embedding_dimension", "pooling_mode"))
    _known(raw, path, {**allowed, **dict.fromkeys(_FLAGS), "include_prompt": (True,)})
    stated = raw.get("pooling_mode")
    if stated is None:
        return "+".join(name for key, name in _FLAGS.items() if raw.get(key)) or "mean"
    modes = stated if isinstance(stated, list) else [stated]
    if not modes or not all(isinstance(mode, str) and mode in _POOLINGS for mode in modes):
        raise CheckpointError(f"pooling_mode={stated!r} is not implemented", where=str(path),
                              fix=f"implemented: {', '.join(_POOLINGS)}")  # fmt: skip
    return "+".join(_POOLINGS[mode] for mode in modes)


def _dense(path: Path) -> dict[str, Any]:
    raw = read_json(require_file(path, "the config of a dense layer"))
    _known(raw, path, {
        "in_features": None, "out_features": None, "bias": (True, False),
        "activation_function": None, "use_residual": (False,),
        "module_input_name": ("sentence_embedding",),
        "module_output_name": ("sentence_embedding", None),
    })  # fmt: skip
    # What a config leaves out is the layer's default.
    name = str(raw.get("activation_function") or "torch.nn.modules.linear.Identity")
    name = name if "activation_function" in raw else "torch.nn.modules.activation.Tanh"
    kind = name.split(".")[-1]
    if kind not in _ACTIVATIONS or not name.startswith("torch.nn."):
        raise CheckpointError(
            f"activation_function={name!r} is not implemented", where=str(path),
            fix=f"implemented, of torch.nn: {', '.join(_ACTIVATIONS)}",
        )  # fmt: skip
    sizes = {key: raw.get(key) for key in ("in_features", "out_features")}
    return {**sizes, "bias": raw.get("bias", True), "activation": _ACTIVATIONS[kind]}


def _options(folder: Path) -> dict[str, Any]:
    path = folder / "config_sentence_transformers.json"
    raw = optional_json(path)
    _known(raw, path, {
        "__version__": None, "prompts": None, "similarity_fn_name": None, "model_type": None,
        "default_prompt_name": (None,), "truncate_dim": None,
    })  # fmt: skip
    found: dict[str, Any] = {}
    prompts = raw.get("prompts") or {}
    if not isinstance(prompts, dict) or not all(isinstance(p, str) for p in prompts.values()):
        raise CheckpointError(f"prompts={prompts!r} are not texts by name", where=str(path))
    if any(prompts.values()):
        found["prompts"] = {name: text for name, text in prompts.items() if text}
    if raw.get("similarity_fn_name") is not None:
        found["similarity"] = raw["similarity_fn_name"]
    if raw.get("truncate_dim") is not None:
        found["dimensions"], found["matryoshka"] = raw["truncate_dim"], [raw["truncate_dim"]]
    length = _transformer(folder).get("max_seq_length")
    return found if length is None else {**found, "max_length": length}


def _transformer(folder: Path) -> dict[str, Any]:
    path = folder / "sentence_bert_config.json"
    raw = optional_json(path)
    _known(raw, path, {
        "max_seq_length": None, "do_lower_case": (True, False), "transformer_task":
        ("feature-extraction",), "modality_config": None, "module_output_name":
        ("token_embeddings",), "model_args": None, "processor_args": None, "config_args": None,
        "model_kwargs": None, "processor_kwargs": None, "config_kwargs": None,
        "tokenizer_args": None, "unpad_inputs": None, "processing_kwargs": None,
    })  # fmt: skip
    return raw


def _require_cased(folder: Path) -> None:
    """Refuse texts in lower case, unless the tokenizer lowercases them itself."""
    if not _transformer(folder).get("do_lower_case"):
        return
    path = folder / "tokenizer.json"
    normalizer = json.dumps(optional_json(path).get("normalizer"))
    if '"lowercase": true' not in normalizer and '"Lowercase"' not in normalizer:
        raise CheckpointError(
            "do_lower_case is true, and the tokenizer does not lowercase texts",
            where=str(folder / "sentence_bert_config.json"),
            fix=f"add the normalizer Lowercase to {path}, and set do_lower_case to false",
        )


def _known(
    raw: Mapping[str, Any], path: Path, allowed: Mapping[str, tuple[Any, ...] | None]
) -> None:
    """Refuse keys that are not in ``allowed``, and values other than those it lists."""
    for key, value in raw.items():
        if key not in allowed:
            raise CheckpointError(f"unknown key '{key}'", where=str(path),
                                  fix=f"known: {', '.join(allowed)}")  # fmt: skip
        values = allowed[key]
        if values is not None and value not in values:
            raise CheckpointError(
                f"{key}={value!r} is not implemented", where=str(path),
                fix=f"implemented: {', '.join(map(repr, values))}",
            )  # fmt: skip
