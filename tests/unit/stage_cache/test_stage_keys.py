"""What the key of a finished stage depends on, and that it depends on all that a stage reads."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from recording import recording, recording_resolved

from llm_export import api
from llm_export.config.schema import Recipe
from llm_export.pipeline.artifacts import Start
from llm_export.pipeline.console import Reporter
from llm_export.pipeline.record import RunRecord, StageRecord
from llm_export.pipeline.stage import RunContext
from llm_export.resolve.recipe import resolve
from llm_export.runner.stages import STAGES
from llm_export.stage_cache import keys as keys_module
from llm_export.stage_cache.file_digests import Digests, checkpoint_files
from llm_export.stage_cache.keys import KeyInputs, covers, part, stage_keys
from llm_export.stage_cache.memo import Memo
from llm_export.stage_cache.source_digest import Sources

SOURCES = Sources()
NAMES = [stage.name for stage in STAGES]


def keys_of(recipe: Recipe, checkpoint: Path | None = None, **asked: Any) -> dict[str, str]:
    found, unknown = stage_keys(
        STAGES, resolve(recipe), KeyInputs(checkpoint, Digests(None), **asked), SOURCES
    )
    assert not unknown
    return found


def composed(*words: str) -> Recipe:
    return api.compose_recipe(None, ["model=tiny", "backend=xnnpack", *words]).recipe


def first_changed(one: dict[str, str], other: dict[str, str]) -> str | None:
    """The first stage whose key differs; those of all later ones must too."""
    differing = [name for name in NAMES if one[name] != other[name]]
    assert not differing or differing == NAMES[NAMES.index(differing[0]) :]
    return differing[0] if differing else None


@pytest.mark.parametrize(
    ("word", "first"),
    [
        ("out=elsewhere", None),
        ("name=another", "report"),
        ("description=another", "report"),
        ("model.description=another", "report"),
        ("runtime.sampling.temperature=0.5", "report"),
        ("deploy.questions=[Why?]", "report"),
        ("benchmark=full", "benchmark"),
        ("benchmark.repetitions=7", "benchmark"),
        ("verify.positions=77", "verify"),
        ("verify=off", "verify"),
        ("verify.quality.max_mean_kl=0.5", "verify"),
        ("quant=8da4w", "transform"),
        ("quant.group_size=64", "transform"),
        ("runtime.prefill_length=64", "transform"),
        ("train.learning_rate=0.5", "report"),
        ("backend.allow_undelegated=true", "transform"),
        ("backend=portable", "transform"),
        ("runtime.context_length=333", "load"),
        ("checkpoint.random_seed=7", "load"),
    ],
)  # fmt: skip
def test_what_a_change_of_the_recipe_begins_with(word: str, first: str | None) -> None:
    base = ["quant=8da8w", "benchmark=quick"]
    assert first_changed(keys_of(composed(*base)), keys_of(composed(*base, word))) == first


def test_choices_and_overrides_are_the_reports() -> None:
    recipe = composed()
    assert first_changed(keys_of(recipe), keys_of(recipe, overrides=["a=b"])) == "report"


def test_the_same_recipe_has_the_same_keys() -> None:
    assert keys_of(composed("quant=8da4w")) == keys_of(composed("quant=8da4w"))


def test_training_reads_its_keys_only_if_there_is_any() -> None:
    off, on = composed("quant=8da4w"), composed("quant=8da4w", "train=qat")
    assert on.train.enabled
    assert first_changed(keys_of(off), keys_of(on)) == "train"
    other = replace(on, verify=replace(on.verify, positions=321))
    # The text of verification is kept out of that of training.
    assert first_changed(keys_of(on), keys_of(other)) == "train"


def test_a_text_counts_by_what_it_says(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("one")
    for word, first in (("verify.text", "verify"), ("quant.calibration.text", "transform")):
        recipe = composed(f"{word}={text}")
        text.write_text("one")
        before = keys_of(recipe)
        text.write_text("two")
        assert first_changed(before, keys_of(recipe)) == first


def test_a_dataset_cannot_be_told_apart(tmp_path: Path) -> None:
    recipe = composed("quant.calibration.dataset=org/name")
    around = KeyInputs(None, Digests(None))
    found, unknown = stage_keys(STAGES, resolve(recipe), around, SOURCES)
    assert list(found) == ["load"]
    assert unknown == "what quant.calibration.dataset holds may change"


def test_a_text_that_is_missing_is_left_to_the_stage() -> None:
    around = KeyInputs(None, Digests(None))
    found, unknown = stage_keys(
        STAGES, resolve(composed("verify.text=/nowhere.txt")), around, SOURCES
    )
    assert "verify" not in found
    assert unknown == "/nowhere.txt cannot be read"


def test_versions_of_packages_count(monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys_of(composed())
    versions = keys_module.versions()
    assert {"torch", "executorch", "torchao", "tokenizers"} <= set(versions)
    assert "ruff" not in versions
    monkeypatch.setattr(keys_module, "versions", lambda: {**versions, "torchao": "0.0.1"})
    assert first_changed(before, keys_of(composed())) == "load"


def test_the_processor_counts_where_something_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys_of(composed())
    known = keys_module.machine()
    monkeypatch.setattr(keys_module, "machine", lambda: replace(known, cpu="another"))
    assert first_changed(before, keys_of(composed())) == "verify"


# Files of checkpoints.


def test_files_of_a_checkpoint_count_by_content(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / ".cache").mkdir(parents=True)
    for name in ("model.safetensors", "config.json", ".cache/lock"):
        (folder / name).write_text(name)
    recipe = composed("checkpoint.random_seed=null", f"checkpoint.path={folder}")
    before = keys_of(recipe, folder)
    (folder / ".cache" / "lock").write_text("hidden")
    assert keys_of(recipe, folder) == before
    (folder / "config.json").write_text("other")
    assert first_changed(before, keys_of(recipe, folder)) == "load"


def test_what_is_read_beside_a_file(tmp_path: Path) -> None:
    for name in ("a.gguf", "b.gguf", "m-1.safetensors", "m-2.safetensors", "config.json", "x.png",
                 "pytorch_model.bin.index.json", "w.bin"):  # fmt: skip
        (tmp_path / name).write_text(name)

    def names(file: str) -> list[str]:
        return [p.name for p in checkpoint_files(tmp_path / file)]

    assert names("a.gguf") == ["a.gguf"]
    beside = ["config.json", "m-1.safetensors", "m-2.safetensors", "pytorch_model.bin.index.json"]
    assert names("m-1.safetensors") == beside
    assert names("pytorch_model.bin.index.json") == [*beside, "w.bin"]


def test_digests_are_remembered_until_the_file_changes(tmp_path: Path) -> None:
    file, memo = tmp_path / "weights", tmp_path / "memo.json"
    file.write_text("one")
    then = time.time() - 100
    os.utime(file, (then, then))
    digests = Digests(memo)
    first = digests.of(file)
    digests.save()
    # Remembered, not read: the memo is believed.
    known = Memo(memo).read()
    known[str(file)][3] = "remembered"
    Memo(memo).write(known)
    assert Digests(memo).of(file) == "remembered"
    file.write_text("two")
    assert Digests(memo).of(file) not in ("remembered", first)


def test_a_file_that_was_just_written_is_not_remembered(tmp_path: Path) -> None:
    file, memo = tmp_path / "weights", tmp_path / "memo.json"
    file.write_text("one")
    digests = Digests(memo)
    digests.of(file)
    digests.save()
    assert not memo.exists()


# Source.


def tree(folder: Path, files: dict[str, str]) -> Sources:
    for name, text in files.items():
        path = folder / "prog" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Sources(folder / "memo.json", {"prog": folder / "prog"})


FILES = {
    "__init__.py": "",
    "a.py": "from prog import b\nif TYPE_CHECKING:\n    import prog.typed",
    "b.py": "def f():\n    from .sub.c import x\n",
    "sub/__init__.py": "TABLE = {'d': 'prog.d:D'}",
    "sub/c.py": "",
    "d.py": "from importlib import resources\nresources.files('prog.data')",
    "data/__init__.py": "",
    "data/text.txt": "text",
    "data/style.css": "a {}",
    "data/code.mjs": "f()",
    "typed.py": "",
    "other.py": "",
}  # fmt: skip


def test_imports_are_followed(tmp_path: Path) -> None:
    sources = tree(tmp_path, FILES)
    reached = {"prog", "prog.a", "prog.b", "prog.sub", "prog.sub.c", "prog.d", "prog.data"}
    assert sources.reached("prog.a") == reached


@pytest.mark.parametrize("changed", FILES)
def test_the_digest_changes_with_what_is_reached(tmp_path: Path, changed: str) -> None:
    before = tree(tmp_path, FILES).digest("prog.a")
    assert tree(tmp_path, FILES).digest("prog.a") == before
    after = tree(tmp_path, {**FILES, changed: FILES[changed] + "\n# changed"}).digest("prog.a")
    assert (after == before) == (changed in ("typed.py", "other.py"))


def test_stages_depend_on_what_they_run() -> None:
    lower, report = (SOURCES.reached(f"llm_export.stages.{n}") for n in ("lower", "report"))
    assert {"llm_export.layer_reuse.to_executorch", "llm_export.backends.xnnpack"} <= lower
    assert {"llm_export.report.markdown", "runtime_py.llm"} <= report
    assert {"llm_export.report.page", "llm_export.report.vendor"} <= report, "with their files"
    assert not {"llm_export.stages.report", "llm_export.cli.run", "llm_export.runner.run"} & lower
    families = {n for n in SOURCES.reached("llm_export.stages.load") if ".families." in n}
    assert "llm_export.models.families.llama" in families


# What stages read.


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("backend=xnnpack", "quant=8da4w"), marks=pytest.mark.slow),
        pytest.param(
            ("backend=portable", "quant=none", "quant.kv_cache=int8", "verify=off"),
            marks=pytest.mark.release,
        ),
        pytest.param(
            ("backend=xnnpack", "quant=8da8w", "benchmark=quick", "runtime=static"),
            marks=pytest.mark.release,
        ),
        pytest.param(
            ("backend=portable", "quant=none", "benchmark=quick"), marks=pytest.mark.release
        ),
        pytest.param(("backend=vulkan", "quant=8da4w"), marks=pytest.mark.release),
    ],
)  # fmt: skip
def test_stages_read_what_they_declare(tmp_path: Path, words: tuple[str, ...]) -> None:
    """Every stage, run on a recipe that records what is read of it."""
    plain = composed("verify.positions=100", "model.config.num_hidden_layers=1", *words)
    read: set[str] = set()
    recipe = recording_resolved(plain, read)
    record = RunRecord(tmp_path / "run.json", plain, {}, [])
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    artifact: Any = Start()
    for stage in STAGES:
        read.clear()
        one = StageRecord(stage.name)
        record.stages.append(one)
        context = RunContext(bundle, Reporter(1, quiet=True), one, record)
        artifact = stage.load()(artifact, recipe, context)
        one.state = "done"
        undeclared = {p for p in read if not covers((*stage.reads, *stage.checks), p)}
        assert not undeclared, f"{stage.name} reads {sorted(undeclared)}"
        if stage.name == "load":
            assert "checkpoint.random_seed" in read
            # Of a copy's part, too.
            assert ("verify.positions" in read) is plain.verify.enabled


def test_recording_sees_reads_of_copies() -> None:
    read: set[str] = set()
    recipe = recording(composed(), read)
    assert not read
    copy = replace(recipe.verify, positions=5)
    read.clear()
    assert copy.noise_factor
    assert read == {"verify.noise_factor"}


def test_a_group_is_without_its_labels() -> None:
    recipe = composed()
    assert "rules" in part(recipe, "quant")
    assert not {"name", "description"} & set(part(recipe, "quant"))
    assert covers(["quant"], "quant.rules")
    assert not covers(["quant"], "quant.name")
    assert not covers(["quant"], "quantity")
    assert covers(["checkpoint"], "checkpoint.package.name")
    assert covers(["@verify_text"], "verify.text")


def test_the_spelling_of_a_path_is_not_in_the_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative, absolute, of the home folder, by a link, and with a slash at the end."""
    (tmp_path / "model").mkdir()
    for name in ("config.json", "model.safetensors", "text.txt"):
        (tmp_path / "model" / name).write_text(name)
    (tmp_path / "link").symlink_to(tmp_path / "model")
    (tmp_path / "one.txt").symlink_to(tmp_path / "model/text.txt")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    found = []
    for folder, text in (
        ("model", "model/text.txt"), (f"{tmp_path}/model", f"{tmp_path}/link/text.txt"),
        ("~/model", "~/model/text.txt"), ("link", "one.txt"), ("./model/", "./model/text.txt"),
    ):  # fmt: skip
        recipe = composed(f"checkpoint.path='{folder}'", f"verify.text='{text}'")
        around = KeyInputs(Path(folder).expanduser(), Digests(None))
        keys, why = stage_keys(STAGES[:-1], resolve(recipe), around, SOURCES)
        assert not why
        found.append(keys)
    assert all(keys == found[0] for keys in found)
    (tmp_path / "model/config.json").write_text("another")
    recipe = composed("checkpoint.path=model", "verify.text=model/text.txt")
    around = KeyInputs(Path("model"), Digests(None))
    assert stage_keys(STAGES[:-1], resolve(recipe), around, SOURCES)[0]["load"] != found[0]["load"]
