"""Locks: read as recipes, compared before any work, and their outcome after it."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_export import api
from llm_export.bundle.lock import Provenance, lock_yaml
from llm_export.cli.main import main
from llm_export.config.recipe_files import plain, resolved
from llm_export.errors import LlmExportError, MissingDependencyError, RecipeError, VerificationError
from llm_export.sharing.locked import Lock, compare_outcome, read_lock, require_same
from llm_export.versions import machine, package_versions

Make = Callable[..., Path]


@pytest.fixture
def lock_file(tmp_path: Path) -> Make:
    """lock_file(**changes) -> a lock of model=tiny, of this machine but for the changes."""

    def make(**changes: Any) -> Path:
        recipe = api.compose_recipe(None, ["model=tiny", "quant=8da4w", "backend=xnnpack"]).recipe
        provenance = Provenance({}, [], package_versions(), machine())
        body = yaml.safe_load(lock_yaml(recipe, provenance, {}, {"model.pte": "0" * 64}))
        for key, value in changes.items():
            body[key] = {**body[key], **value} if isinstance(value, dict) else value
        path = tmp_path / "recipe.lock.yaml"
        path.write_text(yaml.safe_dump(body))
        return path

    return make


def same(path: Path, *overrides: str, allow: bool = False) -> list[str]:
    lock = read_lock(str(path))
    assert lock is not None
    recipe = api.compose_recipe(str(path), overrides).recipe
    return require_same(lock, recipe, list(overrides), allow)


def test_a_lock_composes_to_its_recipe(lock_file: Make) -> None:
    wanted = api.compose_recipe(None, ["model=tiny", "quant=8da4w", "backend=xnnpack"]).recipe
    found = api.compose_recipe(str(lock_file())).recipe
    assert plain(resolved(found)) == plain(resolved(wanted))
    assert found.name == "tiny_xnnpack_8da4w"


def test_a_recipe_is_no_lock(tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text("description: x\n")
    assert read_lock(str(file)) is None
    assert read_lock("smollm2_135m_xnnpack_8da8w") is None
    assert read_lock(None) is None


def test_here_nothing_differs(lock_file: Make) -> None:
    assert same(lock_file()) == []
    assert same(lock_file(), "out=elsewhere", "verify=off", "benchmark.repetitions=1") == []


def test_each_pinned_version_that_differs_is_named(lock_file: Make) -> None:
    path = lock_file(
        versions={"torch": "1.0", "executorch": "0.1; rm -rf", "gone": "3"},
        platform={"system": "Plan9", "python": "2.7.1"},
    )
    with pytest.raises(MissingDependencyError) as caught:
        same(path)
    said = str(caught.value)
    assert caught.value.exit_code == 3
    assert "differs here in 5 places" in said
    for text in (f"torch: 1.0 then, {package_versions()['torch']} now", "gone: 3 then, absent now",
                 "system: Plan9 then", "python: 2.7 then", "--allow-different"):  # fmt: skip
        assert text in said, text
    # The line that is meant to be copied holds nothing that a stranger could have put there.
    assert "pip install torch==1.0;" in said
    assert "pip install gone" not in said
    assert len(same(path, allow=True)) == 5


def test_what_seldom_takes_part_and_the_patch_level_may_differ(
    lock_file: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    minor = ".".join(machine().python.split(".")[:2])
    path = lock_file(versions={"torchtune": "9"}, platform={"python": f"{minor}.99", "cpu": "x"})
    here = {k: v for k, v in package_versions().items() if k != "torchtune"}
    monkeypatch.setattr("llm_export.sharing.locked.package_versions", lambda: here)
    assert same(path) == []


@pytest.mark.parametrize("word", ["quant=none", "quant.group_size=64", "+x=1", "~quant"])
def test_an_override_that_changes_the_program_is_refused(lock_file: Make, word: str) -> None:
    lock = read_lock(str(lock_file()))
    assert lock is not None
    recipe = api.compose_recipe(str(lock.path)).recipe
    with pytest.raises(RecipeError, match="a lock says everything") as caught:
        require_same(lock, recipe, ["out=x", word], False)
    assert caught.value.where == f"override {word}"
    assert require_same(lock, recipe, [word], True) == [f"override: {word}"]


def test_another_checkpoint_is_found_before_any_work(lock_file: Make, tmp_path: Path) -> None:
    weights = tmp_path / "weights.gguf"
    weights.write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    word = f"checkpoint.path={weights}"
    assert same(lock_file(checkpoint={"weights.gguf": digest}), word) == []
    with pytest.raises(MissingDependencyError, match=r"checkpoint weights\.gguf: 1{64} then"):
        same(lock_file(checkpoint={"weights.gguf": "1" * 64}), word)
    with pytest.raises(MissingDependencyError, match=r"checkpoint other\.gguf: .* absent now"):
        same(lock_file(checkpoint={"other.gguf": digest}), word)
    assert main(["run", str(lock_file(checkpoint={"a.gguf": digest})), word,
                 f"out={tmp_path / 'out'}"]) == 3  # fmt: skip
    assert not (tmp_path / "out").exists()


def test_the_outcome_is_compared_bit_by_bit(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "model.pte").write_bytes(b"program")
    digest = hashlib.sha256(b"program").hexdigest()
    platform = {"cpu": machine().cpu}

    def outcome(sha: str, known: list[str], allow: bool = False, reused: bool = False) -> str:
        lock = Lock(tmp_path / "l", {}, platform, {}, {"model.pte": sha})
        return compare_outcome(lock, bundle, known, reused, allow)

    assert outcome(digest, []) == "the same program, bit by bit: model.pte"
    assert "--no-cache builds it anew" in outcome(digest, [], reused=True)
    with pytest.raises(VerificationError, match=r"another program: model\.pte has") as caught:
        outcome("1" * 64, [])
    assert "versions, platform and checkpoint are the same" in str(caught.value)
    text = outcome("1" * 64, ["torch: 1 then, 2 now"], allow=True)
    assert "another program" in text
    assert "torch: 1 then, 2 now" in text
    platform["cpu"] = "another"
    with pytest.raises(VerificationError) as caught:
        outcome("1" * 64, [])
    assert "cpu: another then" in str(caught.value)
    (bundle / "model.pte").unlink()
    with pytest.raises(VerificationError, match="absent"):
        outcome(digest, [])


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("format: 2\nrecipe: {}", "has format 2"),
        ("format: 1\nrecipe: 3", "holds no resolved recipe"),
        ("format: 1\nrecipe: {defaults: [x]}", "holds no resolved recipe"),
        ("format: 1\nrecipe: {}", "'versions' is not a mapping"),
        ("format: 1\nrecipe: {}\nversions: {a: [1]}", "'versions' is not a mapping"),
        ("format: &a 1\nrecipe: *a", "aliases"),
    ],
)
def test_damaged_locks(tmp_path: Path, text: str, what: str) -> None:
    file = tmp_path / "recipe.lock.yaml"
    file.write_text(text)
    with pytest.raises(RecipeError, match=what):
        read_lock(str(file))
    assert main(["run", str(file)]) == 2


values = st.recursive(
    st.none() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@settings(deadline=None, max_examples=12, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(
    st.sampled_from(["format", "recipe", "versions", "platform", "checkpoint", "files"]), values
))  # fmt: skip
def test_any_lock_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, body: dict[str, Any]
) -> None:
    file = tmp_path_factory.mktemp("any") / "recipe.lock.yaml"
    file.write_text(yaml.safe_dump({"format": 1, "recipe": {}, **body}))
    with contextlib.suppress(LlmExportError):
        read_lock(str(file))
        api.compose_recipe(str(file))


def test_a_sweep_of_a_lock_is_refused(lock_file: Make, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "-m", str(lock_file()), "quant=none,8da8w"]) == 2
    assert "a lock is of one program" in capsys.readouterr().err
