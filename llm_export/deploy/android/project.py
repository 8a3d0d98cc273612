"""The files of the Android project."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llm_export.deploy.base import Project, Settings
from llm_export.deploy.mobile.facts import AppFacts, facts_of, shown_of
from llm_export.deploy.mobile.quoting import FILTERS
from llm_export.deploy.mobile.said import (
    ANDROID_PART,
    ANDROID_RESERVED,
    SYSTEM,
    URL,
    default_identifier,
    identifier_of,
    system_of,
    url_of,
)
from llm_export.deploy.templates import rendered
from llm_export.errors import BundleError
from runtime_py.bundle import Bundle

BACKENDS = {
    "XnnpackBackend": "org.pytorch:executorch-android",
    "VulkanBackend": "org.pytorch:executorch-android-vulkan",
}
"""Backend -> the module of Maven Central that has it; both have XNNPACK."""
OPTIONS = {
    "package": "name of the app's package; default: com.example.NAME",
    "system": SYSTEM,
    "url": URL,
}
LEFTOVERS = frozenset(
    ("build", "app/build", ".gradle", ".kotlin", ".idea", "local.properties", "gradlew",
     "gradlew.bat", "gradle/wrapper/gradle-wrapper.jar")
)  # fmt: skip
"""What Gradle and Android Studio leave in the folder."""
_GRADLE = "8.13"
_ASSETS = "app/src/main/assets/model"
_LARGEST, _PLAY = 2**31 - 1, 200_000_000


def make(bundles: Sequence[Bundle], said: Settings) -> Project:
    """A Gradle project with the bundle among its assets, or the address of one.

    Raises:
        RecipeError: an option that cannot be.
        BundleError: the program is too large to be an asset.
    """
    (bundle,) = bundles
    facts, options = facts_of(bundle), said.options
    url = url_of(options)
    if url is None:
        _require_asset(bundle, facts)
    package = identifier_of(
        options.get("package", default_identifier(said.name)), ANDROID_PART, ANDROID_RESERVED,
        "package",
    )  # fmt: skip
    library = BACKENDS["VulkanBackend" if "VulkanBackend" in facts.backends else "XnnpackBackend"]
    files = rendered(__package__, {
        "facts": facts, "name": said.name, "dot": ".", "package": package, "library": library,
        "url": url, "package_path": package.replace(".", "/"),
        "system": system_of(options, facts), "shown": shown_of(facts),
    }, filters=FILTERS)  # fmt: skip
    copies = {} if url else {f"{_ASSETS}/{file.name}": file.source for file in facts.files}
    return Project(
        files=files,
        copies=copies,
        steps=(f"gradle wrapper --gradle-version {_GRADLE}", "./gradlew test",
               "./gradlew installDebug"),
        notes=tuple(_notes(facts, url)),
    )  # fmt: skip


def _require_asset(bundle: Bundle, facts: AppFacts) -> None:
    for file in facts.files:
        if file.bytes > _LARGEST:
            raise BundleError(
                f"{file.name} has {file.bytes / 1e9:.1f} GB, and an asset of an Android app at "
                "most 2.1 GB", where=str(bundle.path),
                fix="let the app download it: --set url=https://...",
            )  # fmt: skip


def _notes(facts: AppFacts, url: str | None) -> Iterator[str]:
    yield "Android Studio opens the folder without these steps: it brings Gradle"
    if url is not None:
        names = " and ".join(file.name for file in facts.files)
        yield f"put the bundle's {names} at {url}"
    elif facts.bytes > _PLAY:
        yield (
            f"the model has {facts.bytes / 1e6:.0f} MB: Google Play takes base modules of at most "
            "200 MB; --set url=https://... lets the app download it"
        )
    if facts.ignored:
        yield f"LlmModule samples by temperature alone: without {', '.join(facts.ignored)}"
