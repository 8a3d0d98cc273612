"""What loading a bundle imports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

_SCRIPT = """
import json, sys
from runtime_py import LLM
llm = LLM.load(sys.argv[1])
tokens = llm.generate("abc", max_new_tokens=4).tokens
heavy = [name for name in ("executorch.exir", "torch._dynamo", "torch._inductor.lowering",
                           "torchao", "transformers") if name in sys.modules]
print(json.dumps(heavy))
"""
_LATER = """
import executorch.exir  # the real one, after it was kept out
from executorch.extension.llm.custom_ops import custom_ops
print(json.dumps([tokens, hasattr(executorch.exir, "to_edge"),
                  llm.generate("abc", max_new_tokens=4).tokens]))
"""


def _last_line(script: str, bundle: Path) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", script, str(bundle)], capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


def test_a_bundle_is_loaded_without_exporter_and_compiler(quantized_bundle: Path) -> None:
    """They take 3 s of CPU to import."""
    assert _last_line(_SCRIPT, quantized_bundle) == []


@pytest.mark.slow
def test_whoever_imports_them_later_gets_them_whole(quantized_bundle: Path) -> None:
    tokens, whole, again = _last_line(_SCRIPT + _LATER, quantized_bundle)
    assert whole
    assert tokens == again
