"""Cards of the shipped recipes: what is expected of each, and what was measured of some.

python benchmarks/recipe_cards.py                       the pages anew, from recipes and figures
python benchmarks/recipe_cards.py --measure NAME ...    run recipes as they are, keep the figures

The figures are kept beside this file, in recipe_evidence.json; those without a source, which is
another page of docs/, come from bundles. Made are recipes/README.md, docs/recipes.md, and the line
of each measured recipe on its measurement.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from llm_export import api
from llm_export.config.compose import Composer

REPO = Path(__file__).resolve().parent.parent
RECIPES = REPO / "recipes"
EVIDENCE = Path(__file__).with_name("recipe_evidence.json")
PAGES = (RECIPES / "README.md", REPO / "docs" / "recipes.md")
TRIED = Path(__file__).with_name("backend_matrix.json")
IDLE = 0.5
"""Load of a machine on which speeds are worth telling."""
MARK = "# Measured: "
Evidence = dict[str, dict[str, Any]]


def names() -> list[str]:
    return Composer().options("")


def measure(name: str) -> dict[str, Any]:
    """A whole run of the recipe as it is, nothing reused, and what its bundle says."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "bundle"
        command = [sys.executable, "-m", "llm_export", "run", name, "--no-cache", f"out={out}"]
        subprocess.run(command, check=True, cwd=folder)
        return {"source": None, **facts_of(out), "other_load": round(load, 1)}


def facts_of(bundle: Path) -> dict[str, Any]:
    """What a bundle says of its size, proof and speed, and where that was measured."""
    manifest, record = _read(bundle / "manifest.json"), _read(bundle / "run.json")
    proof, machine = manifest["proof"], record["machine"]
    quality = proof["comparisons"]["quality"]
    speed = _read(bundle / "benchmark.json") if (bundle / "benchmark.json").is_file() else None
    return {
        "measured": record["started"][:10],
        "executorch": manifest["requires"]["executorch"],
        "machine": f"{machine['cpu']}, {machine['system']}",
        "bytes": (bundle / "model.pte").stat().st_size,
        "ran": proof["verified"],
        "positions": quality["positions"],
        **{k: quality[k] for k in ("mean_kl", "top1_agreement", "perplexity")},
        "reference_perplexity": quality["reference_perplexity"],
        "seconds": round(sum(stage["seconds"] for stage in record["stages"])),
        "speed": speed and {
            "decode": round(speed["decode_tokens_per_second"]["median"], 1),
            "prefill": round(speed["prefill_tokens_per_second"]["median"], 1),
            "memory": speed["peak_memory_bytes"],
            **{k: speed["settings"][k] for k in ("threads", "prompt_length", "decode_length")},
        },
    }  # fmt: skip


