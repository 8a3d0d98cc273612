"""Compare the generic tier with transformers for a tiny random member of every causal model type.

Prints one line for each type: agrees or differs, with the largest relative error of the logits for
one chunk, for uneven chunks through the cache and, where layers have a window, for rings; refused,
with the reason; or that no tiny model could be built. Takes two minutes on an idle core. Without
arguments it writes the table in ``docs/generic-models.md``; give model types to try only those.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from tiny_members import tiny_config
from transformers import CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING
from verdict_tables import tell

from llm_export.errors import LlmExportError
from llm_export.models.hf.config import build_model, quietly
from llm_export.models.hf.model import HFModel
from llm_export.models.hf.prepare import prepare
from llm_export.models.hf.weights import random_model

BAR, CONTEXT, LARGEST, STEP = 1e-4, 48, 40_000_000, 7
CHUNKS = ([30], [7, 12, *[1] * 11])
RING_CHUNKS = [STEP, 5, STEP, *[1] * 11]


class Verdict(NamedTuple):
    """Attributes:
    model_type: of the model that was built: that of its text model, for a composed type.
    errors: relative, of a whole text, of chunks, and of rings where there are any.
    """

    word: str
    reason: str = ""
    model_type: str = ""
    errors: tuple[float, ...] = ()
    recurrent: bool = False


def verdict(model_type: str) -> Verdict:
    try:
        config = tiny_config(model_type)
        with torch.device("meta"):
            size = sum(p.numel() for p in build_model(config).parameters())
        if size > LARGEST:
            return Verdict("no tiny member", f"{size / 1e6:.0f} million parameters")
        hf, _ = random_model(config, 0)
        ids = torch.randint(3, 300, (1, 30), generator=torch.Generator().manual_seed(1))
        with torch.no_grad(), quietly():
            expected = hf.eval()(ids, use_cache=False).logits
    except LlmExportError as error:
        # The library may refuse the sizes; whether it builds real ones is another question.
        guessed = error.what.startswith("transformers cannot build")
        return Verdict("no tiny member" if guessed else "refused", error.what)
    except Exception as error:  # the library checks configs in its own ways
        return Verdict("no tiny member", type(error).__name__)
    try:
        prepare(hf)
        model = HFModel(hf, CONTEXT, "plain", all_logits=True)
    except LlmExportError as error:
        return Verdict("refused", error.what)
    errors = [_error(model, ids, lengths, expected) for lengths in CHUNKS]
    model.set_attention("ring", step_length=STEP)
    if model.rings is not None:
        errors.append(_error(model, ids, RING_CHUNKS, expected))
    word = "agrees" if max(errors) < BAR else "differs"
    return Verdict(word, "", config.model_type, tuple(errors), model.recurrent)


def _error(model: Any, ids: torch.Tensor, lengths: list[int], expected: torch.Tensor) -> float:
    rows, start = [], 0
    with torch.no_grad():
        for length in lengths:
            rows.append(model(ids[:, start : start + length], torch.tensor([start])))
            start += length
    return float((torch.cat(rows, 1) - expected).abs().max() / expected.abs().max())


def row(model_type: str, found: Verdict) -> list[str]:
    notes = [f"{max(found.errors):.0e}"] if found.errors else [_short(found.reason)]
    notes += [f"as `{found.model_type}`"] if found.model_type not in ("", model_type) else []
    notes += ["recurrent"] if found.recurrent else []
    notes += ["ring"] if len(found.errors) > len(CHUNKS) else []
    return notes


def _short(reason: str) -> str:
    words = reason.replace("|", "/").replace("<", "").replace(">", "").split()
    whole = " ".join(words)
    return whole if len(whole) <= 120 else whole[:117].rsplit(" ", 1)[0] + " ..."


if __name__ == "__main__":
    tell(sorted(k for k, v in CONFIG_MAPPING.items() if v in MODEL_FOR_CAUSAL_LM_MAPPING),
         verdict, row, "table")  # fmt: skip
