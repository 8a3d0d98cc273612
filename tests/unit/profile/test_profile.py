"""A step of a small bundle, divided among its modules."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import shutil
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from llm_export import api
from llm_export.cli.main import main
from llm_export.errors import BundleError, RecipeError
from llm_export.profile import measure, words
from llm_export.profile.kinds import KINDS, LINEAR
from llm_export.profile.methods import _inputs as method_inputs
from llm_export.profile.profile_bundle import profile_bundle
from llm_export.profile.profile_map import PROFILE_MAP, ProfileMap
from llm_export.profile.result import Profile
from llm_export.profile.tree import folded
from runtime_py.bundle import Bundle

LINEARS = ("attention.qkv.fused", "attention.out", "feed_forward.gate_up.fused",
           "feed_forward.down")  # fmt: skip
STEPS = [("decode", 0), ("decode", 1500), ("prefill", 0), ("prefill", 1500)]


@pytest.fixture(scope="module", autouse=True)
def few_steps() -> Iterator[None]:
    """Steps of the smallest model show what there is; nothing here depends on its speed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "_MOST", 12)
        patch.setattr("runtime_py.bandwidth._BYTES", 1 << 22)
        yield


@pytest.fixture(scope="module")
def found(quantized_bundle: Path) -> Callable[[str, int], Profile]:
    made: dict[tuple[str, int], Profile] = {}

    def of(phase: str, depth: int) -> Profile:
        if (phase, depth) not in made:
            made[phase, depth] = api.profile(quantized_bundle, phase=phase, depth=depth, threads=1)
        return made[phase, depth]

    return of


@pytest.mark.parametrize(("phase", "depth"), STEPS)
def test_the_parts_are_the_step(
    found: Callable[[str, int], Profile], phase: str, depth: int
) -> None:
    profile = found(phase, depth)
    total = sum(part.seconds for part in profile.parts)
    assert total == pytest.approx(profile.traced_seconds, rel=1e-6)
    assert profile.modules.seconds == pytest.approx(total)
    assert sum(share.seconds for share in profile.kinds) == pytest.approx(total)
    assert min(part.seconds for part in profile.parts) > -1e-4
    assert profile.unnamed_seconds == 0
    assert not profile.whole
    # Each linear of each layer is one operator, which reads its own weights.
    linears = {part.module: part for part in profile.parts if part.kind == LINEAR}
    layers = [f"layers.{layer}.{name}" for layer in range(2) for name in LINEARS]
    assert sorted(linears) == sorted([*layers, "head"])
    head = sum(p.bytes for p in profile.parts if p.module == "head")
    # Two products, one of outlier columns in float; its small vectors are inputs of the delegate.
    assert head == pytest.approx(profile.weights["head"], rel=0.02)
    assert all(linears[name].bytes == profile.weights[name] for name in layers)
    assert all("Fully Connected (NC, QD" in linears[name].event for name in layers)
    attention = {p.module for p in profile.parts if p.kind == "attention"}
    assert attention == {"layers.0.attention", "layers.1.attention"}
    modules = {module.path for _, module in profile.modules.walk()}
    assert {"embed", "norm", "layers.1.ffn_norm", "layers.0.attention_norm"} <= modules


def test_deeper_attention_takes_longer(found: Callable[[str, int], Profile]) -> None:
    """The tenfold of it is hidden by no other process."""
    times = [
        sum(p.seconds for p in found("decode", depth).parts if p.kind == "attention")
        for depth in (0, 1500)
    ]
    assert times[1] > 2 * times[0]


def test_the_json_follows_its_schema(found: Callable[[str, int], Profile]) -> None:
    text = resources.files("llm_export.profile").joinpath("profile.schema.json").read_text("utf-8")
    schema = json.loads(text)
    assert schema["$defs"]["kind"]["enum"] == list(KINDS)
    for phase, depth in (("decode", 0), ("prefill", 0)):
        body = json.loads(json.dumps(found(phase, depth).as_dict()))
        jsonschema.validate(body, schema)
        assert body["summary"].startswith(f"{phase}: ")
    rows = list(csv.DictReader(io.StringIO(words.csv_text(found("decode", 0)))))
    assert len(rows) == len(found("decode", 0).parts)
    assert sum(float(row["share"]) for row in rows) == pytest.approx(1, abs=1e-3)


def test_words(found: Callable[[str, int], Profile]) -> None:
    profile = found("decode", 1500)
    parts = tuple(p for p in profile.parts if p.kind in (LINEAR, "attention"))
    seconds = {LINEAR: 0.009, "attention": 0.001}
    counts = {kind: sum(p.kind == kind for p in parts) for kind in seconds}
    parts = tuple(dataclasses.replace(p, seconds=seconds[p.kind] / counts[p.kind]) for p in parts)
    read = sum(p.bytes for p in parts)
    fixed = dataclasses.replace(
        profile, parts=parts, traced_seconds=0.01, step_seconds=0.0098, bandwidth=read / 0.0045
    )
    text = fixed.summary
    assert text.startswith(
        "decode: 90% in linear layers (50% of the bandwidth bound), 10% attention at depth 1,500; "
        "slowest: layers.0."
    )
    heading = "\n".join(words.heading(dataclasses.replace(fixed, whole={"SomeBackend": 3})))
    assert "(+2.0%)" in heading
    assert "SomeBackend traces no operators: the time of each of its 3 delegates" in heading
    once = folded(fixed.modules)
    assert [m.count for _, m in once.walk() if m.path == "layers.*"] == [2]
    table = "\n".join(words.columns(words.module_rows(fixed)))
    assert "* (sum of 2)" in table
    assert "  0 " in "\n".join(words.columns(words.module_rows(fixed, each=True)))


