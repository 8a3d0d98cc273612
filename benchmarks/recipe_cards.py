"""Tables of the shipped recipes: expected figures of each, and measured figures of some.

python benchmarks/recipe_cards.py                       regenerate the pages from stored figures
python benchmarks/recipe_cards.py --measure NAME ...    run unchanged recipes, store their figures

Figures are stored in the package's data, in recipe_evidence.json. Figures with a ``source`` come
from that page of docs/, the others from bundles. Writes recipes/README.md, docs/recipes.md, and a
comment with the measurement into each measured recipe.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from llm_export import api
from llm_export.config.compose import Composer
from llm_export.predict.cost import predict
from llm_export.resolve.recipe import resolve

REPO = Path(__file__).resolve().parent.parent
RECIPES = REPO / "recipes"
EVIDENCE = REPO / "llm_export" / "data" / "recipe_evidence.json"
PAGES = (RECIPES / "README.md", REPO / "docs" / "recipes.md")
TRIED = Path(__file__).with_name("backend_matrix.json")
IDLE = 0.5
"""Most CPUs that others may have kept busy where speeds are published."""
MARK = "# Measured: "
Evidence = dict[str, dict[str, Any]]


def names() -> list[str]:
    return Composer().options("")


def measure(name: str) -> dict[str, Any]:
    """Run the unchanged recipe without the stage cache and return the figures of its bundle."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "bundle"
        command = [sys.executable, "-m", "llm_export", "run", name, "--no-cache", f"out={out}"]
        subprocess.run(command, check=True, cwd=folder)
        return {"source": None, **facts_of(out), "other_load": other_load(out)}


def other_load(bundle: Path) -> float | None:
    """CPUs that other processes kept busy while its speeds were measured; None: not measured."""
    file = bundle / "benchmark.json"
    found = _read(file).get("conditions") if file.is_file() else None
    return round(found["other_cpus"], 1) if found else None


def facts_of(bundle: Path) -> dict[str, Any]:
    """Size, parity and speed of a bundle, and the machine that measured them."""
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

Export any of these with `llm-export run NAME`. Names are MODEL_BACKEND_QUANT. Override any choice
on the command line: `llm-export run llama3_2_1b_xnnpack_8da4w quant=8da4w_asym`. The tests export
every combination of model family, backend and quant option below, with a small model of the family
and random weights; no figure on this page comes from those.
"""
MEASURED = """
## Measured

Figures are from complete runs of the unchanged recipes, or from the page named below the table. MB
are 10^6 bytes. KL divergence (in nats), top-1 agreement and perplexity compare with the float32
eager model. Speeds are for a prompt of {prompt} tokens and {decode} decoded tokens. Where the
program cannot run on the measuring machine, the quality is that of the exported model, the lowered
graph was compared with it, and there is no speed. Speeds are also omitted if other processes kept
more than {idle} CPUs busy meanwhile (*other load*).

| recipe | size | mean KL | top-1 | perplexity (float32) | decode tok/s | prefill tok/s | memory |\
 where |
|---|---|---|---|---|---|---|---|---|
"""
EXPECTED = """
## Expected, not measured

Estimates from the model's shapes, as printed by `llm-export validate NAME`: the size of the
program, and the memory and CPU time of an export with verification on the machine that the
[estimate]({docs}guide.md#what-an-export-will-cost) was fitted on. Quality and speed are not
estimated; the run measures both. Programs for backends marked † do not run on Linux x86-64: there
the lowered graph is compared, and the program is untested on its device.

| recipe | model | backend | quant | size (expected) | memory (expected) | time (expected) |
|---|---|---|---|---|---|---|
"""


def page(evidence: Evidence, docs: str, head: str = "") -> str:
    """The whole page.

    Args:
        docs: path prefix from the page to docs/.
        head: text before the heading.
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
    """Where and when a row was measured, and the other load of the machine."""
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
    backend = composed.recipe.backend.name
    ran = any(
        row["ran"] for pair, row in _read(TRIED)["rows"].items() if pair.split()[0] == backend
    )
    cost = predict(resolve(composed.recipe), runs_here=ran)
    if cost is None:  # of a task whose cost is not estimated
        return (
            f"| `{name}` | {composed.recipe.model.name} | {backend}{'' if ran else '†'} "
            f"| {composed.recipe.quant.name} | – | – | – |\n"
        )
    words = cost.summary().removeprefix("expects about ").replace(" of CPU time", "").split(", ")
    return (
        f"| `{name}` | {composed.recipe.model.name} | {backend}{'' if ran else '†'} "
        f"| {composed.recipe.quant.name} | {amount(cost.program)} | {amount(cost.memory)} "
        f"| {words[0]} |\n"
    )


def with_line(text: str, row: dict[str, Any] | None) -> str:
    """A recipe's text with the comment on its measurement, after the comment with its command."""
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
    """Generated file -> its text."""
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
