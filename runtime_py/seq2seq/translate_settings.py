"""The settings of a bundle that turns one text into another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runtime_py.errors import ArgumentError, BundleRuntimeError, shown
from runtime_py.seq2seq.settings import SettingsReader


@dataclass(frozen=True)
class TranslateSettings:
    """``task.settings`` of the manifest.

    Attributes:
        start_ids: the decoder's first tokens.
        eos_ids: ids that end an answer.
        source_length, target_length: most tokens of a source, and of an answer.
        source_prefix, source_suffix: ids before and behind the tokens of each source.
        pad_id: fills a source where the program takes one length only.
        prefixes: name -> text before a source, which says what to make of it.
    """

    start_ids: tuple[int, ...]
    eos_ids: tuple[int, ...]
    source_length: int
    target_length: int
    source_prefix: tuple[int, ...] = ()
    source_suffix: tuple[int, ...] = ()
    pad_id: int = 0
    prefixes: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, manifest: Mapping[str, Any], where: str) -> TranslateSettings:
        """Those of a manifest.

        Raises:
            BundleRuntimeError: it is of another task, or one is missing or has another type.
        """
        read = SettingsReader(manifest, "translate", where)
        settings = dict(manifest["task"].get("settings") or {})
        prefixes = settings.get("prefixes") or {}
        if not isinstance(prefixes, dict) or not all(
            isinstance(text, str) for text in prefixes.values()
        ):
            raise BundleRuntimeError(
                "the manifest's settings of the task translate have prefixes that are not names "
                "with texts", where=where, fix="export the model again",
            )  # fmt: skip
        return cls(
            start_ids=read.ids("start_ids"),
            eos_ids=read.ids("eos_ids"),
            source_length=read.count("source_length"),
            target_length=read.count("target_length"),
            source_prefix=read.ids("source_prefix", ()),
            source_suffix=read.ids("source_suffix", ()),
            pad_id=read.id("pad_id") or 0,
            prefixes=prefixes,
        )

    def prefix(self, stated: str | None) -> str:
        """The text before a source: that of a name in ``prefixes``, or ``stated`` itself.

        Raises:
            ArgumentError: it is no text.
        """
        if stated is None:
            return ""
        if not isinstance(stated, str):
            raise ArgumentError(f"prefix must be a text, not {shown(stated)}")
        return self.prefixes.get(stated, stated)
