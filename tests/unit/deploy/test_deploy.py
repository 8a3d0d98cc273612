"""Projects for apps: what is refused before anything is written, and what is written whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from llm_export import api
from llm_export.deploy import DEPLOY_TARGETS
from llm_export.deploy.base import DeployTarget, Obstacle, Project, Settings
from llm_export.deploy.refuse import refuse
from llm_export.deploy.templates import rendered
from llm_export.errors import BundleError, InputError, RecipeError
from llm_export.output.claim import refuse_foreign
from llm_export.output.seal import PROJECT, SEAL, foreign_part
from runtime_py.bundle import Bundle


def _make(bundles: Sequence[Bundle], settings: Settings) -> Project:
    program = bundles[0].file("program")
    assert program is not None
    return Project(
        {"README.md": f"# {settings.name}\n", "bin/run": "#!/bin/sh\n"},
        {"assets/model.pte": program},
        executable=frozenset({"bin/run"}),
        steps=("make", "./bin/run"),
        notes=(f"color: {settings.options.get('color', 'none')}",),
    )


SAMPLE = DeployTarget("a folder", _make, options={"color": "of the window"})


@pytest.fixture
def target(monkeypatch: pytest.MonkeyPatch) -> list[DeployTarget]:
    """The registered target 'sample'; a test may replace it in this list."""
    current = [SAMPLE]
    real = DEPLOY_TARGETS.get
    monkeypatch.setattr(
        DEPLOY_TARGETS, "get", lambda name: current[0] if name == "sample" else real(name)
    )
    return current


def test_a_project_is_written_with_its_copies(
    target: list[DeployTarget], quantized_bundle: Path, tmp_path: Path
) -> None:
    place = tmp_path / "new" / "app"
    done = api.deploy(quantized_bundle, "sample", place, options={"color": "red"})
    assert (place / "README.md").read_text().startswith("# ")
    assert (place / "assets/model.pte").read_bytes() == (
        quantized_bundle / "model.pte"
    ).read_bytes()
    assert os.access(place / "bin/run", os.X_OK)
    assert done.notes == ("color: red",)
    assert (done.files, done.steps, done.built) == (3, ("make", "./bin/run"), None)
    assert [p.name for p in place.parent.iterdir()] == ["app"]
    # Unchanged it is replaced, and what building left stays; with the user's files it is not.
    target[0] = replace(SAMPLE, leftovers=frozenset({"out", "*.o"}))
    (place / "out" / "deep").mkdir(parents=True)
    (place / "bin" / "run.o").touch()
    api.deploy(quantized_bundle, "sample", place, name="Other")
    assert (place / "out" / "deep").is_dir()
    assert (place / "bin" / "run.o").is_file()
    target[0] = SAMPLE
    with pytest.raises(InputError, match="is not a project's: out"):
        api.deploy(quantized_bundle, "sample", place)
    shutil.rmtree(place / "out")
    (place / "bin" / "run.o").unlink()
    assert (place / "README.md").read_text() == "# Other\n"
    (place / "README.md").write_text("mine")
    with pytest.raises(InputError, match=r"was changed since it was written: README\.md"):
        api.deploy(quantized_bundle, "sample", place)
    assert (place / "README.md").read_text() == "mine"


def test_neither_a_bundle_nor_a_project_replaces_the_other(
    target: list[DeployTarget], quantized_bundle: Path, tmp_path: Path
) -> None:
    bundle = shutil.copytree(quantized_bundle, tmp_path / "bundle")
    for sealed in (True, False):  # a downloaded bundle has no seal
        with pytest.raises(InputError, match="the project folder holds a bundle"):
            api.deploy(quantized_bundle, "sample", bundle)
        assert (bundle / "model.pte").is_file(), sealed
        (bundle / SEAL).unlink(missing_ok=True)
    project = tmp_path / "project"
    api.deploy(quantized_bundle, "sample", project)
    with pytest.raises(InputError, match="the output folder holds a project"):
        refuse_foreign(project)


@pytest.mark.parametrize(
    ("change", "what", "fix"),
    [
        ({"backends": frozenset({"VulkanBackend"})}, "no XnnpackBackend, only VulkanBackend",
         "export with backend=xnnpack"),
        ({"operators": frozenset({"aten", "quantized_decomposed"})}, "no llama::",
         "runtime.attention=plain"),
        ({"obstacles": lambda bundle: [Obstacle("it is small", "a larger one")]}, "it is small",
         "a larger one"),
        ({"consumers": lambda settings: ["et_cpp_multimodal"]}, "et_cpp_multimodal@1.5: method",
         ""),
    ],
)  # fmt: skip
def test_what_a_target_cannot_take_is_refused_by_name_before_writing(
    change: dict[str, object], what: str, fix: str, target: list[DeployTarget],
    quantized_bundle: Path, tmp_path: Path,
) -> None:  # fmt: skip
    target[0] = replace(SAMPLE, **change)  # type: ignore[arg-type]
    with pytest.raises(BundleError) as caught:
        api.deploy(quantized_bundle, "sample", tmp_path / "app")
    assert caught.value.what.startswith("sample cannot take this")
    assert what in caught.value.what
    assert fix in str(caught.value.fix)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"target": "sampel"}, "no deploy target 'sampel'"),
        ({"options": {"colour": "red"}}, "sample has no option 'colour'"),
        ({"name": "My App!"}, "an app's name has letters"),
        ({"build": True}, "cannot be built by this command"),
    ],
)
def test_bad_words(
    words: dict[str, object], message: str, target: list[DeployTarget], quantized_bundle: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    given = {"target": "sample", **words}
    name = str(given.pop("target"))
    with pytest.raises(RecipeError, match=message):
        api.deploy(quantized_bundle, name, tmp_path / "app", **given)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_project_takes_no_bundles_place_nor_a_bundle_a_projects(
    target: list[DeployTarget], quantized_bundle: Path, tmp_path: Path
) -> None:
    before = sorted(p.name for p in quantized_bundle.iterdir())
    with pytest.raises(InputError, match="project folder holds a bundle"):
        api.deploy(quantized_bundle, "sample", quantized_bundle)
    with pytest.raises(InputError, match="lies in the bundle"):
        api.deploy(quantized_bundle, "sample", quantized_bundle / "app")
    assert sorted(p.name for p in quantized_bundle.iterdir()) == before
    api.deploy(quantized_bundle, "sample", tmp_path / "app")
    assert foreign_part(tmp_path / "app", PROJECT) is None
    assert foreign_part(tmp_path / "app") == "holds a project"


def test_several_bundles_are_for_targets_that_take_them(
    target: list[DeployTarget], quantized_bundle: Path, tmp_path: Path
) -> None:
    two = [quantized_bundle, quantized_bundle]
    with pytest.raises(RecipeError, match="takes one bundle"):
        api.deploy(two, "sample", tmp_path / "app")
    target[0] = replace(SAMPLE, several=True)
    assert api.deploy(two, "sample", tmp_path / "app").files == 3


def test_a_version_of_a_strangers_manifest_is_no_command(quantized_bundle: Path) -> None:
    opened = Bundle.open(quantized_bundle)
    for version in ("1.5 & evil", "1.5)\nexecute_process(COMMAND evil)", ""):
        requires = {**opened.manifest["requires"], "executorch": version}
        hostile = replace(opened, manifest={**opened.manifest, "requires": requires})
        with pytest.raises(BundleError, match="is no version of ExecuTorch"):
            refuse(hostile, "sample", SAMPLE, Settings("App"))


def test_no_bundle(target: list[DeployTarget], tmp_path: Path) -> None:
    with pytest.raises(BundleError):
        api.deploy(tmp_path, "sample", tmp_path / "app")


def test_templates_are_rendered_copied_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "some_templates" / "template" / "src" / "__package__"
    folder.mkdir(parents=True)
    (folder.parents[2] / "__init__.py").touch()
    (folder / "Main.kt.jinja").write_text("val name = {{ name | quoted }}\n")
    (folder / "raw.txt").write_text("{{ name }}")
    monkeypatch.syspath_prepend(tmp_path)
    files = rendered(
        "some_templates", {"name": 'a"b', "package": "org/app"}, filters={"quoted": repr}
    )
    assert files == {
        "src/org/app/Main.kt": "val name = 'a\"b'\n", "src/org/app/raw.txt": b"{{ name }}",
    }  # fmt: skip


def test_every_target_says_what_it_is() -> None:
    for name in DEPLOY_TARGETS:
        assert DEPLOY_TARGETS.get(name).description


def test_the_command_writes_and_tells(
    target: list[DeployTarget], quantized_bundle: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from llm_export.cli.main import main

    place = tmp_path / "app"
    words = ["deploy", str(quantized_bundle), "--to", "sample", str(place)]
    assert main([*words, "--set", "color=red"]) == 0
    out = capsys.readouterr().out
    for part in (f"{place}: 3 files", "color: red", "  make\n  ./bin/run"):
        assert part in out
    assert main([*words, "--set", "red"]) == 2


def test_a_bundle_of_another_task_is_refused() -> None:
    bundle = Bundle(Path("made"), {"task": {"name": "embed", "settings": {}}})
    with pytest.raises(
        BundleError, match=r"of sample are for the task generate or see, and .* embeds"
    ):
        refuse(bundle, "sample", SAMPLE, Settings("app", {}))
