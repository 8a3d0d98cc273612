"""Sizes in bytes for a recipe: the program, its KV caches, the float model, the checkpoint."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from llm_export.config.quant_schema import CacheDtype, ModuleKind, QuantRule, TiedKind
from llm_export.config.schema import (
    AdapterMode,
    CheckpointConfig,
    ExpertsKind,
    KVCacheKind,
    Recipe,
    filled,
)
from llm_export.predict.known_grids import on_known_grid
from llm_export.predict.model_shapes import decoder_shapes, is_of_family, shapes_of
from llm_export.predict.shapes import DecoderShapes, ModelShapes
from llm_export.quant.layer_spec import (
    LayerQuantSpec,
    layer_of,
    layer_quant_spec,
    matches,
    one_for_both,
)
from llm_export.quant.schemes import Flow
from llm_export.quant.size import matrix_bytes
from llm_export.quant.trained import is_trained
from llm_export.resolve.recipe import ResolvedRecipe


@dataclass(frozen=True)
class Sizes:
    """Sizes that the predicted costs depend on.

    Attributes:
        constants: bytes of all constants of the program.
        floats: bytes of the model in float32.
        caches: bytes of keys and values of a whole context.
        lowered: layers that are lowered one by one; the others repeat them.
        linears: matrix products of the program; ``quantized`` of them are.
    """

    parameters: int
    constants: int
    floats: int
    caches: int
    layers: int
    lowered: int
    methods: int
    linears: int
    quantized: int
    largest: int
    """Values of the largest matrix."""
    vocabulary: int
    choices: tuple[LayerQuantSpec, ...]
    """What the rules choose for each matrix."""
    used: float = 1.0
    """Share of the experts of a mixture that a token runs through."""


def sizes_of(resolved: ResolvedRecipe, *, build: bool = True) -> Sizes | None:
    """None where the layers are not known beforehand: those of models that the libraries build,
    and of tasks that nothing calibrates.

    Args:
        build: whether to build a model without values, of an encoder, which imports torch.

    Raises:
        CheckpointError: the model's option is not understood.
    """
    recipe, model = resolved.recipe, decoder_shapes(resolved)
    known = resolved.task.calibrates and is_of_family(recipe)
    shapes = model or (shapes_of(resolved) if build and known else None)
    if shapes is None:
        return None
    choices = resolve_rules(shapes, resolved)
    products = [c for c in choices if c.kind is not ModuleKind.embedding]
    kinds = _kinds(choices) if model is None else [repr(kind) for kind in model.kinds]
    return Sizes(
        parameters=shapes.parameters,
        constants=_constants(shapes, recipe, choices),
        floats=4 * (shapes.parameters + shapes.tables),
        caches=0 if model is None else cache_bytes(model, resolved, choices),
        layers=len(kinds),
        lowered=_lowered(kinds, resolved, choices),
        methods=len(resolved.methods.lengths),
        linears=len(products),
        quantized=sum(c.flow not in (Flow.none, Flow.cast) for c in products),
        largest=max(m.count for m in shapes.matrices),
        vocabulary=shapes.vocab_size,
        choices=tuple(choices),
        used=1.0 if model is None else _used(model, resolved),
    )


def _used(model: DecoderShapes, resolved: ResolvedRecipe) -> float:
    if resolved.experts is not ExpertsKind.active:
        return 1.0
    routers = [mixture.router for kind in model.kinds for mixture in kind.mixtures]
    return sum(r.per_token for r in routers) / max(1, sum(r.experts for r in routers)) or 1.0


def _kinds(choices: Sequence[LayerQuantSpec]) -> list[str]:
    """Of an encoder, whose layers are alike."""
    layers = [layer for c in choices if (layer := layer_of(c.name)) is not None]
    return [""] * (1 + max(layers, default=-1))


def program_bytes(resolved: ResolvedRecipe) -> int | None:
    """Expected bytes of the .pte; None where the model's shapes are not known before it is loaded.

    Raises:
        CheckpointError: the model's option is not understood, or transformers cannot build it.
    """
    model = shapes_of(resolved)
    if model is None:
        return None
    return bytes_with(model, resolved.recipe, resolve_rules(model, resolved))


def bytes_of_outliers(resolved: ResolvedRecipe) -> int:
    """What the file gains at most by ``outlier_ratio``: with outlier channels in every linear that
    may have them; which do is known once the calibration text ran. 0 for a ratio of 1.

    Raises:
        CheckpointError: as ``program_bytes``.
    """
    if all(rule.outlier_ratio == 1 for rule in resolved.recipe.quant.rules):
        return 0
    model = shapes_of(resolved)
    if model is None:
        return 0
    choices = resolve_rules(model, resolved)
    every = [replace(choice, outlier_ratio=1.0) for choice in choices]
    return matrix_bytes(every) - matrix_bytes(choices)


def bytes_with(model: ModelShapes, recipe: Recipe, choices: Sequence[LayerQuantSpec]) -> int:
    """Expected bytes of the .pte of a model with its matrices quantized as ``choices`` say."""
    return with_instructions(_constants(model, recipe, choices))


def with_instructions(constants: int) -> int:
    """Bytes of a .pte with so many bytes of constants."""
    return int(constants * 1.02) + (1 << 19)


def resolve_rules(model: ModelShapes, resolved: ResolvedRecipe) -> list[LayerQuantSpec]:
    """As ``quant.rules.resolve_rules``, for shapes; a tied table takes the head's integers, and
    weights whose integers are kept are known by the checkpoint's name or ``quant.qat``."""
    kept, qat = on_known_grid(resolved.recipe), resolved.recipe.quant.qat

    def known(choice: LayerQuantSpec) -> LayerQuantSpec:
        if is_trained(choice, qat):
            return replace(choice, qat=qat)
        return replace(choice, rounding="kept") if kept(choice) else choice

    found = [known(choice) for choice in matrix_choices(model, resolved)]
    shared = {
        table.name: head.name
        for table, head in tied_pairs(found)
        if _shared(model, resolved, table, head)
    }
    return [replace(c, shared_with=shared[c.name]) if c.name in shared else c for c in found]


