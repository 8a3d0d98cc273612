"""The files of the repository."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llm_export.deploy.base import Project, Settings
from llm_export.deploy.bundle_copy import copy_of
from llm_export.deploy.hub.card import render_card
from llm_export.deploy.hub.evidence import private, public_manifest
from llm_export.deploy.hub.licence import front_matter, model_licence
from llm_export.deploy.hub.variants import Variant, shared_roles, variants_of
from llm_export.deploy.react_native.backends import NAMES
from llm_export.deploy.react_native.conversation import with_tokens
from llm_export.deploy.react_native.obstacles import obstacles, tokenizer_config
from llm_export.errors import RecipeError
from llm_export.output.seal import SEAL
from runtime_py.bundle import Bundle

OPTIONS = {
    "repo": "ORG/NAME of the repository, for the addresses in the card; default: ORG/NAME of the "
    "app's name",
    "license": "of the weights, as the hub or people call it; default: what the checkpoint or the "
    "model's option says",
    "base_model": "ORG/NAME of the weights on the hub; default: the recipe's checkpoint.hf_id",
}
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_LARGE = ("*.pte", "*.ptd", "*.safetensors", "tokenizer.json")


def make(bundles: Sequence[Bundle], settings: Settings) -> Project:
    """
    Raises:
        BundleError: two bundles would lie in one folder, or are of several model families.
        RecipeError: an option cannot be what it is.
    """
    repository = _checked("repo", settings.options) or f"ORG/{settings.name}"
    base = _checked("base_model", settings.options)
    variants = variants_of([Bundle(each.path, public_manifest(each.manifest)) for each in bundles])
    files: dict[str, str | bytes] = {
        ".gitattributes": "".join(f"{p} filter=lfs diff=lfs merge=lfs -text\n" for p in _LARGE)
    }
    copies: dict[str, Path] = {}
    notes = []
    for each in variants:
        left_out = private(each.bundle)
        taken = copy_of(each.bundle, without=left_out, renamed={"program": f"{each.name}.pte"})
        files |= taken.files(f"{each.folder}/")
        copies |= {f"{each.folder}/{name}": file for name, file in taken.copies.items()}
        notes += [
            f"{each.name}: {each.bundle.manifest['roles'][role]} stays here, because it has {path}"
            for role, path in left_out.items()
            if path
        ]
    shared = shared_roles(variants)
    for role, name in shared.items():
        file = variants[0].bundle.file(role)
        assert file is not None
        if role == "tokenizer_config":
            files[name] = _for_apps(variants[0].bundle)
        else:
            copies[name] = file
    if not shared:
        notes.append("the bundles have different tokenizers: there is none at the top")
    licence = model_licence(variants[0].recipe, settings.options.get("license"))
    if licence is None:
        notes.append("the licence of the weights is not known here: --set license=NAME")
    files["config.json"] = json.dumps(_config(variants), indent=2) + "\n"
    files["README.md"] = render_card(
        settings.name, repository, variants, _front(variants, licence, base), licence, shared,
        _on_react_native(variants[0].bundle),
    )  # fmt: skip
    upload = f"hf upload {repository} . . --exclude {SEAL}"
    return Project(files, copies, steps=("hf auth login", upload), notes=tuple(notes))


def _for_apps(bundle: Bundle) -> str:
    """tokenizer_config.json with a template that needs nothing but messages."""
    config = tokenizer_config(bundle)
    template = config.get("chat_template")
    if isinstance(template, str):
        tokens = bundle.manifest["tokenizer"]["special_tokens"]
        config["chat_template"] = with_tokens(template, tokens)
    return json.dumps(config, indent=2, ensure_ascii=False) + "\n"


def _on_react_native(bundle: Bundle) -> bool:
    known = {*bundle.manifest["requires"]["backends"]} <= NAMES.keys()
    return known and not obstacles(bundle)


def _front(variants: Sequence[Variant], licence: str | None, said: str | None) -> dict[str, Any]:
    sources = {(each.recipe.get("checkpoint") or {}).get("hf_id") for each in variants}
    base = said or next((s for s in sources if isinstance(s, str)), None)
    quantized = any(each.quant != "none" for each in variants)
    related = {"base_model": base} if base else {}
    if base and quantized:
        related["base_model_relation"] = "quantized"
    backends = sorted({each.backend for each in variants})
    return {
        **front_matter(licence), "library_name": "executorch", **related,
        "pipeline_tag": "text-generation", "tags": ["executorch", "llm_export", *backends],
    }  # fmt: skip


def _config(variants: Sequence[Variant]) -> dict[str, Any]:
    """What hub clients read to know a model: its type, and what all sizes agree on."""
    configs = [(each.recipe.get("model") or {}).get("config") or {} for each in variants]
    agreed = {
        key: configs[0][key]
        for key in configs[0]
        if all(config.get(key) == configs[0][key] for config in configs)
    }
    return {"model_type": variants[0].bundle.manifest["model"]["family"], **agreed}


def _checked(key: str, options: Mapping[str, str]) -> str | None:
    word = options.get(key)
    if word is not None and not _REPOSITORY.fullmatch(word):
        raise RecipeError(
            "a repository of the hub is called ORG/NAME", where=f"--set {key}={word}",
            fix=f"--set {key}=ORG/NAME",
        )  # fmt: skip
    return word
