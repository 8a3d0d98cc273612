"""What the user said of an app for a phone, checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from llm_export.deploy.mobile.facts import AppFacts
from llm_export.errors import RecipeError

URL = (
    "folder on your server with model.pte and tokenizer.json: the app downloads them once, and "
    "the project has no copy"
)
SYSTEM = "system prompt of every conversation"
_HOST = re.compile(r"[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]")


def url_of(options: Mapping[str, str]) -> str | None:
    """The address of the folder, with a slash at its end; None: the files are in the app.

    Raises:
        RecipeError: no https address of a folder.
    """
    said = options.get("url")
    if said is None:
        return None
    try:
        parts = urlsplit(said)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        parts, host = urlsplit(""), ""
    plain = said.isascii() and said.isprintable() and not set(said) & set(' <>"\\^`{|}')
    if not plain or parts.scheme != "https" or not _HOST.fullmatch(host) or parts.username:
        raise RecipeError(
            "the app downloads over https, from an address without user name",
            where=f"--set url={said}",
            fix="--set url=https://example.com/models/mine",
        )  # fmt: skip
    if parts.query or parts.fragment:
        raise RecipeError(
            "the names of the files are put after this address, so it has neither ? nor #",
            where=f"--set url={said}", fix="a folder, such as https://example.com/models/mine",
        )  # fmt: skip
    return said.rstrip("/") + "/"


def system_of(options: Mapping[str, str], facts: AppFacts) -> str | None:
    """
    Raises:
        RecipeError: the chat template has no turn for it.
    """
    said = options.get("system")
    if not said or not said.strip():
        return None
    if not facts.takes_system:
        raise RecipeError(
            "this model's chat template has no turn for a system prompt", where="--set system=",
            fix="leave it out",
        )  # fmt: skip
    return said


def identifier_of(said: str, pattern: re.Pattern[str], reserved: frozenset[str], key: str) -> str:
    """
    Raises:
        RecipeError: no name of an app for its store, such as com.example.chat.
    """
    parts = said.split(".")
    if len(parts) < 2 or len(said) > 150 or not all(map(pattern.fullmatch, parts)):
        raise RecipeError(
            "an app's identifier has two or more parts of letters and digits with dots between",
            where=f"--set {key}={said}", fix=f"--set {key}=com.example.chat",
        )  # fmt: skip
    taken = [part for part in parts if part in reserved]
    if taken:
        raise RecipeError(
            f"'{taken[0]}' is a word of the language, which no package is called",
            where=f"--set {key}={said}", fix=f"--set {key}=com.example.chat",
        )  # fmt: skip
    return said


def default_identifier(name: str) -> str:
    """com.example.NAME, of the letters and digits of the app's name."""
    letters = re.sub(r"[^a-z0-9]", "", name.lower())
    return f"com.example.{letters if letters[:1].isalpha() else f'app{letters}'}"
