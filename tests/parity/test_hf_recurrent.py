"""Models with recurrent states in the generic tier against transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hf_recurrent import RECURRENT
from parity.test_hf import (
    CONTEXT,
    IDS,
    check_eager,
    check_program,
    in_chunks,
    logits_of,
    recipe_for,
    saved,
)
from parity.test_ladder import context
from parity_tools import BAR, relative_error
from stage_tools import exported_of

from llm_export.checks.rules import find_problems
from llm_export.models.cache_metadata import Rewind
from llm_export.models.load_model import load_model
from llm_export.models.mixer_config import BLOCK_STEP
from llm_export.resolve.recipe import resolve
from llm_export.stages.lower import lower
from runtime_py.program import Program

FIRST = ("lfm2", "qwen3_5_text", "granitemoehybrid", "falcon_h1", "mamba2", "nemotron_h")
KINDS: dict[str, dict[str, Any]] = {
    "qwen3_5_text": {"num_hidden_layers": 1, "layer_types": ["linear_attention"]},
    "mamba2": {"num_hidden_layers": 1},
}
CHUNKS = ([1, 7, 30, 1, 1], [40], [3, 3, 34])


@pytest.mark.parametrize(
    "family",
    [*FIRST, *(pytest.param(f, marks=pytest.mark.slow) for f in RECURRENT if f not in FIRST)],
)
def test_uneven_chunks_agree_with_transformers(family: str, tmp_path: Path) -> None:
    """One model, so that each text begins while the states hold the last one."""
    reference, folder = saved(tmp_path, family)
    check_eager(reference, folder)
    expected, recipe = logits_of(reference), recipe_for(folder)
    model = load_model(recipe, attention="plain", context_length=CONTEXT, all_logits=True).model
    for lengths in CHUNKS:
        assert relative_error(in_chunks(model, lengths), expected) < BAR, lengths
    assert model.cache_metadata().rewind == Rewind(until=0, tokens=0)


def test_generation_agrees_with_transformers(tmp_path: Path) -> None:
    reference, folder = saved(tmp_path, "qwen3_5_text")
    prompt = torch.tensor([IDS[:9]])
    theirs = reference.generate(prompt, max_new_tokens=12, do_sample=False, eos_token_id=None)
    model = load_model(
        recipe_for(folder), attention="plain", context_length=CONTEXT, all_logits=False
    ).model
    made = [int(model(prompt, torch.tensor([0]))[0, -1].argmax())]
    for position in range(9, 20):
        step = model(torch.tensor([made[-1:]]), torch.tensor([position]))
        made.append(int(step[0, -1].argmax()))
    assert made == theirs[0, 9:].tolist()
    # A step is one block of products, which pays up to a length.
    lengths = ("runtime.prefill_length=null", "runtime.context_length=512")
    assert resolve(recipe_for(folder, *lengths)).methods.lengths == {"forward": BLOCK_STEP}


# A delta rule and a state space, of one layer; the convolution of lfm2 is in the bundle of
# ``recurrent_bundle``, and the others have the same recurrences.
@pytest.mark.parametrize(
    "family",
    [pytest.param(f, marks=pytest.mark.slow if f in KINDS else pytest.mark.release) for f in FIRST],
)
def test_the_program_agrees_with_transformers(family: str, tmp_path: Path) -> None:
    check_program(*saved(tmp_path, family, **KINDS.get(family, {})), tmp_path, "portable")


@pytest.mark.release
@pytest.mark.parametrize("family", RECURRENT)
def test_the_delegated_program_agrees_with_transformers(family: str, tmp_path: Path) -> None:
    check_program(*saved(tmp_path, family), tmp_path, "xnnpack")


@pytest.mark.slow
def test_a_program_of_one_token_per_step(tmp_path: Path) -> None:
    """Its texts begin with empty states, whatever was before."""
    reference, folder = saved(tmp_path, "mamba2", num_hidden_layers=1)
    recipe = recipe_for(
        folder, "backend=portable", "runtime.logits=all", "runtime.dynamic_shapes=false",
        "runtime.prefill_length=1",
    )  # fmt: skip
    resolved, ctx = resolve(recipe), context(tmp_path)
    with torch.no_grad():
        lowered = lower(exported_of(recipe, ctx), resolved, ctx)
    program = Program(
        lowered.program_file, context_length=CONTEXT, steps=resolved.methods.lengths,
        dynamic=False, rewind={"until": 0, "tokens": 0}, recurrent=True,
    )  # fmt: skip
    for length in (9, 12):
        assert program.reset(4) == (4 if program.position == 4 else 0)
        rows = [program.step([i])[0].clone() for i in IDS[:length]]
        assert relative_error(torch.cat(rows), logits_of(reference)[:length]) < BAR


def test_fixed_shapes_take_short_chunks_that_are_never_padded(tmp_path: Path) -> None:
    _, folder = saved(tmp_path, "lfm2")
    fixed = ("backend=portable", "runtime.dynamic_shapes=false")
    open_length = recipe_for(folder, *fixed, "runtime.prefill_length=null")
    assert resolve(open_length).methods.lengths == {"forward": 1, "prefill": 16}
    assert find_problems(recipe_for(folder, *fixed, "runtime.prefill_length=8")) == []


def test_a_weight_that_the_code_multiplies_by_itself_is_not_quantized(tmp_path: Path) -> None:
    """Mamba's projection of the time step is never called."""
    _, folder = saved(tmp_path, "mamba")
    model = load_model(
        recipe_for(folder), attention="plain", context_length=CONTEXT, all_logits=True
    ).model
    linears = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear)]
    assert not [n for n in linears if n.endswith("dt_proj")]
    assert len([n for n in linears if n.endswith(("in_proj", "x_proj", "out_proj"))]) == 6
    assert "hf.backbone.layers.0.mixer.dt_proj.weight" in dict(model.named_parameters())
