"""The runtime as a distribution of its own, and its command line."""

from __future__ import annotations

import importlib.util
import io
import os
import subprocess
import sys
import venv
from configparser import ConfigParser
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement

import llm_export
import runtime_py
from runtime_py import __main__ as command_line
from runtime_py import _version
from runtime_py.errors import MissingPackageError
from runtime_py.installed import conflict

REPO = Path(__file__).parents[3]
ENVIRONMENT = {**os.environ, "PYTHONPATH": "", "PYTHONNOUSERSITE": "1"}


def project() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "runtime_project", REPO / "docs_tools/runtime_project.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_its_project_follows_setup_cfg() -> None:
    made = project()
    written = made.FILE.read_text(encoding="utf-8")
    assert written == made.text(), "run docs_tools/runtime_project.py"
    assert _version.__version__ == llm_export.__version__
    assert (REPO / "runtime_py/LICENSE").read_text() == (REPO / "LICENSE").read_text()


def test_files_that_are_no_code_ship() -> None:
    settings = ConfigParser()
    settings.read(REPO / "setup.cfg")
    data = settings["options.package_data"]
    shipped = {
        file
        for package, patterns in data.items()
        if package.split(".")[0] == "runtime_py"
        for pattern in patterns.split(",")
        for file in (REPO / package.replace(".", "/")).glob(pattern.strip())
        if file.is_file()
    }
    project_only = {
        REPO / "runtime_py" / name for name in ("LICENSE", "README.md", "pyproject.toml")
    }
    found = {
        file
        for file in (REPO / "runtime_py").rglob("*")
        if file.is_file() and file.suffix not in (".py", ".pyc") and ".egg-info" not in str(file)
    }
    assert found - shipped == project_only


def test_two_versions_in_one_place_are_told(tmp_path: Path) -> None:
    folder = str(tmp_path)
    assert conflict(folder) is None
    (tmp_path / "llm_export-0.2.0.dist-info").mkdir()
    assert conflict(folder) is None
    (tmp_path / "llm_export_runtime-0.2.0.dist-info").mkdir()
    assert conflict(folder) is None
    url = tmp_path / "llm_export-0.2.0.dist-info/direct_url.json"
    for text in ("{", "[]", '{"dir_info": {}}', '{"archive_info": {}}'):
        url.write_text(text)
        assert conflict(folder) is None
    url.write_text('{"dir_info": {"editable": true}, "url": "file:///src"}')
    said = conflict(folder)
    assert said is not None
    assert "not that of llm_export's working tree" in said
    url.unlink()
    (tmp_path / "llm_export_runtime-0.2.0.dist-info").rename(
        tmp_path / "llm_export_runtime-0.1.0.dist-info"
    )
    said = conflict(folder)
    assert said is not None
    assert "llm_export 0.2.0 and llm_export_runtime 0.1.0" in said
    assert "pip uninstall llm_export_runtime" in said
    assert conflict(str(tmp_path / "archive.zip")) is None


def test_without_executorch_the_install_line_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from runtime_py import compat

    monkeypatch.setattr(compat, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match="ExecuTorch is not installed") as told:
        compat._package()
    assert "pip install --no-deps" in str(told.value)
    assert isinstance(told.value, ImportError)


def test_the_command_line(
    portable_bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command_line.main([]) == 0
    assert "python -m runtime_py chat BUNDLE" in capsys.readouterr().out
    assert command_line.main(["chatt"]) == 2
    assert "there is no verb 'chatt'" in capsys.readouterr().err
    monkeypatch.setitem(command_line._PROGRAMS, "serve", "runtime_py.no_server")
    assert command_line.main(["serve", "nowhere"]) == 2
    assert "this copy of the runtime has no serve" in capsys.readouterr().err
    assert command_line.main(["generate", "nowhere", "--prompt", "a"]) == 2
    assert "error: there is no such bundle" in capsys.readouterr().err
    bundle = str(portable_bundle)
    words = ["--max-new-tokens", "3", "--stats"]
    assert command_line.main(["generate", bundle, "--prompt", "abc", *words]) == 0
    out, err = capsys.readouterr()
    assert out.endswith("\n")
    assert "3 generated" in err
    assert command_line.main(["chat", bundle, "--message", "hi", *words]) == 0
    assert "3 generated" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"hi\nyes\n/reset\n/help\nhi\n{'long ' * 500}\n"))
    assert command_line.main(["chat", bundle, "--system", "be brief", *words]) == 0
    out, err = capsys.readouterr()
    first, _, again = out.splitlines()
    assert first == again
    counts = [line for line in err.splitlines() if "prompt tokens" in line]
    assert ["(0 cached)" in line for line in counts] == [True, False, False]
    assert "error: the prompt has" in err
    assert "there is no command /help; /reset starts a new conversation" in err
    assert "/reset starts over" in err
    assert err.count("[cut off: max_new_tokens is reached]") == 3


@pytest.mark.slow
def test_it_chats_where_nothing_else_is(portable_bundle: Path, tmp_path: Path) -> None:
    """The wheel in an environment with what it requires, and ExecuTorch without its own
    requirements."""
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
         "--no-index", "--wheel-dir", str(tmp_path), str(REPO / "runtime_py")], check=True,
    )  # fmt: skip
    [wheel] = tmp_path.glob("llm_export_runtime-*.whl")
    venv.create(tmp_path / "env", with_pip=False)
    site = next((tmp_path / "env/lib").glob("python*/site-packages"))
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(tmp_path / "env/bin/python"), "install",
         "--quiet", "--no-deps", "--no-index", str(wheel)], check=True,
    )  # fmt: skip
    names = {"executorch"}
    waiting = [*project().NEEDS]
    while waiting:
        name = waiting.pop()
        if name not in names:
            names.add(name)
            needs = map(Requirement, metadata.requires(name) or ())
            waiting += [each.name for each in needs if not each.marker or each.marker.evaluate()]
    assert not names & {"pandas", "coremltools", "hydra-core", "torchao", "scikit-learn"}
    for name in names:
        package = metadata.distribution(name)
        for top in {file.parts[0] for file in package.files or ()} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(str(package.locate_file(top)))
    done = subprocess.run(
        [tmp_path / "env/bin/llm-runtime", "chat", str(portable_bundle), "--message", "hi",
         "--max-new-tokens", "3", "--stats"], cwd=tmp_path, env=ENVIRONMENT, capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "3 generated" in done.stderr
    where = [
        str(tmp_path / "env/bin/python"),
        "-c",
        "import runtime_py; print(runtime_py.__file__)",
    ]
    found = subprocess.run(where, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
    assert found.stdout.startswith(str(site)), found.stderr
    assert runtime_py.__file__ not in found.stdout
