"""The files of the iOS project."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from llm_export.deploy.base import Project, Settings
from llm_export.deploy.ios.xcode import XcodeApp, project_file
from llm_export.deploy.mobile.facts import AppFacts, facts_of, shown_of
from llm_export.deploy.mobile.quoting import FILTERS
from llm_export.deploy.mobile.said import (
    SYSTEM,
    URL,
    default_identifier,
    identifier_of,
    system_of,
    url_of,
)
from llm_export.deploy.templates import rendered
from runtime_py.bundle import Bundle

BACKENDS = {"XnnpackBackend": "backend_xnnpack", "CoreMLBackend": "backend_coreml"}
"""Backend -> the product of ExecuTorch's Swift package that has it."""
OPTIONS = {
    "identifier": "the app's bundle identifier; default: com.example.NAME",
    "system": SYSTEM,
    "url": URL,
}
PACKAGE = "https://github.com/pytorch/executorch.git"
_PRODUCTS = (
    "executorch",
    "executorch_llm",
    "kernels_llm",
    "kernels_optimized",
    "kernels_quantized",
)
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
_MODEL, _CELLULAR = "Model", 200_000_000


def make(bundles: Sequence[Bundle], said: Settings) -> Project:
    """An Xcode project with the bundle in it, or the address of one.

    Raises:
        RecipeError: an option that cannot be.
    """
    (bundle,) = bundles
    facts, options = facts_of(bundle), said.options
    url = url_of(options)
    identifier = identifier_of(
        options.get("identifier", default_identifier(said.name)), _PART, frozenset(), "identifier"
    )
    products = [*_PRODUCTS, *(BACKENDS[name] for name in BACKENDS if name in facts.backends)]
    branch = f"swiftpm-{facts.executorch}"
    files = rendered(__package__, {
        "facts": facts, "name": said.name, "dot": ".", "url": url,
        "system": system_of(options, facts), "products": products,
        "shown": shown_of(facts),
    }, filters=FILTERS)  # fmt: skip
    app = XcodeApp(
        name=said.name,
        identifier=identifier,
        sources=tuple(sorted(path for path in files if path.endswith(".swift"))),
        folders=() if url else (_MODEL,),
        package=PACKAGE,
        branch=branch,
        products=tuple(products),
    )
    return Project(
        files={**files, f"{said.name}.xcodeproj/project.pbxproj": project_file(app)},
        copies={} if url else {f"{_MODEL}/{file.name}": file.source for file in facts.files},
        steps=(f"open {said.name}.xcodeproj",),
        notes=tuple(_notes(facts, url)),
    )


def _notes(facts: AppFacts, url: str | None) -> Iterator[str]:
    yield "needs a Mac with Xcode 15 or later; choose your team under Signing & Capabilities"
    if url is not None:
        names = " and ".join(file.name for file in facts.files)
        yield f"put the bundle's {names} at {url}"
    elif facts.bytes > _CELLULAR:
        yield (
            f"the model has {facts.bytes / 1e6:.0f} MB: the App Store asks before it loads more "
            "than 200 MB without Wi-Fi; --set url=https://... lets the app download it"
        )
    if facts.ignored:
        yield f"TextRunner samples by temperature alone: without {', '.join(facts.ignored)}"
