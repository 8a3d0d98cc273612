"""The programs of the quality table: how each is exported, and what is read of its bundle."""

from __future__ import annotations

import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.kept import REPO, Row, provenance, read
from llm_export.backends import BACKENDS

RECIPE = "smollm2_135m_xnnpack_8da8w"
POSITIONS = 4000


@dataclass(frozen=True)
class Variant:
    """A program that is measured.

    Attributes:
        label: of its row.
        words: overrides of the recipe besides the backend.
    """

    backend: str
    label: str
    words: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.backend} {self.label}"

    @property
    def option(self) -> str | None:
        """The quant option, if it is measured as it is shipped."""
        return self.label if self.words == (f"quant={self.label}",) else None

    def command(self, out: Path, positions: int = POSITIONS) -> list[str]:
        return ["llm-export", "run", RECIPE, f"backend={self.backend}", *self.words,
                f"verify.positions={positions}", "benchmark=off", f"out={out}"]  # fmt: skip

    def obstacle(self) -> str | None:
        """Why this machine cannot lower it; None if it can."""
        state = BACKENDS.get(self.backend).availability()
        return None if state.ok else f"{state.reason}: {state.fix}"


def _shipped(backend: str, *options: str) -> list[Variant]:
    return [Variant(backend, option, (f"quant={option}",)) for option in options]


VARIANTS = {
    variant.name: variant
    for variant in (
        *_shipped("xnnpack", "none", "8da8w", "8da8w_rotated"),
        Variant("xnnpack", "8da8w, 8-bit KV cache", ("quant=8da8w", "quant.kv_cache=int8")),
        *_shipped("xnnpack", "8da4w_asym", "8da4w_asym_split", "8da4w_asym_small",
                  "8da4w"),
        Variant("xnnpack", "8da4w, min-max",
                ("quant=8da4w", "quant.rounding.method=minmax", "verify.quality.max_mean_kl=2")),
        *_shipped("openvino", "8w", "4w"),
        *_shipped("coreml", "8w", "4w"),
        *_shipped("mlx", "8w", "4w"),
        *_shipped("vulkan", "8da4w", "4w"),
    )
}  # fmt: skip


def build(variant: Variant, out: Path, rebuild: bool, positions: int) -> None:
    """Export it, unless its bundle exists.

    Raises:
        subprocess.CalledProcessError: the run failed.
    """
    if rebuild or not (out / "run.json").is_file() or not (out / "manifest.json").is_file():
        words = variant.command(out, positions)
        print(shlex.join(words), flush=True)
        subprocess.run([sys.executable, "-m", "llm_export", *words[1:]], check=True, cwd=REPO)


def row_of(variant: Variant, out: Path) -> Row:
    """Its row, of the evidence of a bundle. The commit of one of another day is not known."""
    record, proof = read(out / "run.json"), read(out / "manifest.json")["proof"]
    stages = {stage["name"]: stage for stage in record["stages"]}
    facts = {name: stage["facts"] for name, stage in stages.items()}
    compared = proof["comparisons"]["quality"]
    choices = facts["quantize"]["quantization"]
    weights = sum(c["shape"][0] * c["shape"][1] for c in choices if not c.get("shared_with"))
    interval = (compared.get("intervals") or {}).get("mean_kl")
    said = provenance(_told(variant, record), "executorch", "torch")
    return {
        "name": variant.name,
        "backend": variant.backend,
        "label": variant.label,
        "option": variant.option,
        "bytes": facts["lower"]["bytes"],
        "bits_per_weight": round(8 * sum(c["bytes"] for c in choices) / weights, 3),
        **{key: compared[key] for key in ("perplexity", "reference_perplexity", "mean_kl")},
        "mean_kl_interval": interval and [interval["low"], interval["high"]],
        "p99_kl": compared["p99_kl"],
        "top1": compared["top1_agreement"],
        "positions": compared["positions"],
        "compared": "program" if proof["verified"] else "lowered graph",
        "lowering_kl": proof["comparisons"]["lowering"]["mean_kl"],
        "lower_seconds": round(stages["lower"]["seconds"]),
        "note": None,
        **said,
        "measured": record["started"][:10],
        "commit": said["commit"] if said["measured"] == record["started"][:10] else None,
    }


def _told(variant: Variant, record: Row) -> str:
    """The command of a run, with the number of positions that it had."""
    return shlex.join(variant.command(Path("OUT"), record["recipe"]["verify"]["positions"]))
