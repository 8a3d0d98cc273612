"""Reuse and store stage results of a run in the stage cache."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from llm_export.config.schema import Recipe
from llm_export.errors import first_line
from llm_export.pipeline.console import Reporter
from llm_export.pipeline.record import RunRecord, StageRecord, for_people, utc_now
from llm_export.pipeline.stage import RunContext, Stage
from llm_export.resolve.recipe import ResolvedRecipe
from llm_export.runner.workspace import Workspace
from llm_export.stage_cache.blobs import Damaged
from llm_export.stage_cache.file_digests import Digests
from llm_export.stage_cache.keys import KeyInputs, stage_keys
from llm_export.stage_cache.settings import SIZE
from llm_export.stage_cache.source_digest import Sources
from llm_export.stage_cache.store import Cache, Entry, TooLarge


class CacheSession:
    """The stage cache for one run. Without a cache nothing is found and nothing is stored.

    Args:
        cache: None turns caching off; then ``off`` is the reason.
        checkpoint: path of the checkpoint; None if the weights are random.
    """

    def __init__(
        self,
        cache: Cache | None,
        stages: Sequence[Stage],
        resolved: ResolvedRecipe,
        workspace: Workspace,
        record: RunRecord,
        reporter: Reporter,
        *,
        checkpoint: Path | None,
        off: str = "",
    ) -> None:
        self._cache, self._stages, self._resolved = cache, tuple(stages), resolved
        self._workspace, self._record, self._reporter = workspace, record, reporter
        self._keys: dict[str, str] = {}
        self._reasons: set[str] = set()
        """Why stages were not kept, as far as the user was told."""
        self._without_key = off
        if cache is not None:
            digests = Digests(cache.folder / "files.json")
            asked = record.provenance
            around = KeyInputs(checkpoint, digests, asked.choices, asked.overrides)
            sources = Sources(cache.folder / "sources.json")
            self._keys, self._without_key = stage_keys(stages, resolved, around, sources)
            digests.save()
            for memo in (digests, sources):
                if memo.damage:
                    self._say(f"{memo.damage}; it is written anew")

    def restore(self) -> tuple[int, Any]:
        """Copy the files of the last cached stage into the bundle's folder.

        Returns:
            Number of cached stages, and the artifact of the last one; 0 and None if there is none.
        """
        for index in reversed(range(len(self._stages))):
            stage = self._stages[index]
            entry = self._find(stage)
            if entry is None:
                continue
            try:
                assert self._cache is not None
                self._cache.place(entry.bundle, self._workspace.bundle)
                artifact = self._read(stage, entry)
                records = [StageRecord(**former) for former in entry.facts["records"]]
            except Damaged as damage:
                shutil.rmtree(self._workspace.bundle)
                self._workspace.bundle.mkdir()
                self._drop(stage, damage)
                continue
            for record in records:
                record.reused, record.cache = True, "reused"
                self._record.stages.append(record)
                self._reporter.reused(record.name, for_people(record.made))
            return index + 1, artifact
        return 0, None

    def keep(self, stage: Stage, artifact: Any, record: StageRecord) -> None:
        """Store the stage's artifact in the cache, and record whether that succeeded."""
        from llm_export.stage_cache.serializers import NotCacheable

        for earlier in self._record.stages:
            if earlier.state == "failed":
                record.cache = f"not kept: the next run tries '{earlier.name}' again"
                return
            if earlier.once:
                record.cache = f"not kept: the next run does '{earlier.name}' again, {earlier.once}"
                return
        try:
            record.cache = self._keep(stage, artifact, record)
        except NotCacheable as reason:
            record.cache = f"not kept: {reason}"
        except TooLarge:
            record.cache = f"not kept: it is larger than {SIZE}"
        except Exception as error:  # a run does not fail because it cannot be cached
            why = first_line(error)
            if isinstance(error, OSError) and error.strerror:
                why = error.strerror
            record.cache = f"not kept: {why}"
            if why not in self._reasons:
                self._reasons.add(why)
                self._say(f"'{stage.name}' is not kept for later runs: {why}")

    def close(self) -> None:
        if self._cache is not None:
            self._cache.release()

    def _keep(self, stage: Stage, artifact: Any, record: StageRecord) -> str:
        key = self._keys.get(stage.name)
        codec = stage.load_codec()
        if self._cache is None or key is None or codec is None:
            return f"not kept: {stage.not_kept if key else self._without_key}"
        with self._cache.scratch() as scratch:
            own = scratch / "files"
            own.mkdir()
            facts = codec.write(artifact, own)
            entry = Entry(
                key, stage.name, self._resolved.recipe.name, record.made, record.seconds,
                {"artifact": facts, "records": [asdict(r) for r in self._record.stages]},
            )  # fmt: skip
            self._cache.add(entry, _files(own), _files(self._workspace.bundle))
        return "kept"

    def _find(self, stage: Stage) -> Entry | None:
        key = self._keys.get(stage.name)
        if self._cache is None or key is None or not stage.codec:
            return None
        try:
            return self._cache.find(key)
        except Damaged as damage:
            self._drop(stage, damage)
            return None
        except OSError as error:  # no locks on this file system, for example
            self._say(f"'{stage.name}' is not reused: {error.strerror}")
            return None

    def _read(self, stage: Stage, entry: Entry) -> Any:
        assert self._cache is not None
        for blob in entry.files.values():
            # Read it now rather than on first use, so that a damaged entry is rebuilt in time.
            self._cache.checked(blob)
        past = _ReadContext(self, self._cache, entry, self._resolved.recipe, self._workspace.bundle)
        try:
            return stage.load_codec().read(entry.facts["artifact"], past)
        except (Damaged, MemoryError):
            raise
        except Exception as error:  # whatever is wrong with it, the stage can make it anew
            raise Damaged(self._cache.folder, f"it cannot be read: {first_line(error)}") from None

    def _drop(self, stage: Stage, damage: Damaged) -> None:
        assert self._cache is not None
        done = "it was removed"
        try:
            self._cache.drop(self._keys[stage.name], damage)
        except OSError as error:
            done = f"it cannot be removed: {error.strerror}"
        self._record.damaged.append(f"{stage.name}: {damage.what}")
        self._say(f"what '{stage.name}' made is damaged ({damage.what}); {done}")

    def _say(self, text: str) -> None:
        self._reporter.line(f"cache: {text}")

    def artifact(self, name: str) -> Any:
        """The artifact of an earlier stage: from the cache, or recomputed if it is not there. For
        stages that read more than the previous stage's files."""
        index = next(i for i, stage in enumerate(self._stages) if stage.name == name)
        stage = self._stages[index]
        entry = self._find(stage)
        if entry is not None:
            try:
                return self._read(stage, entry)
            except Damaged as damage:
                self._drop(stage, damage)
        if index == 0:
            from llm_export.pipeline.artifacts import Start

            before: Any = Start()
        else:
            before = self.artifact(self._stages[index - 1].name)
        return self._again(stage, before)

    def file_again(self, name: str, file: str, damage: Damaged) -> Path:
        """A file of an entry that was there when the run began, and is not any more."""
        stage = next(stage for stage in self._stages if stage.name == name)
        self._drop(stage, damage)
        folder = self._workspace.path / "again" / f"{name}-{secrets.token_hex(4)}"
        folder.mkdir(parents=True)
        stage.load_codec().write(self.artifact(name), folder)
        return folder / file

    def _again(self, stage: Stage, before: Any) -> Any:
        """Run the stage again in a temporary folder: its files are in the bundle already."""
        folder = self._workspace.path / "again"
        folder.mkdir(exist_ok=True)
        record = StageRecord(stage.name)
        context = RunContext(folder, self._reporter, record, self._record)
        made = stage.load()(before, self._resolved, context)
        now = self._record.stages[-1]
        now.facts.setdefault("made_again", []).append(stage.name)
        record.made = utc_now()
        return made


class _ReadContext:
    """Files and artifacts that a codec may read besides its metadata."""

    def __init__(
        self, reuse: CacheSession, cache: Cache, entry: Entry, recipe: Recipe, bundle: Path
    ) -> None:
        self.recipe, self.bundle = recipe, bundle
        self._reuse, self._cache, self._entry = reuse, cache, entry

    def file(self, name: str) -> Path:
        try:
            return self._cache.checked(self._entry.files[name])
        except Damaged as damage:
            return self._reuse.file_again(self._entry.stage, name, damage)

    def artifact(self, stage: str) -> Any:
        return self._reuse.artifact(stage)


def _files(folder: Path) -> dict[str, Path]:
    return {p.relative_to(folder).as_posix(): p for p in sorted(folder.rglob("*")) if p.is_file()}