def matrix_choices(model: ModelShapes, resolved: ResolvedRecipe) -> list[LayerQuantSpec]:
    """What the recipe's rules choose for each matrix alone."""
    recipe = resolved.recipe
    found = []
    for matrix in model.matrices:
        rules = enumerate(recipe.quant.rules)
        index, rule = next(
            ((i, r) for i, r in rules if matches(r, matrix.name, matrix.kind)),
            (None, QuantRule(scheme="none")),
        )
        shape = (matrix.rows, matrix.columns)
        found.append(
            layer_quant_spec(
                rule, index, matrix.name, matrix.kind, shape, resolved.backend_of(matrix.name)
            )
        )
    return found


def tied_pairs(choices: Sequence[LayerQuantSpec]) -> list[tuple[LayerQuantSpec, LayerQuantSpec]]:
    """The token table and the output matrix, which a model may tie, or each two of their parts."""
    tables, heads = (_of(choices, kind) for kind in (ModuleKind.embedding, ModuleKind.head))
    pairs = zip(tables, heads, strict=False)
    return [(table, head) for table, head in pairs if table.shape == head.shape]


def _of(choices: Iterable[LayerQuantSpec], kind: ModuleKind) -> list[LayerQuantSpec]:
    return [choice for choice in choices if choice.kind is kind]


def _shared(
    model: ModelShapes, resolved: ResolvedRecipe, table: LayerQuantSpec, head: LayerQuantSpec
) -> bool:
    quant = resolved.recipe.quant
    able = resolved.capabilities.raw_weights or table.with_head
    if not (model.tied and able) or quant.tied is TiedKind.untied:
        return False
    return one_for_both(table, head) is None


def float_bytes(choices: Iterable[LayerQuantSpec]) -> int:
    """Of what is in no matrix: what the model computes in."""
    cast = any(c.flow is Flow.cast for c in choices if c.kind is not ModuleKind.embedding)
    return 2 if cast else 4


