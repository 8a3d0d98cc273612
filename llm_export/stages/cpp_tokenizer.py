"""Encode texts with the C++ tokenizer that apps link: python -m llm_export.stages.cpp_tokenizer.

Reads {"path": tokenizer.json, "texts": [...]} from standard input and writes a list of id
lists. A program of its own, because the C++ code ends the process on a regular expression
that it cannot compile.
"""

from __future__ import annotations

import json
import sys


def main() -> int:
    from pytorch_tokenizers import pytorch_tokenizers_cpp

    request = json.load(sys.stdin)
    tokenizer = pytorch_tokenizers_cpp.HFTokenizer()
    tokenizer.load(request["path"])
    json.dump([tokenizer.encode(text, 0, 0) for text in request["texts"]], sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
