"""The files of a contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from llm_export.consumers.contract import Contract
from llm_export.consumers.facts import PROGRAM, TOKENIZER, BundleFacts, Unreadable
from llm_export.consumers.fixes import Fixes
from llm_export.consumers.verdict import Row


def file_rows(facts: BundleFacts, contract: Contract, fixes: Fixes) -> Iterator[Row]:
    for path, rule in contract.files.items():
        if path == PROGRAM:
            continue  # it has rows of its own
        problem = _problem(facts, path)
        yield Row(path, not problem, problem or "is there", fixes.again() if problem else "")
        for key, held in () if problem else rule.holds.items():
            body = facts.json(path)
            value = body.get(key) if isinstance(body, dict) else None
            good = _HELD[held](value)
            yield Row(
                f"{path}: {key}", good, _shown(value) if good else _lacks(value),
                "" if good else _mend(key, fixes),
            )  # fmt: skip


def weight_rows(facts: BundleFacts, contract: Contract) -> Iterator[Row]:
    """Adapters lie in files of their own, which not every consumer passes on."""
    adapters = facts.manifest.get("adapters")
    if adapters is None:
        return
    found = f"{len(adapters)} files of adapters"
    if contract.data_files:
        yield Row("weights outside the program", True, found)
    else:
        yield Row(
            "weights outside the program", False, f"{found}, which it does not load",
            "llm-export run RECIPE checkpoint.adapter_mode=merged",
        )  # fmt: skip


def _problem(facts: BundleFacts, path: str) -> str:
    try:
        if path == TOKENIZER:
            _ = facts.tokens
        elif path.endswith(".json"):
            facts.json(path)
        elif not (facts.folder / path).is_file():
            return "is missing"
    except Unreadable as error:
        return str(error)
    return ""


def _is_template(value: Any) -> bool:
    """A text, or a list of named ones of which the first is taken if none is called default."""
    if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
        named = [each for each in value if each.get("name") == "default"] or value
        value = named[0].get("template")
    return isinstance(value, str) and bool(value.strip())


def _is_token(value: Any) -> bool:
    text = value.get("content") if isinstance(value, dict) else value
    return isinstance(text, str) and bool(text)


_HELD: dict[str, Callable[[Any], bool]] = {
    "text": lambda value: isinstance(value, str) and bool(value.strip()),
    "template": _is_template,
    "token": _is_token,
}


def _shown(value: Any) -> str:
    if isinstance(value, str) and len(value) <= 40 and value.isprintable():
        return value
    return f"{len(value)} characters" if isinstance(value, str) else type(value).__name__


def _lacks(value: Any) -> str:
    return "is missing" if value is None else f"is no text but a {type(value).__name__}"


def _mend(key: str, fixes: Fixes) -> str:
    if key == "chat_template":
        return (
            "a base model has none: export the instruct checkpoint, or put chat_template.jinja "
            "into the checkpoint's folder"
        )
    return f"add {key} to the checkpoint's tokenizer_config.json, then {fixes.again()}"
