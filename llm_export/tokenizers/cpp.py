"""ExecuTorch's C++ tokenizer, which apps link, run in a separate process.

``python -m llm_export.tokenizers.cpp`` reads {"path": tokenizer.json, "texts": [...]} from
standard input and writes a list of id lists. A separate process is needed because the C++ code may
abort, and because it reports why it refuses a file only on standard error.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_export.errors import VerificationError

_REASON = re.compile(r"^E tokenizers:\S+\] (.*)$", re.MULTILINE)
_FIX = (
    "publish a tokenizer.json with a BPE model that uses only: normalizers NFC, Prepend, "
    "Replace; pre-tokenizers ByteLevel, Digits, Split; decoders ByteLevel, ByteFallback, Fuse, "
    "Replace, Strip; or, if your app has a tokenizer of its own, set verify.tokenizer=false"
)


_SECONDS = 300
"""Loading the largest vocabularies takes seconds."""


@dataclass(frozen=True)
class CppIds:
    """
    Attributes:
        ids: for each text.
        needs_lookahead: whether RE2 cannot run a regular expression, so that an app must link
            the library ``regex_lookahead`` of ExecuTorch's tokenizers.
    """

    ids: list[list[int]]
    needs_lookahead: bool


def cpp_ids(file: Path, texts: Sequence[str]) -> CppIds:
    """Token ids from the C++ code of ``pytorch_tokenizers``.

    Raises:
        VerificationError: it cannot load the tokenizer or encode a text, crashes, or hangs.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", "llm_export.tokenizers.cpp"],
            input=json.dumps({"path": str(file), "texts": list(texts)}),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise VerificationError(
            f"ExecuTorch's C++ tokenizer has not encoded {len(texts)} texts in {_SECONDS} s",
            where="tokenizer.json",
            fix=_FIX,
        ) from None
    if done.returncode:
        raise VerificationError(
            "ExecuTorch's C++ tokenizer cannot take this tokenizer, so TextLLMRunner would fail "
            f"on a phone: {_reason(file, done)}",
            where="tokenizer.json",
            fix=_FIX,
        )
    return CppIds(json.loads(done.stdout), "a fallback regex is used" in done.stderr)


def _reason(file: Path, done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode < 0:
        return f"it ends the process (signal {-done.returncode})"
    try:
        kind = json.loads(file.read_text("utf-8"))["model"].get("type", "BPE")
    except (ValueError, KeyError, TypeError, AttributeError):
        return "it is no whole tokenizer.json"
    if kind != "BPE":  # some are refused without a message, others with a message about missing BPE
        return f"Unsupported model type: {kind}"
    if said := _REASON.findall(done.stderr):
        return "; ".join(dict.fromkeys(said[-3:]))
    last: str = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return last


def main() -> int:
    from pytorch_tokenizers import pytorch_tokenizers_cpp

    request = json.load(sys.stdin)
    tokenizer = pytorch_tokenizers_cpp.HFTokenizer()
    tokenizer.load(request["path"])
    json.dump([tokenizer.encode(text, 0, 0) for text in request["texts"]], sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
