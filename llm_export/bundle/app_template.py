"""The chat template of tokenizer_config.json, which apps render with engines other than Jinja2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from llm_export.bundle.chat_format import EngineEntry
from llm_export.bundle.manifest import Manifest
from llm_export.bundle.roles import ROLES
from llm_export.errors import BundleError, LlmExportError
from llm_export.files import read_json, write_json
from llm_export.template_engines import ENGINES
from llm_export.template_engines.compare import EngineRow
from llm_export.template_engines.portable import Examined, compare_templates, examine
from runtime_py.errors import BundleRuntimeError
from runtime_py.manifest import read_manifest

_KEY = "chat_template"


def settle_app_template(folder: Path, manifest: Manifest) -> Manifest:
    """Put the portable form of chat_template.jinja into tokenizer_config.json, and what engines
    make of it into the manifest.

    A bundle without a chat template, or whose template renders no conversation, stays as it is.
    """
    file, config_file = folder / ROLES[_KEY], folder / ROLES["tokenizer_config"]
    if manifest.chat is None or not file.is_file() or not config_file.is_file():
        return manifest
    source = _text(file)
    found = _examined(source, tuple(sorted(manifest.tokenizer.special_tokens.items())), _here())
    if found is None:
        return manifest
    config = read_json(config_file)
    if config.get(_KEY) == source != found.app.source:
        write_json(config_file, {**config, _KEY: found.app.source})
    chat = replace(manifest.chat, engines=entries(found.rows), rewritten=found.app.rules or None)
    return replace(manifest, chat=chat)


@lru_cache(maxsize=4)  # a sweep has one template for all its variants
def _examined(
    source: str, special_tokens: tuple[tuple[str, str], ...], engines: frozenset[str]
) -> Examined | None:
    return examine(source, dict(special_tokens))


def _here() -> frozenset[str]:
    """The engines that can be tried."""
    return frozenset(name for name in ENGINES if ENGINES.get(name).missing() is None)


def _text(file: Path) -> str:
    """With its own line ends, as tokenizer_config.json has them."""
    return file.read_bytes().decode("utf-8")


def entries(rows: tuple[EngineRow, ...]) -> Mapping[str, EngineEntry]:
    """What the manifest says of the engines that were tried, about the last template."""
    return {
        row.name: EngineEntry(
            row.results[-1].same, row.results[-1].of,
            tuple(one.conversation for one in row.results[-1].failed),
        )
        for row in rows
        if row.results
    }  # fmt: skip


def compare_in_engines(folder: Path) -> list[EngineRow]:
    """What each engine makes of a bundle's templates: chat_template.jinja, and the one for apps.

    Raises:
        BundleError: the bundle has no valid manifest or no chat template, or Jinja2 renders none of
            the conversations.
    """
    try:
        manifest = read_manifest(folder)
        source = _text(folder / ROLES[_KEY])
        app = read_json(folder / ROLES["tokenizer_config"]).get(_KEY)
    except BundleRuntimeError as error:
        raise BundleError(error.what, where=error.where, fix=error.fix) from None
    except (OSError, UnicodeDecodeError, LlmExportError):
        raise BundleError(
            "the bundle has no chat template, or no tokenizer_config.json",
            where=str(folder), fix="export a model that has a chat template",
        ) from None  # fmt: skip
    # An app needs a text; without one there is nothing to compare but the original.
    sources = [source, app if isinstance(app, str) else source]
    rows = compare_templates(sources, manifest["tokenizer"]["special_tokens"])
    if rows is None:
        raise BundleError(
            "Jinja2 renders no conversation with the chat template",
            where=str(folder / ROLES[_KEY]), fix="llm-export chat BUNDLE says why",
        )  # fmt: skip
    return rows
