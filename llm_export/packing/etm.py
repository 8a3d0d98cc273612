"""metadata.json of an ``.etm`` archive, as ExecuTorch's open RFC #17640 outlines it.

The RFC proposes a zip archive of ``model.pte``, ``tokenizer.json``, ``metadata.json`` and optional
``weights/``, and says of the metadata: what is not in the program's constant methods, above all the
chat template, ``num_bos`` and ``default_temperature``. It has no further schema.
"""

from __future__ import annotations

import json
from typing import Any

from runtime_py.bundle import Bundle

METADATA = "metadata.json"


def metadata_json(bundle: Bundle) -> str:
    """The metadata of a bundle: ``num_bos`` of tokens to put before a raw prompt, ``num_eos`` of
    those to put behind it, its default sampling, special tokens and chat template.
    """
    tokenizer, sampling = bundle.manifest["tokenizer"], bundle.manifest["sampling"]
    template = bundle.file("chat_template")
    body: dict[str, Any] = {
        "name": bundle.manifest["name"],
        "num_bos": int(tokenizer["add_bos"] and tokenizer["bos_id"] is not None),
        "num_eos": 0,
        "default_temperature": sampling["temperature"],
        "special_tokens": tokenizer["special_tokens"],
        "chat_template": None if template is None else template.read_text(encoding="utf-8"),
    }
    return json.dumps(body, indent=2, ensure_ascii=False) + "\n"
