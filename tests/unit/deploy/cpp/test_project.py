"""The C++ project of a bundle: what is refused, and what CMake and the C++ are told."""

from __future__ import annotations

import json
import platform
import re
from dataclasses import replace
from pathlib import Path

import pytest

from llm_export import api
from llm_export.deploy.base import Settings
from llm_export.deploy.cpp.libraries import libraries_of
from llm_export.deploy.cpp.literals import comment, quoted
from llm_export.deploy.cpp.project import cpp_project
from llm_export.deploy.cpp.target import TARGET
from llm_export.deploy.write import write_project
from llm_export.errors import BundleError, RecipeError
from runtime_py.bundle import Bundle

NO_ANSWER = {"test": "false"}


def _changed(bundle: Path, **program: object) -> Bundle:
    opened = Bundle.open(bundle)
    facts = {**opened.manifest["program"], **program}
    return replace(opened, manifest={**opened.manifest, "program": facts})


def test_the_project_says_what_the_manifest_says(portable_bundle: Path, tmp_path: Path) -> None:
    bundle, folder = Bundle.open(portable_bundle), tmp_path / "app"
    project = cpp_project([bundle], Settings("my_chat", NO_ANSWER))
    write_project(project, folder)
    manifest = bundle.manifest
    presets = json.loads((folder / "CMakePresets.json").read_text())
    names = [preset["name"] for preset in presets["configurePresets"]]
    assert names[0] == presets["vendor"]["llm_export"]["build"] == "native"
    found = Path(presets["configurePresets"][0]["cacheVariables"]["executorch_DIR"])
    assert (found / "executorch-config.cmake").is_file()
    assert {p["configurePreset"] for p in presets["testPresets"]} == set(names)

    cmake = (folder / "CMakeLists.txt").read_text()
    sources = re.findall(r"(?:src|tests)/\w+\.cpp", cmake)
    assert len(sources) > 8
    assert all((folder / source).is_file() for source in sources)
    assert "add_executable(my_chat " in cmake
    wheel = (folder / "cmake/executorch_wheel.cmake").read_text()
    assert f"set(executorch_version {manifest['requires']['executorch']})" in wheel
    assert "xnnpack" not in wheel  # the program has no delegate

    facts = (folder / "src/model_facts.h").read_text()
    for name in ("context_length", "vocab_size"):
        assert f"= {manifest['program'][name]};" in facts
    assert f"eos_ids = {{ {', '.join(map(str, manifest['tokenizer']['eos_ids']))} }};" in facts
    assert (folder / "model/model.pte").stat().st_size > 1000
    assert (folder / "tests/texts.txt").read_text().count("\ntext ") > 10
    assert not (folder / "tests/answers.txt").exists()
    assert all("{{" not in f.read_text() for f in folder.rglob("*.h"))
    readme = (folder / "README.md").read_text()
    assert all(step in readme for step in project.steps)


def test_fused_attention_is_refused_unless_executorch_is_built_from_sources(
    quantized_bundle: Path, tmp_path: Path
) -> None:
    with pytest.raises(BundleError, match="no llama::") as refused:
        api.deploy(quantized_bundle, "cpp", tmp_path / "app", options=NO_ANSWER)
    assert refused.value.fix == "export with runtime.attention=plain"
    assert not (tmp_path / "app").exists()

    tree = tmp_path / "executorch"
    (tree / "tools/cmake/preset").mkdir(parents=True)
    with pytest.raises(RecipeError, match="no ExecuTorch source tree"):
        api.deploy(quantized_bundle, "cpp", tmp_path / "app", options={"sources": str(tree)})
    (tree / "tools/cmake/preset/llm.cmake").touch()
    options = {**NO_ANSWER, "sources": str(tree)}
    done = api.deploy(quantized_bundle, "cpp", tmp_path / "app", options=options)
    presets = json.loads((done.folder / "CMakePresets.json").read_text())
    (preset,) = presets["configurePresets"]
    assert preset["cacheVariables"]["EXECUTORCH_SOURCES"] == str(tree)
    assert done.steps[0].startswith("cmake --preset sources ")


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"processor": "mips"}, f"one of {platform.machine()}"),
        ({"test": "maybe"}, "--set test=false"),
        ({"adapter": "poet"}, "keeps no separate adapter"),
        ({"colour": "red"}, "choices: adapter, processor, sources, test"),
    ],
)
def test_wrong_options_are_refused_with_their_choices(
    options: dict[str, str], what: str, portable_bundle: Path, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError) as refused:
        api.deploy(portable_bundle, "cpp", tmp_path / "app", options=options)
    assert what in str(refused.value)


def test_a_program_that_takes_its_caches_is_refused(portable_bundle: Path) -> None:
    assert list(TARGET.obstacles(Bundle.open(portable_bundle))) == []
    (found,) = TARGET.obstacles(_changed(portable_bundle, kv_cache=False))
    assert "caches as inputs" in found.what
    assert "runtime=default" in found.fix


def test_libraries_are_those_of_the_requirements() -> None:
    requires = {
        "backends": ["XnnpackBackend"],
        "operators": ["aten::add.out", "quantized_decomposed::embedding_byte.out"],
    }
    assert libraries_of(requires) == [
        "executorch", "executorch_kernels_optimized", "executorch_threadpool",
        "executorch_kernels_quantized", "executorch_backend_xnnpack",
    ]  # fmt: skip


def test_literals_survive_what_c_plus_plus_would_read_otherwise() -> None:
    assert quoted('a"b\\\n??=') == '"a\\"b\\\\\\n\\?\\?="'
    assert quoted("é1") == '"\\303\\2511"'
    assert comment("name\n#define x \\") == "name #define x"
