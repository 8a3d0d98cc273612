"""The folder that chats with Python alone."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
import venv
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import embed_bundles
import pytest
from packaging.requirements import Requirement

from llm_export import api
from llm_export.deploy.python.requirements import ROOTS, locked, requirements
from llm_export.errors import BundleError, MissingDependencyError
from llm_export.targets.python_runner import NEEDS
from runtime_py.bundle import Bundle


def test_every_file_of_the_folder(quantized_bundle: Path, tmp_path: Path) -> None:
    app = tmp_path / "app"
    done = api.deploy(quantized_bundle, "python", app)
    assert "--no-deps -r requirements.txt" in " ".join(done.steps)
    assert done.notes == (
        "requirements.txt pins ExecuTorch 1.5.1, with which the program was made",
    )
    assert os.access(app / "chat.py", os.X_OK)
    assert "Redistributions of source code" in (app / "runtime_py/LICENSE").read_text()
    bundle = Bundle.open(app / "bundle", verify_hashes=True)
    assert not bundle.manifest["roles"].keys() & {"report", "parity", "recipe"}
    assert (app / "bundle/model.pte").samefile(app / "bundle" / bundle.manifest["roles"]["program"])
    assert not (app / "runtime_py/server").exists()  # its packages are not in the lock
    # Imported by what asks for them alone, and named where they are missing.
    optional = {"llguidance", "huggingface_hub", "pytorch_tokenizers", "PIL", "scipy", "soundfile"}
    known = {"runtime_py", *sys.stdlib_module_names, *ROOTS, *optional}
    for file in app.rglob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                assert {each.name.split(".")[0] for each in node.names} <= known, file
            elif isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] in known, file
    lines = (app / "requirements.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith("--")]
    assert {*NEEDS} <= {each.name for each in pins}
    assert all(re.fullmatch(r"==[\w.+!-]+", str(each.specifier)) for each in pins)


def test_versions_are_of_what_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = locked()
    assert versions["executorch"] == metadata.version("executorch")
    assert "markupsafe" in versions
    assert not {"hypothesis", "coremltools", "huggingface-hub"} & versions.keys()
    found = requirements({"jinja2": "3.1.6", "torch": "2.13.0+cu130"}).splitlines()[1:]
    assert found == [
        "jinja2==3.1.6", 'torch==2.13.0+cpu; sys_platform != "darwin"',
        'torch==2.13.0; sys_platform == "darwin"',
    ]  # fmt: skip
    monkeypatch.setattr(
        "llm_export.deploy.python.requirements.ROOTS", ("no-such-distribution-here",)
    )
    with pytest.raises(MissingDependencyError, match="version of no-such-distribution-here"):
        locked()


@pytest.mark.slow
def test_it_chats_with_what_the_lock_names_and_nothing_else(
    quantized_bundle: Path, tmp_path: Path
) -> None:
    app = tmp_path / "app"
    api.deploy(quantized_bundle, "python", app)
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv/bin/python"
    site = next((tmp_path / "venv/lib").glob("python*/site-packages"))
    for line in (app / "requirements.txt").read_text().splitlines():
        if line.startswith("--"):
            continue
        package = metadata.distribution(Requirement(line).name)
        for top in {file.parts[0] for file in package.files or ()} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(str(package.locate_file(top)))

    def chat(*words: str, said: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python, "-s", str(app / "chat.py"), *words, "--max-new-tokens", "5"], input=said,
            cwd=tmp_path, capture_output=True, text=True, timeout=300,
        )  # fmt: skip

    without = [str(python), "-c", "import llm_export"]
    assert b"No module" in subprocess.run(without, cwd=tmp_path, capture_output=True).stderr
    one = chat("--prompt", "Hello", "--stats")
    assert one.returncode == 0, one.stderr
    assert "5 answered" in one.stderr
    answer = one.stdout.rstrip("\n")
    assert answer
    # A conversation: the same question first gets the same answer, and again after /new.
    talk = chat(said="Hello\n/new\nHello\n")
    assert talk.returncode == 0, talk.stderr
    assert talk.stdout.count(answer) == 2
    (app / "bundle/tokenizer.json").write_text("{}")
    damaged = chat("--prompt", "Hello")
    assert damaged.returncode == 1
    assert damaged.stderr.startswith("error: the bundle is damaged: tokenizer.json")
    assert "Traceback" not in damaged.stderr


def test_a_bundle_that_embeds_gets_its_verb(once: Callable[..., Path], tmp_path: Path) -> None:
    bundle = once(embed_bundles.make, "bundle that embeds")
    done = api.deploy(bundle, "python", tmp_path / "app")
    assert done.steps[-1] == '.venv/bin/python embed.py "A text" "Another one"'
    app = tmp_path / "app"
    assert (app / "bundle/model.pte").is_file()
    assert "Embedder.load" in (app / "README.md").read_text()
    compile((app / "embed.py").read_text(), "embed.py", "exec")
    with pytest.raises(BundleError) as error:
        api.deploy(bundle, "cpp", tmp_path / "other")
    assert "projects of cpp are for the task generate or see, and this bundle embeds texts" in str(
        error.value
    )
    assert f"llm-export deploy {shlex.quote(str(bundle))} --to python FOLDER" in str(
        error.value.fix
    )


@pytest.mark.release  # chat.py, which is run above, is made alike
def test_the_script_of_a_verb_runs(once: Callable[..., Path], tmp_path: Path) -> None:
    api.deploy(once(embed_bundles.make, "bundle that embeds"), "python", tmp_path / "app")
    done = subprocess.run(
        [sys.executable, tmp_path / "app/embed.py", "the sun"], capture_output=True, text=True
    )
    assert len(json.loads(done.stdout)["embedding"]) == 16, done.stderr
