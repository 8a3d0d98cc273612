"""The tokenizer, chat templates and ends of answers of a bundle, and of each of its adapters.

PEFT's trainers save the tokenizer with the adapter, so an adapter may have a template and an
end-of-sequence token that neither the base model nor another adapter has.
"""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path

from llm_export.bundle.chat_format import ChatEntry, chat_entry
from llm_export.bundle.manifest import AdapterTokenizer, Manifest, TokenizerEntry
from llm_export.files import write_text
from llm_export.tokenizers.adapters import of_adapter
from llm_export.tokenizers.base import TokenizerAssets
from llm_export.tokenizers.cpp_compatible import to_cpp_compatible
from llm_export.tokenizers.folder import has_vocabulary
from llm_export.tokenizers.generation import GenerationSettings
from llm_export.tokenizers.stop_strings import stop_strings
from llm_export.tokenizers.usable import usable_tokenizer

_SUFFIXES = {
    "tokenizer": "tokenizer.json", "chat_template": "chat_template.jinja",
    "tool_use_template": "tool_use.jinja",
}  # fmt: skip


def tokenizer_entry(assets: TokenizerAssets) -> TokenizerEntry:
    """What the manifest says of a tokenizer, whose file is made compatible with C++."""
    return TokenizerEntry(
        bos_id=assets.bos_id,
        eos_ids=tuple(assets.eos_ids),
        add_bos=assets.add_bos,
        special_tokens=dict(assets.special_tokens),
        normalization="NFC" if to_cpp_compatible(assets.tokenizer_json).nfc else None,
        stop_strings=stop_strings(assets),
    )


def chat_of(assets: TokenizerAssets) -> ChatEntry | None:
    """The manifest's example and turns; None for a base model."""
    if not assets.chat_template:
        return None
    return chat_entry(assets.chat_template, assets.special_tokens, datetime.datetime.now())


def write_own(
    bundle: Path, manifest: Manifest, name: str, assets: TokenizerAssets, entry: TokenizerEntry
) -> AdapterTokenizer | None:
    """Write the files in which an adapter differs from the bundle.

    Args:
        entry: what the manifest is to say of ``assets``.

    Returns:
        The manifest's entry; None if nothing differs.
    """
    texts = {
        "tokenizer": to_cpp_compatible(assets.tokenizer_json).text,
        "chat_template": assets.chat_template,
        "tool_use_template": assets.tool_use_template,
    }
    roles: dict[str, str] = {}
    differs = entry != manifest.tokenizer
    for role, text in texts.items():
        shared = manifest.roles.get(role)
        if text == (_text(bundle / shared) if shared else None):
            roles |= {role: shared} if shared else {}
            continue
        differs = True
        if text:
            roles[role] = f"adapters/{name}.{_SUFFIXES[role]}"
            write_text(bundle / roles[role], text)
    return AdapterTokenizer(entry, roles, chat_of(assets)) if differs else None


def of_folder(
    bundle: Path,
    manifest: Manifest,
    base_name: str,
    folder: Path,
    *,
    ends: tuple[int, ...] | None,
    compare: bool,
) -> tuple[TokenizerAssets, TokenizerEntry]:
    """The tokenizer of a further adapter, with that of the base model as the bundle has it.

    Args:
        base_name: of the adapter that adds nothing.
        ends: see ``Layout``; None: all that end an answer of the base model.
        compare: whether to compare it with the C++ tokenizer.

    Raises:
        CheckpointError: the adapter brings another vocabulary, or an id that the model lacks.
        VerificationError: as ``usable_tokenizer``.
    """
    own = (manifest.adapter_tokenizers or {}).get(base_name)
    entry = manifest.tokenizer if own is None else own.tokenizer
    roles = manifest.roles if own is None else own.roles
    base = TokenizerAssets(
        tokenizer_json=_text(bundle / roles["tokenizer"]),
        chat_template=_read(bundle, roles.get("chat_template")),
        tool_use_template=_read(bundle, roles.get("tool_use_template")),
        bos_id=entry.bos_id,
        eos_ids=entry.eos_ids,
        add_bos=entry.add_bos,
        special_tokens=entry.special_tokens,
        generation=GenerationSettings(eos_ids=entry.eos_ids if ends is None else ends),
    )
    assets, _ = usable_tokenizer(
        of_adapter(base, folder), manifest.program.vocab_size, compare=compare
    )
    made = tokenizer_entry(assets)
    if not has_vocabulary(folder):  # the bundle's file does not request it any more
        made = replace(made, normalization=entry.normalization)
    return assets, made


def _read(bundle: Path, name: str | None) -> str | None:
    return None if name is None else _text(bundle / name)


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8")
