"""The files of the app."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from llm_export.deploy.base import Project, Settings
from llm_export.deploy.markdown import cell
from llm_export.deploy.react_native.backends import NAMES, PLATFORMS
from llm_export.deploy.react_native.conversation import session_of, with_tokens
from llm_export.deploy.react_native.obstacles import tokenizer_config
from llm_export.deploy.react_native.versions import NEWEST, Release, release_of
from llm_export.deploy.templates import rendered
from llm_export.errors import RecipeError
from runtime_py.bundle import Bundle

OPTIONS = {
    "version": f"of react-native-executorch; default: {NEWEST}",
    "url": "https address of a folder with model.pte and tokenizer.json, which the app downloads "
    "once; default: they are part of the app",
    "id": "of the app in the stores, such as org.example.chat; default: com.example.NAME",
}
_URL = re.compile(r"https?://[^\s\"'\\`<>{}?#]+")
_ID = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)+")
_ENGINE = "huggingface_jinja"
"""The library's template engine, as a manifest's ``chat.engines`` calls it."""
_HOTTEST = 1.0
"""The library takes no higher temperature."""
_LARGE = 512e6
"""Bytes of a model above which an app should download it."""


def make(bundles: Sequence[Bundle], settings: Settings) -> Project:
    """
    Raises:
        RecipeError: an option cannot be what it is.
    """
    [bundle] = bundles
    release = release_of(settings.options.get("version", NEWEST))
    url = _url(settings.options.get("url"))
    config = tokenizer_config(bundle)
    tokens = bundle.manifest["tokenizer"]["special_tokens"]
    config["chat_template"] = with_tokens(config["chat_template"], tokens)
    variables = {
        "name": settings.name, "url": url, "executorch": bundle.manifest["requires"]["executorch"],
        "model": bundle.manifest["name"], "facts": _facts(bundle, config["chat_template"]),
        "library": release.packages["react-native-executorch"],
    }  # fmt: skip
    files = rendered(__package__, variables, filters={"json": _json, "cell": cell})
    files["package.json"] = _json(_package(bundle, settings, release))
    files["app.json"] = _json(_app(settings, release))
    # Metro reads .json as program text, so the app's copies are named as what they are to it.
    files["assets/tokenizer_config.bin"] = json.dumps(config, ensure_ascii=False)
    program, tokenizer = bundle.file("program"), bundle.file("tokenizer")
    assert program is not None
    assert tokenizer is not None
    copies = {"assets/model.pte": program, "assets/tokenizer.bin": tokenizer}
    return Project(
        files, {} if url else copies,
        steps=("npm install", "npx expo run:android", "npx expo run:ios"),
        notes=tuple(_notes(bundle, url, program.stat().st_size)),
    )  # fmt: skip


def _facts(bundle: Bundle, template: str) -> dict[str, Any]:
    """What the app's code reads of the bundle, as its type ``Facts`` has it."""
    manifest = bundle.manifest
    session = session_of(template)
    assert session is not None
    rewinds = manifest["program"].get("rewind") is None
    return {
        "name": manifest["name"],
        "contextLength": manifest["program"]["context_length"],
        "temperature": min(manifest["sampling"]["temperature"], _HOTTEST),
        "maxNewTokens": manifest["sampling"]["max_new_tokens"],
        "turnTokens": list(manifest["tokenizer"].get("stop_strings") or ()),
        "normalizes": manifest["tokenizer"]["normalization"] == "NFC",
        "takesSystemPrompt": session.system,
        # A cache that cannot be rewound is fed anew from position 0.
        "resetOnTurn": session.reset_on_turn or not rewinds,
    }


def _package(bundle: Bundle, settings: Settings, release: Release) -> dict[str, Any]:
    backends = [NAMES[name] for name in bundle.manifest["requires"]["backends"]]
    return {
        "name": settings.name.lower(), "version": "1.0.0", "private": True, "main": "index.ts",
        "scripts": {
            "start": "expo start --dev-client", "android": "expo run:android",
            "ios": "expo run:ios", "typecheck": "tsc --noEmit",
        },
        "react-native-executorch": {"backends": backends, "libs": []},
        "dependencies": dict(release.packages),
        "devDependencies": dict(release.tools),
    }  # fmt: skip


def _app(settings: Settings, release: Release) -> dict[str, Any]:
    identifier = settings.options.get("id")
    if identifier is None:
        identifier = f"com.example.{re.sub('[^a-z0-9]', '', settings.name.lower())}"
    elif not _ID.fullmatch(identifier):
        raise RecipeError(
            "an app's id has letters, digits and _ in parts between dots, each of which begins "
            "with a letter", where=f"--set id={identifier}", fix="--set id=org.example.chat",
        )  # fmt: skip
    built = {"ios": {"deploymentTarget": release.ios},
             "android": {"minSdkVersion": release.android_sdk}}  # fmt: skip
    return {
        "expo": {
            "name": settings.name, "slug": settings.name.lower(), "version": "1.0.0",
            "orientation": "portrait", "userInterfaceStyle": "automatic",
            "platforms": ["android", "ios"],
            "ios": {"bundleIdentifier": identifier.replace("_", "-")},
            "android": {"package": identifier},
            "plugins": [["expo-build-properties", built], "expo-asset", "expo-status-bar"],
        }
    }  # fmt: skip


def _notes(bundle: Bundle, url: str | None, size: int) -> list[str]:
    notes = []
    for delegate in bundle.manifest["requires"]["backends"]:
        if delegate in PLATFORMS:
            notes.append(f"{delegate} is on {PLATFORMS[delegate]} alone: so is this app")
    if url is None and size > _LARGE:
        notes.append(
            f"model.pte has {size / 1e6:,.0f} MB, much for an app's package: --set url=ADDRESS "
            "lets the app download it"
        )
    engine = bundle.manifest.get("chat", {}).get("engines", {}).get(_ENGINE)
    if engine is not None and engine["failed"]:
        notes.append(
            "the library's template engine renders other texts than Jinja2 for "
            f"{len(engine['failed'])} of {engine['of']} conversations: "
            f"{', '.join(engine['failed'][:5])}"
        )
    if url is not None:
        notes.append(f"copy model.pte and tokenizer.json of the bundle to {url}")
    return notes


def _url(word: str | None) -> str | None:
    if word is not None and not _URL.fullmatch(word):
        raise RecipeError(
            "this is no http or https address of a folder", where=f"--set url={word}",
            fix="--set url=https://example.com/folder",
        )  # fmt: skip
    return None if word is None else word.rstrip("/")


def _json(value: object) -> str:
    """JSON, which is an expression of TypeScript too."""
    return json.dumps(value, indent=2, ensure_ascii=True) + "\n"