def _read(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8"))


# -- pages ---------------------------------------------------------------------------------


HEAD = """\
<!-- Made by `python benchmarks/recipe_cards.py`. -->

# Shipped recipes

`llm-export run NAME` makes a bundle of any of these; names are MODEL_BACKEND_QUANT. Each is a short
file of choices, so another choice is one word: `llm-export run llama3_2_1b_xnnpack_8da4w
quant=8da4w_asym`. Every combination of model family, backend and quant option here is exported by
the tests, with a small model of the family and random weights; nothing below is from those.
"""
MEASURED = """
## Measured

Whole runs of the recipes as they are, or where it is said figures of another page. MB are 10^6
bytes. KL divergence is in nats and, with top-1 agreement and perplexity, against the float32 eager
model; speeds are of a prompt of {prompt} tokens and {decode} decoded. Where the program cannot run
on the machine of the measurement, the quality is the exported model's, the graph that was lowered
was compared with it, and there is no speed. Nor is there where more than {idle} other processes
were busy on the machine on average when the run began (*other load*).

| recipe | size | mean KL | top-1 | perplexity (float32) | decode tok/s | prefill tok/s | memory |\
 where |
|---|---|---|---|---|---|---|---|---|
"""
EXPECTED = """
## Expected, not measured

From shapes alone, as `llm-export validate NAME` says it: the size of the program, and what an
export with its proof costs in memory and processor time on the machine that the
[prediction]({docs}guide.md#what-an-export-will-cost) was fitted on. No quality or speed is claimed;
the run measures both. Backends marked † are not run on Linux x86-64: there the graph that was
lowered is compared, and the program is still to be tried on its device.

| recipe | model | backend | quant | size (expected) | memory (expected) | time (expected) |
|---|---|---|---|---|---|---|
"""


def page(evidence: Evidence, docs: str, head: str = "") -> str:
    """The whole page.

    Args:
        docs: the folder of docs/guide.md from there.
        head: what stands before all else.
    """
    settings = next(row["speed"] for row in evidence.values() if row["speed"])
    measured = MEASURED.format(
        prompt=settings["prompt_length"], decode=settings["decode_length"], idle=IDLE
    )
    shown = [name for name in names() if name in evidence]
    places = list(dict.fromkeys(_circumstances(evidence[name], docs) for name in shown))
    rows = []
    for name in shown:
        number = places.index(_circumstances(evidence[name], docs)) + 1
        rows.append(_measured(name, evidence[name], number))
    notes = [f"{number}. {place}.\n" for number, place in enumerate(places, 1)]
    others = [_expected(name) for name in names() if name not in evidence]
    expected = EXPECTED.format(docs=docs)
    return "".join(
        [head, HEAD, measured, *rows, "\nWhere and when:\n\n", *notes, expected, *others]
    )


def amount(count: int) -> str:
    return f"{count / 1e6:,.0f} MB"


def _measured(name: str, row: dict[str, Any], place: int) -> str:
    speed = _worth_telling(row)
    memory = (row["speed"] or {}).get("memory")
    cells = [
        f"`{name}`",
        amount(row["bytes"]),
        f"{row['mean_kl']:.2g}",
        f"{row['top1_agreement']:.3f}",
        f"{row['perplexity']:.2f} ({row['reference_perplexity']:.2f})",
        *(f"{speed[key]:.0f}" if speed else "–" for key in ("decode", "prefill")),
        amount(memory) if memory else "–",
        str(place),
    ]
    return f"| {' | '.join(cells)} |\n"


def _worth_telling(row: dict[str, Any]) -> dict[str, Any]:
    busy = row["other_load"] is not None and row["other_load"] > IDLE
    return {} if busy else row["speed"] or {}


def _circumstances(row: dict[str, Any], docs: str) -> str:
    """Where and when a row was measured, and how much else the machine had to do."""
    parts = [row["machine"], f"{row['positions']:,} positions of text"]
    if row["speed"]:
        parts.append(f"{row['speed']['threads']} threads")
    else:
        parts.append("not run on its target")
    if row["other_load"] is not None:
        parts.append(f"other load {row['other_load']}")
    parts.append(row["measured"])
    if row["source"] is not None:
        parts.append(f"from [{row['source']}]({docs}{row['source']})")
    return ", ".join(parts)


@cache
def _expected(name: str) -> str:
    composed = api.compose_recipe(name)
    cost = api.predict_cost(composed.recipe)
    assert cost is not None, "shipped recipes are of the fast tier"
    backend = composed.recipe.backend.name
    ran = any(
        row["ran"] for pair, row in _read(TRIED)["rows"].items() if pair.split()[0] == backend
    )
    words = cost.summary().removeprefix("expects about ").split(", ")
    return (
        f"| `{name}` | {composed.recipe.model.name} | {backend}{'' if ran else '†'} "
        f"| {composed.recipe.quant.name} | {amount(cost.program)} | {amount(cost.memory)} "
        f"| {words[0]} |\n"
    )


def with_line(text: str, row: dict[str, Any] | None) -> str:
    """A recipe's text with its line on what was measured, after the one with its command."""
    lines = [line for line in text.splitlines(keepends=True) if not line.startswith(MARK)]
    return "".join([lines[0], *([_line(row)] if row else []), *lines[1:]])


def _line(row: dict[str, Any]) -> str:
    speed = _worth_telling(row)
    said = f", decodes {speed['decode']:.0f} tokens/s" if speed else ""
    ran = "" if row["ran"] else ", not run on its target"
    return (
        f"{MARK}{amount(row['bytes'])}, mean KL to float32 {row['mean_kl']:.2g}{said}{ran} "
        f"({row['machine']}, {row['measured']})\n"
    )


def made(evidence: Evidence) -> dict[Path, str]:
    """File -> what it has to hold."""
    readme, site = PAGES
    files = {
        readme: page(evidence, "../docs/"),
        site: page(evidence, "", "---\nhide: [toc]\n---\n"),
    }
    for name in names():
        file = RECIPES / f"{name}.yaml"
        files[file] = with_line(file.read_text(encoding="utf-8"), evidence.get(name))
    return files


def _write(file: Path, text: str) -> None:
    if not file.is_file() or file.read_text(encoding="utf-8") != text:
        part = file.with_name(file.name + ".part")
        part.write_text(text, encoding="utf-8")
        part.replace(file)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--measure", nargs="+", choices=names(), metavar="NAME", default=[])
    given = parser.parse_args()
    evidence: Evidence = _read(EVIDENCE) if EVIDENCE.is_file() else {}
    for name in given.measure:
        evidence[name] = measure(name)
        kept = dict(sorted(evidence.items()))
        _write(EVIDENCE, json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    for file, text in made(evidence).items():
        _write(file, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
