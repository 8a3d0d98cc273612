"""Programs whose state comes back: each kind of cache, states outside, another process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from quick_run import INT8_CACHE

from llm_export import api
from llm_export.errors import VerificationError
from runtime_py import LLM, BundleRuntimeError, program_state

pytestmark = pytest.mark.slow

KINDS = {
    "two methods": ("backend=xnnpack", "runtime.dynamic_shapes=false", "runtime.prefill_length=8"),
    "outside": ("backend=xnnpack", "runtime=npu", "runtime.prefill_length=8"),
    "int8": INT8_CACHE,
    "sinks": ("backend=portable", "runtime.kv_cache=attention_sink", "runtime.context_length=48",
              "verify.window=40"),
}  # fmt: skip


@pytest.mark.parametrize(
    "kind",
    [pytest.param(k, marks=pytest.mark.release if k == "two methods" else ()) for k in KINDS],
)
def test_every_kind_of_cache(export: Callable[..., Path], tmp_path: Path, kind: str) -> None:
    bundle = export(*KINDS[kind])
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert manifest["proof"]["comparisons"]["restored"]["mean_kl"] < 1e-9
    assert ("state" in manifest["program"]) is (kind != "outside")
    prompt = [5 + i % 200 for i in range(60 if kind == "sinks" else 30)]
    with LLM.load(bundle) as llm:
        llm.generate(prompt, max_new_tokens=1)
        snapshot = llm.snapshot()
        snapshot.save(tmp_path / "s")
        expected = llm.generate([*prompt, 7, 8], max_new_tokens=8).tokens
        llm.generate(prompt[::-1], max_new_tokens=8)
        llm.restore(snapshot)
        made = llm.generate([*prompt, 7, 8], max_new_tokens=8)
        assert (made.tokens, made.stats.cached_tokens) == (expected, len(prompt))
    code = (
        "import sys\nfrom runtime_py import LLM, Snapshot\nllm = LLM.load(sys.argv[1])\n"
        "llm.restore(Snapshot.load(sys.argv[2]))\n"
        f"print(llm.generate([*{prompt}, 7, 8], max_new_tokens=8).tokens)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(bundle), str(tmp_path / "s")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout) == expected


def test_a_state_that_does_not_come_back_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = ["model=tiny", "backend=portable", "benchmark=off", "verify.positions=50",
            "runtime.context_length=128", "model.config.num_hidden_layers=1"]  # fmt: skip
    skipped = api.run(None, [*keys, "runtime.snapshots=skip", "verify=off"], out=tmp_path / "n",
                      quiet=True, cache=False)  # fmt: skip
    with skipped.load() as llm, pytest.raises(BundleRuntimeError, match="does not give out"):
        llm.snapshot()
    monkeypatch.setattr(program_state.ProgramState, "put", lambda *args: None)
    with pytest.raises(VerificationError, match="after its state was restored"):
        api.run(None, keys, out=tmp_path / "bad", quiet=True, cache=False)
