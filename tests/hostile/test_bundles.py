"""No damage to a bundle ends the process, hangs it, or is told by any but the runtime's errors."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hostile.bundle_mutations import KINDS, Mutation, forge, mutations
from hostile.outcome_record import record

from llm_export import api

CHILD = Path(__file__).parent / "bundle_child.py"
SECONDS = 120
"""After which a bundle hangs."""


class Child:
    """A process of bundle_child, replaced when it dies."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def __call__(self, bundle: Path) -> dict[str, Any]:
        process = self._process or subprocess.Popen(
            [sys.executable, str(CHILD)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        self._process = process
        assert process.stdin is not None
        assert process.stdout is not None
        print(bundle, file=process.stdin, flush=True)
        if not select.select([process.stdout], [], [], SECONDS)[0]:
            self.close()
            return {"load": "hung", "said": "", "verify": ""}
        line = process.stdout.readline()
        if not line:
            self._process = None
            return {"load": "died", "said": f"with {process.wait()}", "verify": ""}
        return dict(json.loads(line))

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    made = Child()
    yield made
    made.close()


def tried(
    child: Child, bundle: Path, others: Path, folder: Path, chosen: list[Mutation]
) -> dict[str, str]:
    """Mutation -> what is wrong with how it ended."""
    wrong, counts = {}, {kind: {"tried": 0, "held": 0, "refused": 0} for kind in KINDS}
    for each in chosen:
        copy = Path(shutil.copytree(bundle, folder / "bundle"))
        done = each.apply(copy, others)
        found = child(copy)
        shutil.rmtree(copy)
        counts[each.kind]["tried"] += 1
        if found["load"] not in ("held", "refused"):
            wrong[f"{each}: {done}"] = str(found)
            continue
        counts[each.kind][found["load"]] += 1
        if found["load"] == "refused" and not found["verify"]:
            wrong[f"{each}: {done}"] = f"verify passes, load says: {found['said']}"
    record("bundle", counts)
    return wrong


def test_a_bundle_that_is_whole_holds(
    child: Child, portable_bundle: Path, quantized_bundle: Path
) -> None:
    for bundle in (portable_bundle, quantized_bundle):
        assert child(bundle) == {"load": "held", "said": "", "verify": ""}


def test_damage_is_refused(
    child: Child, portable_bundle: Path, quantized_bundle: Path, tmp_path: Path
) -> None:
    few = list(mutations(1, 2 * len(KINDS)))
    assert tried(child, quantized_bundle, portable_bundle, tmp_path, few) == {}


@pytest.mark.slow
def test_what_only_a_try_shows_fails_verify(
    child: Child, quantized_bundle: Path, tmp_path: Path
) -> None:
    """ExecuTorch ends the process for an operator's name that is no UTF-8."""
    bundle = Path(shutil.copytree(quantized_bundle, tmp_path / "bundle"))
    data = bytearray((bundle / "model.pte").read_bytes())
    data[data.index(b"aten::sym_size")] |= 0x80
    forge(bundle, "model.pte", bytes(data))
    assert child(bundle)["load"] == "died"
    last = api.verify(bundle)[-1]
    assert (last.what, last.good, last.found) == ("load", False, "ends the process with SIGABRT")


@pytest.mark.release
@pytest.mark.parametrize("part", range(4))
def test_a_thousand_kinds_of_damage_are_refused(
    child: Child, export: Callable[..., Path], part: int, tmp_path: Path
) -> None:
    bundles = [
        export("backend=xnnpack", "quant=8da8w"), export("backend=portable"),
        export("backend=portable", "runtime=static"), export("backend=xnnpack", "quant=8da8w"),
    ]  # fmt: skip
    others = export("backend=portable", "runtime.context_length=64", "runtime=npu")
    many = list(mutations(1000 * (part + 1), 250))
    for start in range(0, 250, 25):  # what was tried is counted, however far it comes
        some = many[start : start + 25]
        assert tried(child, bundles[part], others, tmp_path, some) == {}
