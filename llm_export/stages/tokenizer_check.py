"""The bundle's tokenizer gives the ids of the checkpoint's, in Python and in C++."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from llm_export.checkpoints.base import TokenizerAssets
from llm_export.errors import VerificationError
from runtime_py.tokenizer import TextTokenizer


def corpus(source: TokenizerAssets) -> list[str]:
    """Strings with Unicode, code and odd spaces, and with the model's own special tokens."""
    text = resources.files("llm_export.data").joinpath("tokenizer_corpus.json").read_text("utf-8")
    special = [f"{text}a{text}\n{text} b" for text in source.special_tokens.values()]
    return [*json.loads(text), *special]


def compare_tokenizers(
    source: TokenizerAssets, bundled: TextTokenizer, file: Path
) -> dict[str, Any]:
    """Encode the corpus with the checkpoint's tokenizer, read anew, with the runtime's, and
    with the C++ tokenizer that apps link.

    Args:
        file: the bundle's tokenizer.json.

    Raises:
        VerificationError: naming the first string that differs.
    """
    texts = corpus(source)
    reference = Tokenizer.from_str(source.tokenizer_json)
    expected = [reference.encode(t, add_special_tokens=False).ids for t in texts]
    _require_equal("runtime", texts, expected, [bundled.encode(t, raw=False) for t in texts])
    _require_equal("C++", texts, expected, cpp_ids(file, texts))
    return {"strings": len(texts), "ids": sum(map(len, expected)), "equal": True}


def cpp_ids(file: Path, texts: Sequence[str]) -> list[list[int]]:
    """Ids by ``pytorch_tokenizers``' C++ code, in a process of its own.

    Raises:
        VerificationError: it cannot load the tokenizer, or dies.
    """
    done = subprocess.run(
        [sys.executable, "-m", "llm_export.stages.cpp_tokenizer"],
        input=json.dumps({"path": str(file), "texts": list(texts)}),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise VerificationError(
            f"the C++ tokenizer, which apps use, cannot take this tokenizer: {last}",
            where="tokenizer.json",
            fix="verify.tokenizer=false accepts it, if your app has a tokenizer of its own",
        )
    ids: list[list[int]] = json.loads(done.stdout)
    return ids


def _require_equal(
    which: str, texts: Sequence[str], expected: list[list[int]], actual: list[list[int]]
) -> None:
    differing = [t for t, e, a in zip(texts, expected, actual, strict=True) if e != a]
    if differing:
        raise VerificationError(
            f"the {which} tokenizer differs from the checkpoint's on {len(differing)} of "
            f"{len(texts)} strings: {differing[0]!r}",
            where="tokenizer.json",
        )
