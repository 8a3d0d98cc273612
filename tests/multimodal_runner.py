"""ExecuTorch's MultimodalRunner, in a process of its own: its C++ code writes to standard output.

Arguments: program, tokenizer, number of tokens, file of a torch.save'd list of inputs: lists of
token ids, and pictures [3, h, w]. Prints the texts of the answer's tokens as JSON in its last line.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


def greedy(bundle: Path, inputs: list[list[int] | Tensor], tokens: int, folder: Path) -> list[str]:
    """The texts of the tokens of a greedy answer, as the vocabulary writes them."""
    from runtime_py.engines.raw_tokens import without_decoder

    tokenizer, given = folder / "tokenizer.json", folder / "inputs.pt"
    tokenizer.write_text(without_decoder(bundle / "tokenizer.json"))
    torch.save(inputs, given)
    done = subprocess.run(
        [sys.executable, __file__, str(bundle / "model.pte"), str(tokenizer), str(tokens),
         str(given)], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


def main(program: str, tokenizer: str, tokens: str, given: str) -> None:
    from runtime_py.compat import load_operator_libraries

    load_operator_libraries()
    from executorch.extension.llm import runner

    made: list[str] = []
    inputs: list[Any] = [
        runner.make_image_input(each) if isinstance(each, Tensor) else runner.make_token_input(each)
        for each in torch.load(given)
    ]
    config = runner.GenerationConfig(max_new_tokens=int(tokens), temperature=0.0, echo=False)
    runner.MultimodalRunner(program, tokenizer).generate(inputs, config, made.append, None)
    print("\n" + json.dumps(made))


if __name__ == "__main__":
    main(*sys.argv[1:])
