"""Tokenizer, chat template and special ids of a Hugging Face folder."""

from __future__ import annotations

from pathlib import Path

from llm_export.errors import CheckpointError
from llm_export.tokenizers.base import TokenizerAssets
from llm_export.tokenizers.special_tokens import read_settings


def read_hf_tokenizer(folder: Path) -> TokenizerAssets:
    """Read tokenizer.json and the settings files next to it.

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

    settings = read_settings(folder)
    specials = settings.specials
    bos = tokenizer.token_to_id(specials["bos_token"]) if "bos_token" in specials else None
    eos = tokenizer.token_to_id(specials["eos_token"]) if "eos_token" in specials else None
    eos_ids = (*settings.eos_ids, *(() if eos is None else (eos,)))
    return TokenizerAssets(
        tokenizer_json=text,
        chat_template=settings.chat_template,
        bos_id=bos,
        eos_ids=tuple(dict.fromkeys(eos_ids)),
        add_bos=bos is not None and tokenizer.encode("a").ids[:1] == [bos],
        special_tokens=specials,
    )