def test_on_the_command_line(quantized_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", str(quantized_bundle), "--size"]) == 0
    sizes = api.weight_sizes(quantized_bundle)
    assert "* (sum of 2)" in capsys.readouterr().out
    assert sum(sizes.values()) < (quantized_bundle / "model.pte").stat().st_size
    assert main(["profile", str(quantized_bundle), "--size", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == sizes


def test_kernels_have_the_names_of_their_modules(portable_bundle: Path) -> None:
    """Without any delegate."""
    profile = api.profile(portable_bundle, depth=8, threads=1)
    assert {p.module for p in profile.parts if p.kind == LINEAR} >= {
        "head",
        "layers.1.attention.out",
    }


def damaged(bundle: Path, tmp_path: Path, text: str | None) -> Path:
    """A bundle with another profile map, or none."""
    folder = shutil.copytree(bundle, tmp_path / "bundle")
    (folder / PROFILE_MAP).unlink()
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["files"][PROFILE_MAP], manifest["roles"]["profile_map"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    if text is not None:
        (folder / PROFILE_MAP).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no map from instructions to modules"),
        ("{", "damaged"),
        ('{"format": 1, "strings": []}', "damaged"),
        ('{"format": 2}', "has format 2; this version reads 1"),
        ('{"format":1,"kinds":[],"strings":[],"methods":{},"weights":[]}', "of another program"),
    ],
)
def test_a_bundle_without_its_map(
    quantized_bundle: Path, tmp_path: Path, text: str | None, message: str
) -> None:
    folder = damaged(quantized_bundle, tmp_path, text)
    with pytest.raises(BundleError, match=r"(?s)map.*"):
        api.profile(folder, threads=1)
    with pytest.raises(BundleError) as caught:
        api.profile(folder, threads=1)
    assert message in str(caught.value)
    assert "export" in str(caught.value.fix)


def test_wrong_arguments(quantized_bundle: Path, tmp_path: Path) -> None:
    for settings, message in (
        ({"phase": "train"}, "there is no phase 'train'"),
        ({"depth": -1}, "the depth must be a number of tokens, not -1"),
        ({"depth": 10**6}, "do not fit the context"),
        ({"tokens": 3}, "decode takes one token a step, not 3"),
        ({"phase": "prefill", "tokens": 10**6}, "a step of this program takes 1 to"),
        ({"phase": "prefill", "tokens": 0}, "a step of this program takes 1 to"),
    ):
        with pytest.raises(RecipeError) as caught:
            api.profile(quantized_bundle, **settings)
        assert message in str(caught.value)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BundleError, match=r"manifest\.json"):
        api.profile(tmp_path / "empty")


def test_a_map_survives_its_file(quantized_bundle: Path, tmp_path: Path) -> None:
    read = ProfileMap.read(quantized_bundle / PROFILE_MAP)
    read.write(tmp_path / "copy.json")
    assert (tmp_path / "copy.json").read_bytes() == (quantized_bundle / PROFILE_MAP).read_bytes()
    assert ProfileMap.read(tmp_path / "copy.json") == read
    assert (quantized_bundle / PROFILE_MAP).stat().st_size < 40_000


def test_a_bundle_of_another_task_needs_a_map_too(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Bundle(Path("made"), {"task": {"name": "embed", "settings": {}}})
    monkeypatch.setattr(Bundle, "open", lambda path: made)
    with pytest.raises(BundleError, match="no map from instructions to modules"):
        profile_bundle("made")
    with pytest.raises(RecipeError, match="bundles of this task have no adapters"):
        profile_bundle("made", adapter="x")


def test_steps_of_a_method_fit_the_context() -> None:
    ids = {"dtype": "int64", "shape": [
        {"kind": "constant", "value": 1}, {"kind": "range", "range": {"min": 1, "max": 48}}
    ]}  # fmt: skip
    position = {"dtype": "int64", "shape": [{"kind": "constant", "value": 1}]}
    inputs: list[dict[str, Any]] = [ids, position]
    assert method_inputs(inputs, "decoder", "prefill", 40, None, 48)[1].tokens == 8
    made, _ = method_inputs(inputs, "decoder", "prefill", 40, 5, 48)
    assert [(tuple(each.shape), int(each.max())) for each in made] == [((1, 5), 0), ((1,), 40)]
    wrong: Any = "5"
    with pytest.raises(RecipeError, match="tokens must be a whole number, not '5'"):
        method_inputs(inputs, "decoder", "prefill", 0, wrong, 48)
    with pytest.raises(RecipeError, match="a step of length 1 at position 48 does not fit the"):
        method_inputs(inputs, "decoder", "decode", 48, None, 48)
    with pytest.raises(RecipeError, match="a step of length 9 at position 40 does not fit the"):
        method_inputs(inputs, "decoder", "prefill", 40, 9, 48)
