"""Serialize models and exported graphs for the cache.

Modules are pickled. Unpickling is safe only with known classes, so files are loaded with
``weights_only`` and a list of allowed names, all from llm_export or the quantization libraries.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from llm_export.bundle.proof import SourceComparison
from llm_export.compat.pickled_names import TRUSTED
from llm_export.pipeline.artifacts import Exported, Source, Transformed
from llm_export.stage_cache.lazy_artifact import lazy, once
from llm_export.stage_cache.serializers import (
    Codec,
    Facts,
    NotCacheable,
    ReadContext,
    optional_from_json,
    optional_to_json,
)
from llm_export.stage_cache.unfailing import unfailing
from llm_export.tokenizers.base import TokenizerAssets

_MODEL, _SHAPES = "model.pt", "embed.weight"
_TRUSTED = ("llm_export.", *TRUSTED)


def _write_transformed(artifact: Transformed, folder: Path) -> Facts:
    source, steps = artifact.source, [_name_of(step) for step in artifact.transforms]
    if source.adapter is not None:
        raise NotCacheable("its adapter is separate")
    _save(
        {
            "model": artifact.model,
            "choices": artifact.choices,
            "ranges": dict(artifact.ranges),
            "facts": source.metadata,
        },
        folder / _MODEL,
        artifact.model,
    )
    return {
        "transforms": steps,
        "predicted_bytes": artifact.predicted_bytes,
        "source": {
            "parameters": source.parameters,
            "digests": source.digests,
            "shapes": getattr(source.checkpoint, "shapes", {}),
            "opening": _opening(source.checkpoint),
            "comparison": optional_to_json(source.comparison),
        },
    }


def _read_transformed(facts: Facts, past: ReadContext) -> Transformed:
    made = _load(past.file(_MODEL))
    return Transformed(
        made["model"],
        _source(facts["source"], made["facts"], past),
        tuple(_step(name) for name in facts["transforms"]),
        made["choices"],
        facts["predicted_bytes"],
        made["ranges"],
    )


def _source(facts: Facts, model_facts: Any, past: ReadContext) -> Source:
    """The source of a model. Its checkpoint is opened on first access: most stages do not need
    it."""

    def checkpoint() -> Any:
        from llm_export.checkpoints.open import open_checkpoint

        return open_checkpoint(past.recipe.checkpoint, facts["shapes"], **facts["opening"])

    def tokenizer() -> TokenizerAssets:
        from llm_export.tokenizers.fit import as_bundled

        return as_bundled(opened().tokenizer(), model_facts.vocab_size)[0]

    opened = once(checkpoint)
    return lazy(
        Source,
        {"checkpoint": opened, "tokenizer": tokenizer},
        metadata=model_facts,
        parameters=facts["parameters"],
        digests=facts["digests"],
        adapter=None,
        comparison=optional_from_json(SourceComparison, facts["comparison"]),
    )


def _opening(checkpoint: Any) -> Facts:
    """The arguments with which ``open_checkpoint`` opens it again."""
    base = getattr(checkpoint, "base", checkpoint)  # without an adapter
    return {
        "vocab_size": getattr(base, "vocab_size", None),
        "image_token_id": getattr(base, "image_token_id", None),
        "whole": not hasattr(base, "whole"),
    }


def _write_exported(artifact: Exported, folder: Path) -> Facts:
    import torch

    from llm_export.stages.lowering.graph_model import GraphModel

    if isinstance(artifact.transformed.model, GraphModel):
        raise NotCacheable("its graphs were quantized one by one")
    for name, program in artifact.programs.items():
        try:
            with unfailing(folder / f"{name}.pt2") as file:
                torch.export.save(program, file)
        except OSError:
            raise
        except Exception as error:
            raise NotCacheable(f"torch.export cannot save the graph: {error}") from None
    plan = artifact.plan
    return {
        "methods": list(artifact.programs),
        "constants": artifact.constants,
        "plan": None if plan is None else asdict(plan),
        "whole_because": artifact.whole_because,
        "further_plans": {name: asdict(each) for name, each in artifact.further_plans.items()},
    }


def _read_exported(facts: Facts, past: ReadContext) -> Exported:
    return lazy(
        Exported,
        {
            "programs": lambda: {name: _program(past, name) for name in facts["methods"]},
            "transformed": partial(past.artifact, "quantize"),
        },
        constants=facts["constants"],
        plan=_plan(facts["plan"]),
        whole_because=facts["whole_because"],
        further_plans={name: _plan(was) for name, was in facts["further_plans"].items()},
    )


def _plan(was: Facts | None) -> Any:
    from llm_export.layer_reuse.plan import LayerPlan

    if was is None:
        return None
    return LayerPlan(was["path"], *map(tuple, (was["kept"], was["origin"], was["lenders"])))


def _program(past: ReadContext, name: str) -> Any:
    import torch

    _import_operators()
    return torch.export.load(past.file(f"{name}.pt2"))


def _import_operators() -> None:
    """Import the operators and tensor classes that graphs and quantized tensors refer to."""
    import executorch.extension.llm.custom_ops.custom_ops
    import executorch.kernels.quantized  # noqa: F401
    import torchao.quantization  # noqa: F401


TRANSFORMED = Codec(_write_transformed, _read_transformed)
EXPORTED = Codec(_write_exported, _read_exported)


def _name_of(step: Any) -> str:
    """The transform's name, if ``_step`` can rebuild from it what later stages need."""
    fresh = _step(step.name)
    checks = step.check_graph is not type(step).check_graph
    if checks and fresh.check_graph is type(fresh).check_graph:
        raise NotCacheable(f"transform '{step.name}' is to check the graph")
    return str(step.name)


