"""Known faults of installed versions: found here, and refused where they concern a recipe."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from llm_export import api
from llm_export.backends import known_issues as known
from llm_export.backends.known_issues import KNOWN, KnownIssue, issues_here
from llm_export.checks.known_issues import version_findings
from llm_export.cli.main import main
from llm_export.resolve.recipe import resolve

BY_ID = {issue.id: issue for issue in KNOWN}
ACME = KnownIssue(
    "acme", "acme_kernels 1.0 adds where it should multiply", "https://acme.test/1",
    "pip install acme_kernels==1.1", ("acme_kernels==1.0",), ("portable",),
)  # fmt: skip


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """install(name, version): what pip would say is installed, before what really is."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(name: str, version: str) -> None:
        info = tmp_path / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")

    return make


def test_each_says_what_and_how_to_be_rid_of_it() -> None:
    assert len(BY_ID) == len(KNOWN)
    for issue in KNOWN:
        assert issue.link.startswith("https://")
        assert issue.fix
        assert not issue.what.endswith(".")
        assert issue.packages, "nothing is forever: say of which versions"
        assert issue.backends or issue.guard


def test_versions_decide(install: Callable[[str, str], None]) -> None:
    install("openvino", "2026.4.1")
    install("nncf", "3.4.0")
    assert BY_ID["openvino-2026-crashes"].is_here()
    assert not BY_ID["nncf-wants-openvino-2026"].is_here()
    assert not BY_ID["nncf-wants-old-torch"].is_here()


def test_two_packages_that_do_not_go_together(install: Callable[[str, str], None]) -> None:
    install("openvino", "2025.4.1")
    install("nncf", "3.4.0")
    here = {issue.id for issue in issues_here()}
    assert "nncf-wants-openvino-2026" in here
    assert "openvino-2026-crashes" not in here


def test_the_system_decides_too(
    install: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    install("ai_ml_sdk_model_converter", "0.10.0")
    issue = BY_ID["model-converter-wants-glibc-2.38"]
    for found, there in (
        (("glibc", "2.36"), True),
        (("glibc", "2.39"), False),
        (("", ""), False),
    ):
        monkeypatch.setattr("platform.libc_ver", lambda found=found: found)
        assert issue.is_here() is there


def test_one_that_concerns_the_backend_is_a_problem_of_the_machine(
    install: Callable[[str, str], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(known, "KNOWN", (ACME,))
    words = ["model=tiny", "backend=portable"]
    assert version_findings(resolve(api.compose_recipe(None, words).recipe)) == []
    install("acme_kernels", "1.0")
    assert main(["validate", *words]) == 3
    said = capsys.readouterr().err
    assert "acme_kernels 1.0 adds where it should multiply (https://acme.test/1)" in said
    assert "fix:   pip install acme_kernels==1.1" in said
    assert main(["validate", "model=tiny", "backend=xnnpack"]) == 0
    capsys.readouterr()
    assert main(["doctor"]) == 0
    assert "  acme: acme_kernels 1.0 adds" in capsys.readouterr().out


def test_faults_of_behaviour_do_not_refuse_a_recipe() -> None:
    assert version_findings(resolve(api.compose_recipe(None, ["backend=xnnpack"]).recipe)) == []
    assert "xnnpack-weight-only" in {issue.id for issue in issues_here()}
