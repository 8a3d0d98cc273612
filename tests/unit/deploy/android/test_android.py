"""The Android project: every file is what its name says."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
import tomllib
from syntax_tools import mistakes

from llm_export import api
from llm_export.deploy.android import TARGET
from llm_export.deploy.android import project as android
from llm_export.deploy.base import Settings
from llm_export.errors import BundleError
from runtime_py.bundle import Bundle

ANDROID = "{http://schemas.android.com/apk/res/android}"
SOURCES = "app/src/main/kotlin/org/acme/talk"


def test_the_project_parses_and_has_the_bundle(quantized_bundle: Path, tmp_path: Path) -> None:
    done = api.deploy(
        quantized_bundle, "android", tmp_path / "app", name="Talk",
        options={"package": "org.acme.talk", "system": 'Be "$kind".'},
    )  # fmt: skip
    files = {p.relative_to(done.folder).as_posix(): p for p in done.folder.rglob("*.*")}
    kotlin = [name for name in files if name.endswith((".kt", ".kts"))]
    assert len(kotlin) == 18
    assert {name: mistakes("kotlin", files[name].read_text()) for name in kotlin} == {
        name: [] for name in kotlin
    }
    parsed = {n: ElementTree.parse(p).getroot() for n, p in files.items() if n.endswith(".xml")}
    manifest = parsed["app/src/main/AndroidManifest.xml"]
    assert manifest.findall("uses-permission") == []
    assert {string.get("name"): string.text for string in
            parsed["app/src/main/res/values/strings.xml"]}["app_name"] == "Talk"  # fmt: skip
    versions = tomllib.loads(files["gradle/libs.versions.toml"].read_text())
    requires = Bundle.open(quantized_bundle).manifest["requires"]
    assert versions["versions"]["executorch"] == requires["executorch"]
    assert versions["libraries"]["executorch"]["module"] == "org.pytorch:executorch-android"
    used = {entry["version.ref"] if "version.ref" in entry else entry.get("version", {}).get("ref")
            for part in ("libraries", "plugins") for entry in versions[part].values()}  # fmt: skip
    assert used - {None} == set(versions["versions"])
    assert (
        'val SYSTEM: String? = "Be \\"\\$kind\\"."'
        in files[f"{SOURCES}/logic/BundleFacts.kt"].read_text()
    )
    for name in ("model.pte", "tokenizer.json"):
        copy = files[f"app/src/main/assets/model/{name}"]
        assert copy.read_bytes() == (quantized_bundle / name).read_bytes()
    assert done.steps[-1] == "./gradlew installDebug"


def test_a_download_needs_the_network_and_no_copy(quantized_bundle: Path) -> None:
    bundle = Bundle.open(quantized_bundle)
    project = TARGET.make([bundle], Settings("App", {"url": "https://example.com/m"}))
    assert project.copies == {}
    manifest = ElementTree.fromstring(project.files["app/src/main/AndroidManifest.xml"])
    asked = [each.get(f"{ANDROID}name") for each in manifest.findall("uses-permission")]
    assert asked == ["android.permission.INTERNET"]
    facts = project.files["app/src/main/kotlin/com/example/app/logic/BundleFacts.kt"]
    assert 'DOWNLOAD_URL: String? = "https://example.com/m/"' in str(facts)


def test_the_library_has_the_backend(quantized_bundle: Path) -> None:
    bundle = Bundle.open(quantized_bundle)
    requires = {**bundle.manifest["requires"], "backends": ["VulkanBackend"], "executorch": '1"5'}
    vulkan = Bundle(bundle.path, {**bundle.manifest, "requires": requires, "name": '"]x\n=${y}'})
    files = TARGET.make([vulkan], Settings("App")).files
    versions = tomllib.loads(str(files["gradle/libs.versions.toml"]))
    assert versions["libraries"]["executorch"]["module"] == "org.pytorch:executorch-android-vulkan"
    assert versions["versions"]["executorch"] == '1"5'
    assert '"\\"]x\\n=\\${y}"' in str(
        files["app/src/main/kotlin/com/example/app/logic/BundleFacts.kt"]
    )


def test_an_asset_has_a_size_that_android_takes(
    quantized_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = Bundle.open(quantized_bundle)
    facts = android.facts_of(bundle)
    huge = replace(facts, files=(replace(facts.files[0], bytes=2**31), facts.files[1]))
    monkeypatch.setattr(android, "facts_of", lambda bundle: huge)
    with pytest.raises(BundleError, match=r"2.1 GB, and an asset of an Android app"):
        TARGET.make([bundle], Settings("App"))
    assert TARGET.make([bundle], Settings("App", {"url": "https://example.com"})).copies == {}


@pytest.mark.skipif(shutil.which("aapt2") is None, reason="needs aapt2 (apt-get install aapt)")
def test_android_compiles_the_resources(quantized_bundle: Path, tmp_path: Path) -> None:
    project = TARGET.make([Bundle.open(quantized_bundle)], Settings("App"))
    for name, content in project.files.items():
        if "/res/" in name:
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content.encode() if isinstance(content, str) else content)
    done = subprocess.run(
        ["aapt2", "compile", "--dir", "app/src/main/res", "-o", "resources.zip"], cwd=tmp_path,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
