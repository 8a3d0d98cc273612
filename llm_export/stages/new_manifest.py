"""The manifest of a bundle that is packaged and not verified yet."""

from __future__ import annotations

from llm_export.bundle.adapter_tokenizer import tokenizer_entry
from llm_export.bundle.chat_format import ChatEntry
from llm_export.bundle.manifest import (
    Manifest,
    ModelEntry,
    ProgramEntry,
    Requirements,
    SamplingEntry,
    TaskEntry,
)
from llm_export.bundle.proof import Proof
from llm_export.checkpoints.open import describe_source
from llm_export.config.schema import Recipe
from llm_export.pipeline.artifacts import Delegation, Source
from llm_export.pipeline.record import utc_now
from llm_export.versions import package_versions
from runtime_py.bundle import FORMAT


def new_manifest(
    recipe: Recipe,
    source: Source,
    delegation: Delegation,
    program: ProgramEntry,
    *,
    sampling: SamplingEntry,
    chat: ChatEntry | None = None,
    task: TaskEntry | None = None,
) -> Manifest:
    """Without name, roles and files, which are known at the end of a run."""
    versions = package_versions()
    return Manifest(
        format=FORMAT,
        name="",
        created=utc_now(),
        producer=versions,
        model=ModelEntry(
            name=recipe.model.name,
            family=recipe.model.family,
            checkpoint=describe_source(recipe.checkpoint),
            parameters=source.parameters,
        ),
        task=task,
        program=program,
        tokenizer=tokenizer_entry(source.tokenizer),
        sampling=sampling,
        requires=Requirements(
            executorch=versions["executorch"],
            backends=delegation.backends,
            operators=delegation.operators,
        ),
        proof=Proof(verified=False, reason="not verified yet"),
        roles={},
        files={},
        chat=chat,
    )