def _step(name: str) -> Any:
    """Rebuild an already applied transform, of which only the graph check is still needed."""
    import torch

    from llm_export.transforms import active_experts
    from llm_export.transforms.attention import exchange
    from llm_export.transforms.base import Transform
    from llm_export.transforms.cast import cast_model

    kind, _, option = name.partition(":")
    if kind == "attention":
        return exchange(option)
    if name == active_experts.TRANSFORM.name:
        return active_experts.TRANSFORM
    if kind == "cast":
        return cast_model(getattr(torch, option))
    return Transform(name, lambda model: 0, lambda model: None)


def _save(value: Any, path: Path, model: Any) -> None:
    import torch

    try:
        with _without_caches(model), unfailing(path) as file:
            torch.save(value, file)
    except (AttributeError, TypeError, RuntimeError, ValueError, ImportError) as error:
        raise NotCacheable(f"the model cannot be written: {error}") from None
    except Exception as error:
        if type(error).__name__ != "PicklingError":
            raise
        raise NotCacheable(f"the model cannot be written: {error}") from None
    others = [name for name in _globals_of(path) if not name.startswith(_TRUSTED)]
    if others:
        raise NotCacheable(f"the model holds a {others[0]}, which is not ours")


def _load(path: Path) -> Any:
    """Load a file memory-mapped, so that unused parts are never read."""
    import torch

    from llm_export.compat.module_state import own_buffers

    _import_operators()
    known = [_named(name) for name in _globals_of(path) if name.startswith(_TRUSTED)]
    with torch.serialization.safe_globals(known):
        made = torch.load(path, weights_only=True, mmap=True)
    for module in made["model"].modules():
        for name, buffer in own_buffers(module).items():
            if "cache" in name and buffer is not None:
                own_buffers(module)[name] = torch.zeros(buffer.shape, dtype=buffer.dtype)
    made["model"].init_buffers()
    return made


def _globals_of(path: Path) -> list[str]:
    import torch

    return list(torch.serialization.get_unsafe_globals_in_checkpoint(path))


def _named(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(import_module(module), attribute)


@contextlib.contextmanager
def _without_caches(model: Any) -> Iterator[None]:
    """Context manager: replace KV caches, which are large and empty, by their shapes."""
    import torch

    from llm_export.compat.module_state import own_buffers

    kept = []
    for module in model.modules():
        for name, buffer in own_buffers(module).items():
            if "cache" in name and buffer is not None:
                kept.append((module, name, buffer))
                small = torch.zeros((), dtype=buffer.dtype)
                own_buffers(module)[name] = small.expand(buffer.shape)
    try:
        yield
    finally:
        for module, name, buffer in kept:
            own_buffers(module)[name] = buffer
