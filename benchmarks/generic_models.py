"""Compare the generic tier with transformers for a tiny random member of every causal model type.

Prints one line for each type: agrees or differs, with the largest relative error of the logits for
one chunk and for uneven chunks through the cache; refused, with the reason; or that no tiny model
could be built from the config's defaults. Takes ten minutes; give model types to try only those.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

import torch
from tiny_members import tiny_config
from transformers import CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING

from llm_export.errors import LlmExportError
from llm_export.models.hf.config import build_model, quietly
from llm_export.models.hf.model import HFModel
from llm_export.models.hf.prepare import prepare
from llm_export.models.hf.weights import random_model

BAR, CONTEXT, LARGEST = 1e-4, 48, 30_000_000
CHUNKS = ([30], [7, 12, *[1] * 11])
def verdict(model_type: str) -> str:
    try:
        config = tiny_config(model_type)
        with torch.device("meta"):
            size = sum(p.numel() for p in build_model(config).parameters())
        if size > LARGEST:
            return f"no tiny member: {size} parameters"
        hf, _ = random_model(config, 0)
        ids = torch.randint(3, 300, (1, 30), generator=torch.Generator().manual_seed(1))
        with torch.no_grad(), quietly():
            expected = hf.eval()(ids, use_cache=False).logits
    except LlmExportError as error:
        # The library may refuse the sizes; whether it builds real ones is another question.
        guessed = error.what.startswith("transformers cannot build")
        return f"{'no tiny member' if guessed else 'refused'}: {error.what}"
    except Exception as error:  # the library checks configs in its own ways
        return f"no tiny member: {type(error).__name__}"
    try:
        prepare(hf)
        model = HFModel(hf, CONTEXT, "plain", all_logits=True)
    except LlmExportError as error:
        return f"refused: {error.what}"
    errors = [_error(model, ids, lengths, expected) for lengths in CHUNKS]
    word = "agrees" if max(errors) < BAR else "differs"
    kind = ", recurrent" if model.recurrent else ""
    return f"{word} ({', '.join(f'{e:.0e}' for e in errors)}{kind})"


def _error(model: Any, ids: torch.Tensor, lengths: list[int], expected: torch.Tensor) -> float:
    rows, start = [], 0
    with torch.no_grad():
        for length in lengths:
            rows.append(model(ids[:, start : start + length], torch.tensor([start])))
            start += length
    return float((torch.cat(rows, 1) - expected).abs().max() / expected.abs().max())


def main() -> None:
    warnings.filterwarnings("ignore")
    known = sorted(k for k, v in CONFIG_MAPPING.items() if v in MODEL_FOR_CAUSAL_LM_MAPPING)
    for model_type in sys.argv[1:] or known:
        print(f"{model_type:28} {verdict(model_type)}".replace("\n", " "), flush=True)


if __name__ == "__main__":
    main()
