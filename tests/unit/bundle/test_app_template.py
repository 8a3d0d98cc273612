"""Engines of apps render the template in tokenizer_config.json as Jinja2 renders the model's."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from chat_templates import TEMPLATES
from report_files import manifest as small_manifest

from llm_export import api
from llm_export.bundle.app_template import settle_app_template
from llm_export.bundle.chat_format import chat_entry
from llm_export.bundle.manifest import Manifest
from llm_export.bundle.write import seal
from llm_export.cli.main import main
from llm_export.errors import BundleError
from llm_export.report import templates
from llm_export.report.page.evidence import read_evidence
from llm_export.report.page.run import run_page
from llm_export.template_engines import ENGINES
from llm_export.template_engines.base import NOW, Missing
from llm_export.template_engines.jinja2 import ENGINE as JINJA2

SPECIALS = {"bos_token": "<s>", "eos_token": "</s>"}
ABSENT = {"huggingface_jinja", "minijinja", "litert_lm"}


def bundle(folder: Path, source: str | None) -> Manifest:
    """A bundle's files without a program."""
    config: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", **SPECIALS}
    if source is not None:
        config["chat_template"] = source
        (folder / "chat_template.jinja").write_text(source, encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    for name in ("model.pte", "tokenizer.json"):
        (folder / name).write_text("{}")
    manifest = Manifest.from_dict(small_manifest("mine"))
    chat = None if source is None else chat_entry(source, SPECIALS, NOW)
    tokens = replace(manifest.tokenizer, special_tokens=SPECIALS)
    return seal(folder, replace(manifest, chat=chat, tokenizer=tokens))


def said_of(manifest: Manifest) -> Any:
    """What the manifest says of the chat template."""
    return manifest.as_dict().get("chat")


def without(monkeypatch: pytest.MonkeyPatch, names: set[str]) -> None:
    for name in names:
        engine = ENGINES.get(name)
        monkeypatch.setattr(type(engine), "missing", lambda self: Missing("it is away", "fetch it"))


def test_apps_get_the_portable_template(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = TEMPLATES["llama3_tools"]
    manifest = settle_app_template(tmp_path, bundle(tmp_path, source))
    seal(tmp_path, manifest)
    app = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert (tmp_path / "chat_template.jinja").read_text() == source
    assert app["tokenizer_class"] == "PreTrainedTokenizerFast"
    given = {"messages": [{"role": "user", "content": "a"}], **SPECIALS}
    old, new = JINJA2.render([source, app["chat_template"]], [given])
    assert source != app["chat_template"]
    assert old == new
    said = said_of(manifest)
    assert {"months", "missing_trim", "omitted_variables"} <= set(templates.rewriting_rules(said))
    here = [name for name in ENGINES.in_order() if ENGINES.get(name).missing() is None]
    assert said["engines"] == {name: {"same": 35, "of": 35, "failed": []} for name in here}
    page = run_page(read_evidence(tmp_path, manifest.as_dict(), None, {}))
    assert re.search(r">jinja2</th>\s*<td class=.n.>35 of 35</td>", page)
    assert "| jinja2 | 35 of 35 | – |" in templates.markdown(said)
    assert main(["verify", str(tmp_path), "--templates"]) == 0
    printed = capsys.readouterr().out
    assert "35 of 35 conversations as Jinja2" in printed
    assert "swift-jinja" in printed
    if "huggingface_jinja" in here:
        assert "; 0 with chat_template.jinja" in printed


def test_without_engines_a_template_is_portable_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without(monkeypatch, ABSENT)
    source = "{{ bos_token }}" + TEMPLATES["chatml"].replace("%}{", "%}\r\n{")
    manifest = settle_app_template(tmp_path, bundle(tmp_path, source))
    assert manifest.chat is not None
    assert manifest.chat.rewritten == ("line_ends", "omitted_variables")
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert config["chat_template"].startswith("{% if bos_token is not defined %}")
    assert "\r" not in config["chat_template"]
    assert list(manifest.chat.engines or {}) == ["jinja2"]
    said = templates.markdown(said_of(manifest))
    assert "Not tried here: huggingface_jinja, minijinja, litert_lm." in said
    assert main(["verify", str(tmp_path), "--templates"]) == 0
    assert "not tried: it is away; fetch it" in capsys.readouterr().out


def test_a_difference_is_shown_and_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a bundle whose template for apps says something else."""
    without(monkeypatch, ABSENT)
    bundle(tmp_path, TEMPLATES["chatml"])
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    config["chat_template"] = config["chat_template"].replace("im_end", "im_stop")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    assert main(["verify", str(tmp_path), "--templates", "--quiet"]) == 2
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("Jinja2")
    assert "  question: …' 2 + 2?<|im_end|>" in printed[1]


def test_a_bundle_without_a_template_has_nothing_to_compare(tmp_path: Path) -> None:
    manifest = bundle(tmp_path, None)
    assert settle_app_template(tmp_path, manifest) == manifest
    with pytest.raises(BundleError, match="no chat template"):
        api.compare_templates(tmp_path)
    assert templates.markdown(said_of(manifest)) == ""
