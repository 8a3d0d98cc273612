"""Size, quality and speed of quantization options of one model on every backend, beside rivals.

python benchmarks/quality_table.py                      print what --all would measure
python benchmarks/quality_table.py --all                measure all rows that this machine can
python benchmarks/quality_table.py --rows "xnnpack 8da8w" "MLX 4 bit, groups of 64"
                                                        measure some rows
python benchmarks/quality_table.py --rows               only render the page from what is kept
python benchmarks/quality_table.py --rows --speed       the speed of the bundles, in turns

Each program is exported and compared with the float32 model on 4,000 positions of the verification
text; a rival's weights come from its own tool. Rows are kept in benchmarks/quality.json, one by one
as they are measured, from which docs/quality.md, its chart and the package's quant_evidence.json
are rendered. Bundles stay in --out and are not built anew without --rebuild, so the command can be
interrupted and repeated.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPO))

from benchmarks import kept, quality_page, speed_page  # noqa: E402
from benchmarks.quality_rivals import RIVALS, measure  # noqa: E402
from benchmarks.quality_rows import POSITIONS, VARIANTS, build, row_of  # noqa: E402

OPTIONS_IN_TURNS = ("xnnpack 8da4w", "xnnpack 8da4w_asym", "xnnpack 8da4w_asym_split",
                    "xnnpack 8da4w_asym_small", "xnnpack 8da8w", "xnnpack 8da8w, 8-bit KV cache",
                    "xnnpack none")  # fmt: skip
"""Whose speeds are compared; ratios are to the first."""


def folder(out: Path, name: str) -> Path:
    return out / name.replace(", ", "_").replace(" ", "_")


def measure_row(name: str, out: Path, rebuild: bool, positions: int) -> str | None:
    """Measure it and keep it; why not, if that is impossible here."""
    rival = RIVALS.get(name)
    if reason := (rival or VARIANTS[name]).obstacle():
        return reason
    print(f"measuring {name}", file=sys.stderr, flush=True)
    if rival is not None:
        keep("rivals", measure(rival, positions), list(RIVALS))
        return None
    variant, bundle = VARIANTS[name], folder(out, name)
    try:
        build(variant, bundle, rebuild, positions)
    except subprocess.CalledProcessError as error:
        return f"the run failed: {shlex.join(error.cmd[1:])}"
    keep("rows", row_of(variant, bundle), list(VARIANTS))
    return None


def plan(out: Path) -> str:
    """What ``--all`` would do on this machine."""
    lines = ["--all measures these rows, which takes about 80 minutes on two idle cores:"]
    for name in (*VARIANTS, *RIVALS):
        obstacle = (RIVALS.get(name) or VARIANTS[name]).obstacle()
        built = name in VARIANTS and (folder(out, name) / "manifest.json").is_file()
        said = f"not here: {obstacle}" if obstacle else "of the bundle in --out" if built else ""
        lines.append(f"  {name:<34} {said}".rstrip())
    return "\n".join([*lines, "--rows NAME ... measures some, --rows alone only renders"])


def measure_speed(out: Path, rounds: int, count: int) -> None:
    """Speed of the bundles that are there, in turns; a row of ``speeds`` instead of the last."""
    from llm_export import api
    from runtime_py.benchmark.arguments import end_progress, show_progress

    there = [name for name in OPTIONS_IN_TURNS if (folder(out, name) / "manifest.json").is_file()]
    if not there:
        raise SystemExit(f"no bundles in {out}: measure rows first")
    artifacts = [f"{VARIANTS[n].label.replace(':', '')}:bundle={folder(out, n)}" for n in there]
    try:
        found = api.compare_speed(artifacts, prompt_length=512, decode_length=count, depth=0,
                                  rounds=rounds, progress=show_progress)  # fmt: skip
    finally:
        end_progress()
    said = kept.provenance("python benchmarks/quality_table.py --rows --speed", "executorch")
    name, model = "XNNPACK, zero points", f"{kept.read(quality_page.DATA)['model']} on XNNPACK"
    keep("speeds", speed_page.record(name, found, said, model), [name])


def keep(part: str, row: kept.Row, order: list[str]) -> None:
    """Write the row beside those that are kept by now, and all that is rendered from them."""
    data = kept.read(quality_page.DATA)
    data[part] = kept.replaced(data[part], row, order)
    kept.write(quality_page.DATA, kept.as_json(data))
    render(data)


def render(data: quality_page.Data) -> None:
    for file, text in quality_page.made(data).items():
        kept.write(file, text)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=REPO / "outputs" / "quality")
    names = [*VARIANTS, *RIVALS]
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--all", action="store_const", const=names, dest="rows",
                       help="measure all rows that this machine can")  # fmt: skip
    which.add_argument("--rows", nargs="*", choices=names, metavar="NAME",
                       help=f"of {', '.join(map(repr, names))}; none: only render")  # fmt: skip
    parser.add_argument("--positions", type=int, default=POSITIONS, help="of text, at least")
    parser.add_argument("--rebuild", action="store_true", help="export again what is in --out")
    parser.add_argument("--speed", action="store_true", help="measure the speed of the bundles")
    parser.add_argument("--rounds", type=int, default=5, help="of --speed")
    parser.add_argument("--count", type=int, default=64, help="tokens that --speed decodes")
    given = parser.parse_args()
    out, failed = given.out.resolve(), []
    if given.rows is None and not given.speed:
        print(plan(out))
        return 2
    render(kept.read(quality_page.DATA))
    for name in given.rows or ():
        if reason := measure_row(name, out, given.rebuild, given.positions):
            failed.append(f"{name} is not measured, and keeps its row: {reason}")
    if given.speed:
        measure_speed(out, given.rounds, given.count)
    for line in failed:
        print(line, file=sys.stderr)
    return 1 if any("the run failed" in line for line in failed) else 0


if __name__ == "__main__":
    sys.exit(main())
