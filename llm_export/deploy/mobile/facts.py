"""What a chat app has to know of a bundle, read from its manifest and tokenizer."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_export.deploy.sampling import not_taken
from llm_export.errors import BundleError, excerpt
from runtime_py.bundle import Bundle
from runtime_py.llm import tokenizer_of

_SYSTEM, _REPLACED = "system", "\ufffd"
_ROLES = (_SYSTEM, "user", "assistant")
_MARGIN, _HOTTEST = 1.25, 1.0
_ENGLISH = (
    "It is a truth that few people doubt: a phone in a pocket can do more today than the computers "
    "that once filled a room. What they ask of it is seldom hard. Which train leaves first, how do "
    "I write this letter, and what was the name of that film?"
)


@dataclass(frozen=True)
class ModelFile:
    """A file that the app opens, and where it lies now."""

    name: str
    source: Path
    bytes: int
    sha256: str


@dataclass(frozen=True)
class AppFacts:
    """
    Attributes:
        model: the bundle's name.
        files: the program, then the tokenizer.
        turns: ``chat.turns`` of the manifest; None: a base model, which continues a text.
        example: a conversation (``messages``) and its prompt (``text``): ``chat.example`` of the
            manifest, if its roles are those of ``turns``.
        bos: text before each prompt of a base model; "" for none.
        turn_tokens: texts of the tokens that end an answer; the runner passes them on.
        stop_strings: texts that no answer contains: those that are no words, and the start of the
            user's next turn, which a model without a trained end goes on to write.
        temperature: in [0, 1], as ExecuTorch's runner takes it.
        context_length: tokens of a conversation, with the answer.
        max_new_tokens: of an answer.
        tokens_per_byte: of English with the model's tokenizer, and a quarter more.
        ignored: settings of sampling that the runner does not take, as they are written.
    """

    model: str
    executorch: str
    backends: tuple[str, ...]
    files: tuple[ModelFile, ...]
    turns: Mapping[str, Any] | None
    example: Mapping[str, Any]
    bos: str
    turn_tokens: tuple[str, ...]
    stop_strings: tuple[str, ...]
    temperature: float
    context_length: int
    max_new_tokens: int
    tokens_per_byte: float
    ignored: tuple[str, ...]

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)

    @property
    def takes_system(self) -> bool:
        return self.turns is not None and _SYSTEM in self.turns["roles"]


def facts_of(bundle: Bundle) -> AppFacts:
    """
    Raises:
        BundleError: the tokenizer cannot be read.
    """
    manifest = bundle.manifest
    program, tokens, sampling = (manifest[key] for key in ("program", "tokenizer", "sampling"))
    turns = turns_of(bundle)
    ends = _turn_tokens(bundle)
    adds = tokens["add_bos"] and not turns
    bos = tokens["special_tokens"].get("bos_token", "") if adds else ""
    return AppFacts(
        model=manifest["name"],
        executorch=manifest["requires"]["executorch"],
        backends=tuple(manifest["requires"]["backends"]),
        files=(_file(bundle, "program", "model.pte"), _file(bundle, "tokenizer", "tokenizer.json")),
        turns=turns,
        example=_example(manifest, turns, bos),
        bos=bos,
        turn_tokens=ends,
        stop_strings=_stop_strings(ends, turns),
        temperature=_temperature(sampling["temperature"]),
        context_length=program["context_length"],
        max_new_tokens=min(sampling["max_new_tokens"], max(1, program["context_length"] - 1)),
        tokens_per_byte=_tokens_per_byte(bundle),
        ignored=not_taken(sampling, hottest=_HOTTEST),
    )  # fmt: skip


def shown_of(facts: AppFacts) -> Mapping[str, str]:
    """What a README says of a bundle, on a line and without marks."""
    said = {"model": facts.model, "executorch": facts.executorch}
    return {key: re.sub(r"[^\w .,:+-]", "_", excerpt(text)) for key, text in said.items()}


def turns_of(bundle: Bundle) -> Mapping[str, Any] | None:
    """``chat.turns`` of the manifest with the roles that apps know, which are names in their
    sources; None: there is none, or it lacks one of both sides."""
    turns = bundle.manifest.get("chat", {}).get("turns")
    if turns is None or not {"user", "assistant"} <= set(turns["roles"]):
        return None
    known = {role: turns["roles"][role] for role in _ROLES if role in turns["roles"]}
    return {**turns, "roles": known}


def _temperature(said: float) -> float:
    return min(max(float(said), 0.0), _HOTTEST) if math.isfinite(said) else 0.0


def _file(bundle: Bundle, role: str, name: str) -> ModelFile:
    source = bundle.file(role)
    assert source is not None
    entry = bundle.manifest["files"][bundle.manifest["roles"][role]]
    return ModelFile(name, source, entry["bytes"], entry["sha256"])


def _example(
    manifest: Mapping[str, Any], turns: Mapping[str, Any] | None, bos: str
) -> Mapping[str, Any]:
    messages = [{"role": "user", "content": "Hello"}]
    if turns is None:
        return {"messages": messages, "text": f"{bos}Hello"}
    example: Mapping[str, Any] = manifest["chat"]["example"]
    if all(m.get("role") in turns["roles"] and "content" in m for m in example["messages"]):
        return example
    user = turns["roles"]["user"]
    text = f"{turns['start']}{user['prefix']}Hello{user['suffix']}{turns['generation_prompt']}"
    return {"messages": messages, "text": text}


def _turn_tokens(bundle: Bundle) -> tuple[str, ...]:
    """By the manifest, or of bundles that lack them there by the tokenizer. A token of half a
    character has no text."""
    tokens = bundle.manifest["tokenizer"]
    found = tokens.get("stop_strings")
    if found is None:
        found = [_added(bundle).get(number, "") for number in tokens["eos_ids"]]
    return tuple(dict.fromkeys(text for text in found if text and _REPLACED not in text))


def _stop_strings(ends: tuple[str, ...], turns: Mapping[str, Any] | None) -> tuple[str, ...]:
    found = [*ends, _next_turn(turns) if turns else ""]
    return tuple(dict.fromkeys(text for text in found if _is_mark(text)))


def _next_turn(turns: Mapping[str, Any]) -> str:
    """A mark such as [INST] as it is; words, as in "user: ", only on a line of their own."""
    end, prefix = (turns["roles"][role] for role in ("assistant", "user"))
    start: str = prefix["prefix"].strip()
    if not start[:1].isalnum():
        return start
    line = f"\n{start}"
    return line if line in end["suffix"] + prefix["prefix"] else ""


def _is_mark(text: str) -> bool:
    return len(text.strip()) > 2 and not text.strip().isalnum()


def _added(bundle: Bundle) -> dict[int, str]:
    file = bundle.file("tokenizer")
    assert file is not None
    try:
        body = json.loads(file.read_text(encoding="utf-8"))
        return {int(each["id"]): str(each["content"]) for each in body.get("added_tokens", ())}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(
            f"the tokenizer cannot be read: {error}", where=str(file), fix="export the bundle anew"
        ) from None


def _tokens_per_byte(bundle: Bundle) -> float:
    count = len(tokenizer_of(bundle).encode(_ENGLISH, raw=False))
    return round(count / len(_ENGLISH) * _MARGIN, 3)
