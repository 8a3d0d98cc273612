"""How much of a layer XNNPACK takes at once, and that what it takes is right."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import hf_models
import torch
from family_models import settings
from parity_tools import BAR, relative_error, sample_ids
from program_tools import ends, fed, lowered_program


def test_a_layer_is_three_delegates(tmp_path: Path) -> None:
    model = hf_models.build("llama", **settings("llama", "grouped"))
    folder, ids = hf_models.save(model, tmp_path / "m"), sample_ids(20)
    program, ctx = lowered_program(
        folder, tmp_path, "backend=xnnpack", "runtime.context_length=64",
        "runtime.prefill_length=16", "verify=off", "benchmark=off",
    )  # fmt: skip
    found = ctx.record.facts["delegation"]
    layers = model.config.num_hidden_layers
    assert found["subgraphs"] <= 3 * layers + 2, "and one for the head, one for RoPE's tables"
    assert found["outside"]["llama.sdpa_with_kv_cache"] == layers
    assert not {"aten.mean", "aten.cat", "llama.update_cache"} & set(found["outside"])
    with torch.no_grad():
        expected = model(torch.tensor([ids])).logits[0]
    assert relative_error(fed(program, ids, [7]), expected[ends(20, [7])]) < BAR


def test_blas_has_one_thread_where_the_runtime_comes_first() -> None:
    def threads(first: str, **setting: str) -> str:
        code = f"import os, {first}, runtime_py; print(os.environ.get('MKL_NUM_THREADS'))"
        clean = {k: v for k, v in os.environ.items() if k != "MKL_NUM_THREADS"}
        command = [sys.executable, "-c", code]
        done = subprocess.run(
            command, capture_output=True, text=True, env={**clean, **setting}, check=True
        )
        return done.stdout.strip()

    assert threads("json") == "1"
    assert threads("json", MKL_NUM_THREADS="3") == "3"
    assert threads("torch") == "None", "it would be read too late, and by others"
