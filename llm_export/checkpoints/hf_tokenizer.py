"""Tokenizer, chat template and special ids of a Hugging Face folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from llm_export.checkpoints.base import TokenizerAssets
from llm_export.errors import CheckpointError

SPECIALS = ("bos_token", "eos_token", "pad_token", "unk_token")


def read_hf_tokenizer(folder: Path) -> TokenizerAssets:
    """Read tokenizer.json, tokenizer_config.json, generation_config.json, chat_template.jinja.

    Raises:
        CheckpointError: there is no tokenizer.json, or a file is not valid.
    """
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    if not path.is_file():
        raise CheckpointError(
            "the folder has no tokenizer.json",
            where=str(folder),
            fix="save it with transformers: AutoTokenizer.from_pretrained(...).save_pretrained()",
        )
    text = path.read_text(encoding="utf-8")
    try:
        tokenizer = Tokenizer.from_str(text)
    except Exception as error:  # the library raises bare Exception
        raise CheckpointError(f"not a valid tokenizer: {error}", where=str(path)) from None

    settings = _optional_json(folder / "tokenizer_config.json")
    specials = {k: _content(settings[k]) for k in SPECIALS if settings.get(k)}
    generation = _optional_json(folder / "generation_config.json")
    model = _optional_json(folder / "config.json")
    bos = tokenizer.token_to_id(specials["bos_token"]) if "bos_token" in specials else None
    template_file = folder / "chat_template.jinja"
    if template_file.is_file():
        template: str | None = template_file.read_text(encoding="utf-8")
    else:
        template = _default_template(settings.get("chat_template"))
    return TokenizerAssets(
        tokenizer_json=text,
        chat_template=template,
        bos_id=bos,
        eos_ids=_eos_ids(tokenizer, specials, generation, model),
        add_bos=bos is not None and tokenizer.encode("a").ids[:1] == [bos],
        special_tokens=specials,
    )


def _eos_ids(
    tokenizer: Any, specials: dict[str, str], generation: dict[str, Any], model: dict[str, Any]
) -> tuple[int, ...]:
    ids: list[int] = []
    for source in (generation.get("eos_token_id"), model.get("eos_token_id")):
        ids += source if isinstance(source, list) else [] if source is None else [source]
    if "eos_token" in specials:
        ids.append(tokenizer.token_to_id(specials["eos_token"]))
    return tuple(dict.fromkeys(i for i in ids if i is not None))


def _default_template(value: Any) -> str | None:
    if isinstance(value, list):  # several named templates
        return next((t["template"] for t in value if t.get("name") == "default"), None)
    return value


def _content(value: Any) -> str:
    return value["content"] if isinstance(value, dict) else str(value)


def _optional_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"not valid JSON: {error}", where=str(path)) from None