def _constants(model: ModelShapes, recipe: Recipe, choices: Sequence[LayerQuantSpec]) -> int:
    quant = recipe.quant
    if quant.auto is not None and quant.file_megabytes is not None:
        return int(quant.file_megabytes * 1e6)
    matrices = matrix_bytes(choices)
    if quant.auto is not None and quant.bits_per_weight is not None:
        counted = sum(c.shape[0] * c.shape[1] for c in choices if c.shared_with is None)
        matrices = int(counted * quant.bits_per_weight / 8)
    return matrices + float_bytes(choices) * (model.other + model.tables)


def cache_bytes(
    model: DecoderShapes, resolved: ResolvedRecipe, choices: Sequence[LayerQuantSpec]
) -> int:
    """Bytes of the KV caches of a whole context, and of recurrent states."""
    recipe, floats = resolved.recipe, float_bytes(choices)
    context = filled(recipe.runtime.context_length)
    step = resolved.methods.prefill_length
    ring = recipe.runtime.kv_cache is KVCacheKind.ring
    total = float(sum(states for states in model.states)) * floats
    for layer, values in zip(model.kinds, model.cached, strict=True):
        if layer.attention is None:
            continue
        window = layer.attention.window
        if not values:
            continue  # the layer attends to what another one keeps
        slots = context if window is None or not ring else min(context, window + step - 1)
        if recipe.quant.kv_cache is CacheDtype.int8:
            # A byte a value, and for each head's key and value a scale and a zero point.
            total += slots * (values + 5 * 2 * layer.attention.num_kv_heads)
        elif recipe.quant.kv_cache is CacheDtype.bfloat16:
            total += slots * values * 2
        else:
            total += slots * values * floats
    return int(total)


def _lowered(
    layers: Sequence[str], resolved: ResolvedRecipe, choices: Sequence[LayerQuantSpec]
) -> int:
    """Number of layers to lower: one for each distinct layer with its two neighbours, if layers
    are cloned; otherwise all.

    Args:
        layers: what each is, beside its schemes.
    """
    recipe = resolved.recipe
    static = any(c.flow is Flow.pt2e for c in choices)
    separate = recipe.checkpoint.adapter and recipe.checkpoint.adapter_mode is AdapterMode.separate
    able = resolved.capabilities.repeats
    whole = recipe.backend.etrecord or not recipe.backend.repeat_layers
    if whole or static or separate or not able:
        return len(layers)
    schemes: dict[int, list[tuple[str, str, int | None]]] = {}
    for choice in choices:
        index, name = layer_of(choice.name), choice.name.split(".", 2)[-1]
        if index is not None:
            schemes.setdefault(index, []).append((name, choice.scheme, choice.group_size))
    kinds: list[Hashable] = [(layer, tuple(schemes.get(i, []))) for i, layer in enumerate(layers)]
    around = [None, *kinds, None]
    return min(len(layers), len(set(zip(around, around[1:], around[2:], strict=False))))


def checkpoint_bytes(source: CheckpointConfig, parameters: int) -> int:
    """Bytes that are fetched for the checkpoint: 0 if it is here, or random; else, since nobody
    has seen it yet, two for each parameter."""
    if source.path is not None or (source.hf_id is None and source.package is None):
        return 0
    return 0 if is_here(source) else 2 * parameters


def is_here(source: CheckpointConfig) -> bool:
    """Whether a checkpoint of the hub or of a package was fetched before."""
    if source.hf_id is not None:
        from huggingface_hub.constants import HF_HUB_CACHE

        folder = Path(HF_HUB_CACHE) / f"models--{source.hf_id.replace('/', '--')}" / "snapshots"
        return folder.is_dir() and any(folder.iterdir())
    from llm_export.checkpoints.cache import cache_dir

    assert source.package is not None
    name = source.package.member.rsplit("/", 1)[-1]
    folders = (cache_dir() / "packages").glob(f"{source.package.name}-{source.package.version}-*")
    return any((folder / name).is_file() for folder in folders)
