"""Files of a Hugging Face tokenizer: what a manifest says of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime_py.errors import BundleRuntimeError
from runtime_py.foreign.find import Found
from runtime_py.guard import guarded
from runtime_py.native_log import captured_native_log
from runtime_py.sampling import SETTINGS

_NAMES = tuple(f"{name}_token" for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"))
_OTHER = ("tokenizer.model", "tokenizer.bin", "vocab.json", "spiece.model")
MOST_BYTES = 200_000_000
"""Of a JSON file that is read."""


@dataclass(frozen=True)
class Tokens:
    """
    Attributes:
        file: tokenizer.json.
        entry, sampling: entries of the manifest.
        templates: role -> source of a chat template.
    """

    file: Path
    entry: dict[str, Any]
    sampling: dict[str, Any]
    templates: dict[str, str]


def tokens_of(found: Found, constants: Mapping[str, Any], vocab_size: int) -> Tokens:
    """
    Raises:
        BundleRuntimeError: there is no tokenizer.json, it is of another model, or no file says
            which token ends an answer.
    """
    file = found.tokenizer or found.file("tokenizer.json")
    if file is None or file.suffix != ".json":
        raise _missing(found, file)
    config = _json(found, "tokenizer_config.json")
    generation, model = _json(found, "generation_config.json"), _json(found, "config.json")
    from tokenizers import Tokenizer

    with captured_native_log(), guarded("the tokenizer cannot be read", where=str(file)):
        tokenizer = Tokenizer.from_file(str(file))
    if (largest := _largest(tokenizer)) >= vocab_size:
        raise BundleRuntimeError(
            f"the tokenizer has ids up to {largest}; the program has {vocab_size} tokens: they are "
            "of two models", where=str(file), fix="tokenizer=FOLDER of the program's model",
        )  # fmt: skip
    specials = _specials(config, _json(found, "special_tokens_map.json"))
    eos = _eos(constants, generation, model, tokenizer.token_to_id(specials.get("eos_token", "")))
    if not eos:
        raise BundleRuntimeError(
            "nothing says which token ends an answer: the program has no get_eos_ids, and there is "
            "no eos_token_id in generation_config.json and no eos_token in tokenizer_config.json",
            where=str(file.parent),
            fix="put the checkpoint's tokenizer_config.json beside it",
        )
    bos = tokenizer.token_to_id(specials.get("bos_token", ""))
    if bos is None:
        bos = constants.get("get_bos_id", model.get("bos_token_id"))
    bos = bos if type(bos) is int and bos >= 0 else None
    added = tokenizer.encode("a", add_special_tokens=True).ids[:1] == [bos]
    entry = {
        "bos_id": bos, "eos_ids": eos, "special_tokens": specials,
        "add_bos": bos is not None and (added or config.get("add_bos_token") is True),
    }  # fmt: skip
    return Tokens(file, entry, _sampling(generation), _templates(found, config))


def _largest(tokenizer: Any) -> int:
    return max(tokenizer.get_vocab(with_added_tokens=True).values(), default=0)


def _eos(
    constants: Mapping[str, Any], generation: Mapping[str, Any], model: Mapping[str, Any],
    named: int | None,
) -> list[int]:  # fmt: skip
    """Those of the program, of generation_config.json and of the tokenizer; config.json counts
    only without any, since it is often of the base model."""
    said = [constants.get("get_eos_ids"), constants.get("get_eos_id"),
            generation.get("eos_token_id"), named]  # fmt: skip
    for group in (said, [model.get("eos_token_id")]):
        flat = [i for each in group for i in (each if isinstance(each, list) else [each])]
        if found := [i for i in dict.fromkeys(flat) if type(i) is int and i >= 0]:
            return found
    return []


def _specials(*files: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for file in files:
        for name in _NAMES:
            value = file.get(name)
            text = value.get("content") if isinstance(value, dict) else value
            if isinstance(text, str):
                found.setdefault(name, text)
    return found


def _sampling(generation: Mapping[str, Any]) -> dict[str, Any]:
    """generation_config.json's; greedy, as in transformers, unless it says do_sample."""
    found: dict[str, Any] = {"temperature": 0.0, "top_k": 0, "top_p": 1.0, "max_new_tokens": 256}
    kept = {n: v for n, v in generation.items() if n in SETTINGS and type(v) in (int, float)}
    kept.pop("max_new_tokens", None)
    if generation.get("do_sample") is True:
        return {**found, "temperature": 1.0, **kept}
    penalty = kept.get("repetition_penalty")
    return found if penalty is None else {**found, "repetition_penalty": penalty}


def _templates(found: Found, config: Mapping[str, Any]) -> dict[str, str]:
    """From chat_template.jinja, chat_template.json, or tokenizer_config.json."""
    file = found.file("chat_template.jinja")
    if file is not None:
        with guarded("the chat template cannot be read", where=str(file)):
            return {"chat_template": file.read_text(encoding="utf-8")}
    held = _json(found, "chat_template.json").get("chat_template") or config.get("chat_template")
    if isinstance(held, str):
        return {"chat_template": held}
    if not isinstance(held, list):
        return {}
    named = {each.get("name"): each.get("template") for each in held if isinstance(each, dict)}
    roles = {"chat_template": named.get("default"), "tool_use_template": named.get("tool_use")}
    return {role: source for role, source in roles.items() if isinstance(source, str)}


def _json(found: Found, name: str) -> dict[str, Any]:
    """A JSON object; empty without the file."""
    file = found.file(name)
    if file is None:
        return {}
    with guarded(f"{name} cannot be read", where=str(file)):
        if file.stat().st_size > MOST_BYTES:
            raise BundleRuntimeError(f"{name} is larger than {MOST_BYTES:,} bytes", where=str(file))
        value = json.loads(file.read_bytes())
        if not isinstance(value, dict):
            raise BundleRuntimeError(f"{name} is no JSON object", where=str(file))
    return value


def _missing(found: Found, named: Path | None) -> BundleRuntimeError:
    other = named or found.file(*_OTHER)
    if other is None:
        return BundleRuntimeError(
            "there is no tokenizer.json beside the program",
            where=str(found.program.parent),
            fix="tokenizer=FOLDER of its checkpoint, or copy tokenizer.json and "
            "tokenizer_config.json beside it",
        )
    return BundleRuntimeError(
        f"there is no tokenizer.json; {other.name} is of another format",
        where=str(other),
        fix="the checkpoint's repository on the hub usually has one; or convert it: "
        f"transformers' AutoTokenizer.from_pretrained({str(other.parent)!r}).save_pretrained(...)",
    )
