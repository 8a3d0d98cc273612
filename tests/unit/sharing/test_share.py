"""Packing: what goes along, what stays here, and that `get` takes in what `share` gives out."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_export import api
from llm_export.bundle.verify import check_bundle
from llm_export.cli.main import main
from llm_export.config.recipe_files import plain, resolved
from llm_export.config.shared_recipe import confined
from llm_export.errors import BundleError, InputError, LlmExportError, RecipeError
from llm_export.output.machine_paths import machine_path
from llm_export.sharing.licences import licence
from llm_export.sharing.pack import pack, write
from llm_export.versions import machine
from runtime_py.bundle import Bundle
from runtime_py.errors import BundleRuntimeError

BSD = licence(None, None)


# -- what is packed ------------------------------------------------------------------------


def test_a_bundle_is_packed_with_its_evidence(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = tmp_path / "to"
    assert main(["share", str(bundle), "--to", str(to), "--licence", "MIT", "--holder", "Ada"]) == 0
    name = "tiny_xnnpack_8da4w.yaml"
    assert {p.name for p in to.iterdir()} == {
        name, "recipe.lock.yaml", "parity.json", "report.md", "report.html", "README.md", "LICENSE",
        "share.json",
    }  # fmt: skip
    # Its record names the folder that it was written to.
    assert "left out: run.json, which tells of this machine" in capsys.readouterr().out
    index = json.loads((to / "share.json").read_text())
    assert index["format"] == 1
    assert index["recipe"] == name
    for file, entry in index["files"].items():
        data = (to / file).read_bytes()
        assert entry == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        assert str(tmp_path) not in data.decode()
    assert set(index["files"]) == {p.name for p in to.iterdir()} - {"share.json"}
    shared = api.compose_recipe(str(to / name)).recipe
    assert plain(resolved(shared)) == plain(
        resolved(api.compose_recipe(str(bundle / "recipe.yaml")).recipe)
    )
    lock = yaml.safe_load((to / "recipe.lock.yaml").read_text())
    assert lock["overrides"] == ["model=tiny"]
    assert "Copyright (c) Ada" in (to / "LICENSE").read_text()


def test_the_card_says_what_was_measured_where(bundle: Path) -> None:
    card = pack(str(bundle), [], None, BSD, target="hf:me/mine").files["README.md"].decode()
    front = yaml.safe_load(card.split("---")[1])
    assert front["license"] == "bsd-3-clause"
    assert front["library_name"] == "executorch"
    for text in ("llm-export get hf:me/mine", "llm-export run me/mine", "1000 positions", "0.0123",
                 "0.9000", "ExecuTorch 1.5.1", "BSD-3-Clause", "recipe.lock.yaml"):  # fmt: skip
        assert text in card, text
    alone = pack(None, ["model=tiny"], None, BSD).files["README.md"].decode()
    assert "Nothing yet" in alone
    assert "recipe.lock.yaml" not in alone


def test_the_models_licence_comes_from_its_card_or_from_words(tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "README.md").write_text("---\nlicense: llama3.2\n---\n# Card\n")
    words = ["model=tiny", f"checkpoint.path={weights}"]
    assert "The model: llama3.2" in pack(None, words, None, BSD).files["README.md"].decode()
    said = pack(None, words, None, BSD, model_licence="my own").files["README.md"].decode()
    assert "The model: my own" in said
    (weights / "README.md").write_text("---\nlicense: [\n---\n")
    assert "not known here" in pack(None, words, None, BSD).files["README.md"].decode()


def test_files_of_the_author_are_neither_packed_nor_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = tmp_path / "secret_place" / "mine.txt"
    text.parent.mkdir()
    text.write_text("some text")
    words = ["model=tiny", "checkpoint.path=/home/me/base.gguf", "checkpoint.adapter=/home/me/lora",
             f"verify.text={text}"]  # fmt: skip
    packed = pack(None, words, None, BSD)
    assert packed.brought == {"checkpoint.path": "weights/base.gguf",
                              "checkpoint.adapter": "adapter/lora"}  # fmt: skip
    assert packed.files["texts/verify.txt"] == b"some text"
    assert not any(b"secret_place" in d or b"/home/me" in d for d in packed.files.values())
    assert b"checkpoint.adapter=PATH" in packed.files["README.md"]
    write(packed, tmp_path / "to")
    monkeypatch.chdir("/")
    recipe = api.compose_recipe(str(tmp_path / "to" / "tiny_portable_none.yaml")).recipe
    assert Path(recipe.verify.text or "").read_text() == "some text"
    # Without the author's files it stops, instead of making something else.
    assert recipe.checkpoint.path == str(tmp_path / "to" / "weights" / "base.gguf")
    assert main(["run", str(tmp_path / "to" / "tiny_portable_none.yaml"), "out=/tmp/never"]) == 2


def test_packing_again_replaces_only_what_was_packed(tmp_path: Path) -> None:
    packed = pack(None, ["model=tiny"], None, BSD)
    write(packed, tmp_path / "to")
    write(packed, tmp_path / "to")
    (tmp_path / "to" / "own.txt").write_text("mine")
    with pytest.raises(InputError, match="was not packed"):
        write(packed, tmp_path / "to")
    assert (tmp_path / "to" / "own.txt").read_text() == "mine"
    with pytest.raises(InputError, match="the folder is a file"):
        write(packed, tmp_path / "to" / "own.txt")
    with pytest.raises(InputError, match="cannot be written"):
        write(packed, Path("/proc/x"))
    assert not list(tmp_path.glob(".share-*"))


@pytest.mark.parametrize(
    ("words", "kind", "what"),
    [
        (["description=made in /home/me/work"], RecipeError, "tells of this machine: /home/me"),
        (["backend=xnnpack", "+backend.options.x=/opt/sdk/bin"], RecipeError, "of this machine"),
        (["quant.calibration.dataset=/data/mine"], RecipeError, "dataset on this disk"),
        (["verify.text=nowhere.txt"], InputError, "cannot be read"),
    ],
)
def test_what_cannot_be_shared(words: list[str], kind: type[Exception], what: str) -> None:
    with pytest.raises(kind, match=what) as caught:
        pack(None, ["model=tiny", *words], None, BSD)
    assert getattr(caught.value, "where", None)


def test_mistakes_of_the_command_line(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, what in (
        (["share", "--to", "x"], "nothing was named"),
        (["share", str(bundle), "quant=none", "--to", "x"], "shared as it is"),
        (["share", "model=tiny", "--to", "hf:x"], "no repository"),
        (["share", "model=tiny", "--to", "x", "--licence", "GPL"], "no such licence"),
        (["get"], "nothing was named"),
    ):
        assert main(words) == 2
        said = capsys.readouterr().err
        assert what in said
        assert "fix:" in said
    (bundle / "model.pte").write_text("other length")
    with pytest.raises(BundleError, match="damaged"):
        pack(str(bundle), [], None, BSD)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("in /home/me/x", "/home/me/x"), ('"/opt/x/y"', "/opt/x/y"), ("~/a/b", "~/a/b"),
        ("C:\\x", "C:\\x"), ("https://a.b/c/d", None), ("q/k/v and 1/2/3", None),
        ("up and/or down, 3 tokens/s", None), ("</a/b>", None),
    ],
)  # fmt: skip
def test_paths_are_told_from_words(text: str, found: str | None) -> None:
    assert machine_path(text) == found


# -- verify --------------------------------------------------------------------------------


def test_verify_says_of_each_part_whether_it_holds(
    quantized_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = Path(shutil.copytree(quantized_bundle, tmp_path / "bundle"))
    path = bundle / "manifest.json"
    whole = json.loads(path.read_text())
    verdict = {"word": "good", "meaning": "little is lost\x1b[2J", "faithful": True, "figures": [],
               "remarks": []}  # fmt: skip
    path.write_text(json.dumps({**whole, "proof": {**whole["proof"], "verdict": verdict}}))
    assert main(["verify", str(bundle)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("good: little is lost[2J\nnumerically faithful   yes: the program ")
    for text in ("ok      manifest.json", "ok      model.pte", "backend XnnpackBackend",
                 "operators", "ok      lock", "one token", "checks passed"):  # fmt: skip
        assert text in out

    def failed(**change: Any) -> str:
        path.write_text(json.dumps({**whole, **change}))
        assert main(["verify", str(bundle), "--quiet"]) == 2
        return " ".join(capsys.readouterr().out.split())

    requires = whole["requires"]
    assert "FutureBackend" in failed(requires={**requires, "backends": ["FutureBackend"]})
    assert "operator x::y" in failed(requires={**requires, "operators": ["x::y"]})
    assert "==9.0" in failed(requires={**requires, "executorch": "9.0"})
    assert "is no version" in failed(requires={**requires, "executorch": "?"})
    files = whole["files"]
    outside = {"bytes": 1, "sha256": "0" * 64}
    assert "outside the bundle" in failed(files={**files, "../x": outside, "/etc/passwd": outside})
    assert "is missing" in failed(files={**files, "gone.txt": outside})
    assert "does not list" in failed(roles={**whole["roles"], "lock": "gone.txt"})
    assert "format 9" in failed(format=9)
    assert "not valid" in failed(name=3)
    path.write_text(json.dumps(whole))
    program = bytearray((bundle / "model.pte").read_bytes())
    program[-1] ^= 1
    (bundle / "model.pte").write_bytes(program)
    assert main(["verify", str(bundle)]) == 2
    out = capsys.readouterr().out
    assert "FAILED  model.pte" in out
    assert "verified" not in out
    assert "FAILED  lock" in out
    assert "2 of" in out
    path.write_text("[" * 100_000)
    assert main(["verify", str(bundle)]) == 2
    path.unlink()
    assert main(["verify", str(bundle)]) == 2
    assert "not a bundle" in capsys.readouterr().err


def test_evidence_that_was_tampered_with(bundle: Path) -> None:
    path = bundle / "manifest.json"
    whole = json.loads(path.read_text())
    path.write_text(
        json.dumps({**whole, "proof": {"verified": True, "comparisons": {"quality": 3}}})
    )
    with pytest.raises(BundleError, match="not as it was written"):
        pack(str(bundle), [], None, BSD)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("../x"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=6,
)


@settings(deadline=None, max_examples=15, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_manifest_is_checked_or_refused(bundle: Path, data: st.DataObject) -> None:
    path = bundle / "manifest.json"
    whole = path.read_text()
    body = json.loads(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        node = body
        while isinstance(node, dict) and node:
            key = data.draw(st.sampled_from(sorted(node)))
            if not isinstance(node[key], dict) or data.draw(st.booleans()):
                node[data.draw(st.just(key) | st.text(max_size=5))] = data.draw(json_values)
                break
            node = node[key]
    try:
        path.write_text(json.dumps(body))
        with contextlib.suppress(LlmExportError):
            assert check_bundle(bundle, probe=lambda folder: [])
        with contextlib.suppress(BundleRuntimeError):
            Bundle.open(bundle, verify_hashes=True)
        with contextlib.suppress(LlmExportError):
            pack(str(bundle), [], None, BSD)
    finally:
        path.write_text(whole)


def test_the_machine_is_not_in_what_is_shared_unless_its_kind(bundle: Path) -> None:
    record = json.loads((bundle / "run.json").read_text())
    record["overrides"] = []
    (bundle / "run.json").write_text(json.dumps(record))
    packed = pack(str(bundle), [], None, BSD)
    assert "run.json" in packed.files
    assert machine().cpu.encode() in packed.files["README.md"]
    assert os.uname().nodename.encode() not in b"".join(packed.files.values())


def test_folders_of_tasks_which_may_hold_code_are_neither_packed_nor_taken(tmp_path: Path) -> None:
    words = ["model=tiny", "evaluate=quick", f"evaluate.task_paths=[{tmp_path}]"]
    with pytest.raises(RecipeError, match="folders of evaluation tasks cannot be shared"):
        pack(None, words, None, BSD)
    body = {"defaults": ["export_base", "_self_"], "evaluate": {"task_paths": ["tasks"]}}
    with pytest.raises(RecipeError, match="evaluation tasks, which may hold code"):
        confined(body, tmp_path)


def test_an_evaluated_text_goes_along(tmp_path: Path) -> None:
    text = tmp_path / "mine.txt"
    text.write_text("Once upon a time.")
    packed = pack(None, ["model=tiny", "evaluate=quick", f"evaluate.text={text}"], None, BSD)
    assert packed.files["texts/evaluate.txt"] == b"Once upon a time."
