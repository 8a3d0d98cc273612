"""What loading a bundle imports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

_SCRIPT = """
import json, sys
from runtime_py import LLM
llm = LLM.load(sys.argv[1])
tokens = llm.generate("abc", max_new_tokens=4).tokens
heavy = [name for name in ("executorch.exir", "torch._dynamo", "torch._inductor.lowering",
                           "torchao", "transformers") if name in sys.modules]
import executorch.exir  # the real one, after it was kept out
from executorch.extension.llm.custom_ops import custom_ops
print(json.dumps([tokens, heavy, hasattr(executorch.exir, "to_edge"),
                  llm.generate("abc", max_new_tokens=4).tokens]))
"""


def test_a_bundle_is_loaded_without_exporter_and_compiler(quantized_bundle: Path) -> None:
    """They take 3 s of CPU to import. Whoever imports them later gets them whole."""
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(quantized_bundle)], capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    tokens, heavy, whole, again = json.loads(done.stdout.splitlines()[-1])
    assert heavy == []
    assert whole
    assert tokens == again
