"""README.md of the repository: the hub's card, and a table of its programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any
from urllib.parse import quote

import yaml

from llm_export.deploy.hub.variants import Variant, as_json
from llm_export.deploy.markdown import cell
from llm_export.deploy.templates import template_environment
from llm_export.metrics import columns
from llm_export.metrics.value import present


def render_card(
    title: str,
    repository: str,
    variants: Sequence[Variant],
    front: Mapping[str, Any],
    licence: str | None,
    shared: Mapping[str, str],
    react_native: bool,
) -> str:
    """
    Args:
        front: keys of the YAML at the head.
        licence: of the weights, for people; None: not known.
        shared: role -> name of the files at the top.
        react_native: whether react-native-executorch takes the first program.
    """
    environment = template_environment({"cell": cell})
    source = resources.files("llm_export.deploy.hub").joinpath("card.md.jinja").read_text("utf-8")
    first = variants[0]
    return environment.from_string(source).render(
        front=_front_matter(front),
        title=title,
        repository=repository,
        base=f"https://huggingface.co/{repository}/resolve/main",
        sources=sorted({each.bundle.manifest["model"]["checkpoint"] for each in variants}),
        headings=_headings(variants),
        rows=[_row(each, variants) for each in variants],
        speeds=[speed for each in variants if (speed := _speed(each)) is not None],
        first=first,
        tokenizer=_where(first, "tokenizer", shared),
        config=_where(first, "tokenizer_config", shared),
        react_native=react_native,
        shared=sorted(shared.values()),
        executorch=sorted({each.bundle.manifest["requires"]["executorch"] for each in variants}),
        licence=licence,
    )


def _front_matter(keys: Mapping[str, Any]) -> str:
    """YAML with a line for each text, so that none can end the front matter."""
    lines = {k: " ".join(v.split()) if isinstance(v, str) else v for k, v in keys.items()}
    return yaml.safe_dump(lines, sort_keys=False, allow_unicode=True, width=100_000)


def _where(variant: Variant, role: str, shared: Mapping[str, str]) -> str | None:
    """Path of a file in the repository, as an address has it."""
    name = variant.bundle.manifest["roles"].get(role)
    if name is None:
        return None
    return quote(name if role in shared else f"{variant.folder}/{name}")


def _quality(variant: Variant) -> Mapping[str, float]:
    found: dict[str, Any] = variant.bundle.manifest["proof"].get("comparisons") or {}
    quality: Mapping[str, float] = found.get("quality") or {}
    return quality


def _values(variants: Sequence[Variant]) -> list[Any]:
    """The columns of metrics that any of the programs has a figure of."""
    figures = [_quality(each) for each in variants]
    return present(
        (value for value in columns() if value.brief),
        lambda name: next((found[name] for found in figures if name in found), None),
    )


def _headings(variants: Sequence[Variant]) -> list[str]:
    return [
        "path", "backend", "precision", "context", "MB", "verdict",
        *(value.full_heading for value in _values(variants)),
    ]  # fmt: skip


def _row(variant: Variant, variants: Sequence[Variant]) -> list[str]:
    manifest, quality = variant.bundle.manifest, _quality(variant)
    proof = manifest["proof"]
    verdict = (proof.get("verdict") or {}).get("word", "not judged")
    size = manifest["files"][manifest["roles"]["program"]]["bytes"]
    return [
        f"[{cell(variant.name)}]({variant.folder})", cell(variant.backend), cell(variant.quant),
        f"{variant.context:,}", f"{size / 1e6:,.1f}",
        cell(verdict if proof["verified"] else "not verified"),
        *(value.text(quality.get(value.name)) for value in _values(variants)),
    ]  # fmt: skip


def _speed(variant: Variant) -> list[str] | None:
    """Name, medians in tokens a second, and where they were measured; None without a benchmark."""
    found = as_json(variant.bundle.file("benchmark"))
    try:
        settings, machine = found["settings"], found["machine"]
        return [
            cell(variant.name),
            f"{found['prefill_tokens_per_second']['median']:,.0f}",
            f"{found['decode_tokens_per_second']['median']:,.1f}",
            f"{settings['prompt_length']} / {settings['decode_length']}",
            cell(f"{machine['processor']}, {settings['threads']} threads"),
            cell(found.get("measured", "")[:10]),
        ]
    except (KeyError, TypeError, ValueError):
        return None
