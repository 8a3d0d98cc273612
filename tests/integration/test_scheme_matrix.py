"""Every scheme on every backend for every kind of module: it runs as the matrix says, or is
refused by name."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from executorch.runtime import Runtime
from stage_tools import beside_eager
from torch import nn

from llm_export import api
from llm_export.backends import BACKENDS
from llm_export.checks.rules import find_problems
from llm_export.config.quant_schema import ModuleKind, QuantRule
from llm_export.errors import PostConditionError
from llm_export.pipeline.artifacts import Lowered
from llm_export.quant.apply import set_weight
from llm_export.quant.grid import GridSpec
from llm_export.quant.rounding.minmax import ROUNDER
from llm_export.quant.rules import LayerQuantSpec
from llm_export.quant.schemes import SCHEMES, Flow, refusal, supported
from llm_export.resolve.recipe import resolve
from llm_export.stages.lowering.delegation import HEAVY, require_delegated

GROUPS = (None, 32, 64, 128)
PAIRS = [(b, k, s) for b in BACKENDS for k in ModuleKind for s in SCHEMES]
IDS = [(i * 37 + 11) % 300 for i in range(16)]

# One layer; every matrix has inputs that 128 divides.
SMALL = [
    "model=tiny", "model.config.num_hidden_layers=1", "model.config.hidden_size=128",
    "model.config.intermediate_size=256", "runtime=static", "runtime.context_length=32",
    "verify.window=32", "verify.prefill=8", "benchmark=off",
    "quant.calibration.tokens=64", "quant.calibration.window=32",
]  # fmt: skip


def rules(text: str) -> list[QuantRule]:
    """ "linear 8da4w 32; embedding 8w": kind or part of a name, scheme, size of groups."""
    made = []
    for part in text.split(";"):
        what, scheme, *group = part.split()
        named = what not in ModuleKind.__members__
        kind, pattern = (ModuleKind.linear, f".*{what}.*") if named else (ModuleKind(what), ".*")
        made.append(QuantRule(scheme, kind, pattern, group_size=int(group[0]) if group else None))
    return made


# Between them, every pair of the matrix with every size of groups that it allows.
LOWERINGS = {
    "xnnpack": [
        "qkv 8da4w 32; out 8da4w 64; gate_up 8da4w 128; linear 8da4w; head 8da4w 32; "
        "embedding 8w",
        "linear 8da8w; head 8da4w 64; embedding 4w 32",
        "linear 8da8w; head 8da8w; embedding 2w 128",
        "linear 8a8w; head 8a8w; embedding 4w 128",
        "linear fp16; head fp16; embedding fp16",
        "linear none; head 8da4w 128; embedding bf16",
        "linear none; head 8da4w; embedding 2w 64",
        "linear 8da8w; head none; embedding none",
        "linear 8da8w; head none; embedding 4w 64",
        "linear 8da8w; head none; embedding 2w 32",
        *(f"linear none; head none; embedding 8w {g}" for g in GROUPS[1:]),
    ],
    "portable": [
        "linear 8w; head 8w; embedding 8w",
        "linear fp16; head fp16; embedding fp16",
        "linear bf16; head bf16; embedding bf16",
        "linear none; head none; embedding none",
        *(f"linear none; head none; embedding {s} {g}" for s in ("8w", "4w", "2w")
          for g in GROUPS[1:]),
    ],
}  # fmt: skip
CASES = [(backend, text) for backend, texts in LOWERINGS.items() for text in texts]
# Every scheme of every kind is in one of these; a release adds further sizes of groups.
SLOW = [
    *(("xnnpack", LOWERINGS["xnnpack"][at]) for at in (0, 2, 3, 4, 5)),
    ("xnnpack", "linear 8da8w; head none; embedding none"),
    *(("portable", text) for text in LOWERINGS["portable"][:4]),
    ("portable", "linear none; head none; embedding 4w 32"),
    ("portable", "linear none; head none; embedding 2w 64"),
]
LOWERED = [
    pytest.param(
        case, id="-".join(case), marks=pytest.mark.slow if case in SLOW else pytest.mark.release
    )
    for case in CASES
]


@dataclass(frozen=True)
class Made:
    backend: str
    lowered: Lowered
    bytes: int
    eager: torch.Tensor
    program: torch.Tensor

    @property
    def choices(self) -> tuple[LayerQuantSpec, ...]:
        return self.lowered.transformed.choices


@pytest.fixture(scope="module", params=LOWERED)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The program of a case, and what it and the eager model say; the tests of a case follow
    each other, so that it is made once."""
    backend, text = request.param
    return lowered(backend, text, tmp_path_factory.mktemp("program"))


def lowered(backend: str, text: str, folder: Path) -> Made:
    composed = api.compose_recipe(None, [*SMALL, f"backend={backend}"]).recipe
    recipe = replace(composed, quant=replace(composed.quant, rules=rules(text)))
    assert find_problems(recipe) == []
    done, said, eager = beside_eager(recipe, IDS, folder)
    return Made(backend, done, done.program_file.stat().st_size, eager, said)


def test_the_lowerings_cover_the_matrix() -> None:
    """Each pair, and each size of groups with it, is in one of the programs."""
    wanted, covered = set(), set()
    ours = [(*pair, group) for pair in PAIRS for group in GROUPS if pair[0] in LOWERINGS]
    for backend, kind, scheme, group in ours:
        if refusal(backend, kind, QuantRule(scheme, group_size=group)) is None:
            wanted.add((backend, kind, scheme, group if scheme != "none" else None))
    for backend, text in CASES:
        for rule in rules(text):
            covered.add((backend, rule.kind, rule.scheme, rule.group_size))
    assert wanted == covered


def test_no_scheme_is_left_to_a_release() -> None:
    def schemes(cases: list[tuple[str, str]]) -> set[tuple[str, ModuleKind | None, str]]:
        return {(backend, r.kind, r.scheme) for backend, text in cases for r in rules(text)}

    assert schemes(SLOW) == schemes(CASES)


def test_the_program_is_right(made: Made) -> None:
    # Equally right programs differ where activations are rounded (see ``Scheme.noisy``).
    noisy = any(SCHEMES[c.scheme].noisy for c in made.choices if c.kind is not ModuleKind.embedding)
    error = float((made.program - made.eager).abs().max() / made.eager.abs().max())
    assert error < (0.05 if noisy else 1e-5), error


def test_the_program_is_as_large_as_predicted(made: Made) -> None:
    """The graph takes its share; one matrix in float32 instead would be 48 KB more at least."""
    assert 0 < made.bytes - made.lowered.transformed.predicted_bytes < 44_000


def test_products_run_where_the_matrix_says(made: Made) -> None:
    delegation = made.lowered.delegation
    operators = {name.split("::")[-1].split(".")[0] for name in delegation.operators}
    products = [c for c in made.choices if c.kind is not ModuleKind.embedding]
    support = [supported(made.backend, c.kind)[c.scheme] for c in products]
    outside = operators & {*HEAVY, "mixed_linear"}
    lookup = {"embedding"} if made.choices[0].flow is not Flow.weights else {
        {8: "embedding_byte", 4: "embedding_4bit", 2: "embedding_2bit"}[
            SCHEMES[made.choices[0].scheme].weight_bits
        ]
    }  # fmt: skip
    assert operators & {"embedding", "embedding_byte", "embedding_4bit", "embedding_2bit"} == lookup
    assert not any("quantize" in name for name in operators)
    if all(s.delegated for s in support) and BACKENDS.get(made.backend).capabilities.delegates:
        assert not outside
        assert delegation.backends
    else:
        assert outside
        assert not delegation.backends


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ModuleKind)
def test_what_is_not_in_the_matrix_is_refused_by_name(backend: str, kind: ModuleKind) -> None:
    table = supported(backend, kind)
    article = "an" if kind is ModuleKind.embedding else "a"
    for scheme, group in itertools.product(SCHEMES, GROUPS):
        why = refusal(backend, kind, QuantRule(scheme, group_size=group))
        if scheme not in table:
            assert why is not None
            assert f"{backend} cannot run {scheme} for {article} {kind.value} module" in why
            assert why.endswith(f"it can run {', '.join(table)}")
            assert SCHEMES[scheme].wants in why
            continue
        step = table[scheme].groups
        allowed = scheme == "none" or (
            table[scheme].per_channel if group is None else step and group % step == 0
        )
        assert (why is None) == bool(allowed)
        if why is not None:
            assert "group_size" in why
            assert "must be null" in why or f"a multiple of {step}" in why


def test_schemes_of_npus_say_whom_they_are_for() -> None:
    for backend, kind, scheme in PAIRS:
        if scheme in ("16a8w", "16a4w") and scheme not in supported(backend, kind):
            why = refusal(backend, kind, QuantRule(scheme))
            assert why is not None
            assert "it is for NPUs" in why


# -- why pairs are not in the matrix -------------------------------------------------------


def lowered_linear(backend: str, scheme: str, group: int | None) -> tuple[nn.Module, object]:
    """A linear of that scheme, past all checks, and its edge program."""
    from executorch.exir import to_edge_transform_and_lower

    torch.manual_seed(0)
    model: Any = nn.Sequential(nn.Linear(64, 48, bias=False)).eval().requires_grad_(False)
    if SCHEMES[scheme].flow is Flow.weights:
        spec = GridSpec(SCHEMES[scheme].weight_bits, group)
        set_weight(model[0], ROUNDER.round(model[0].weight.detach(), spec), scheme)
    else:
        model = model.to(getattr(torch, SCHEMES[scheme].dtype))
    dtype = getattr(torch, SCHEMES[scheme].dtype)
    program = torch.export.export(model, (torch.randn(1, 3, 64).to(dtype),), strict=False)
    target = BACKENDS.get(backend)
    recipe = api.compose_recipe(None, ["model=tiny"]).recipe
    edge = to_edge_transform_and_lower(
        program, partitioner=target.partitioners(resolve(recipe)) or None,
        compile_config=target.edge_config(),
    )  # fmt: skip
    return model, edge


@pytest.mark.parametrize(
    ("scheme", "group"),
    [
        pytest.param("4w", 32, marks=pytest.mark.slow),
        *(pytest.param(*of, marks=pytest.mark.release) for of in (("8w", None), ("8w", 32),
                                                                   ("2w", 32))),
    ],
)  # fmt: skip
def test_weight_only_linears_compute_garbage_on_xnnpack(
    scheme: str, group: int | None, tmp_path: Path
) -> None:
    """They lower without complaint, and multiply by the integers without their scales."""
    model, edge = lowered_linear("xnnpack", scheme, group)
    path = tmp_path / "linear.pte"
    path.write_bytes(edge.to_executorch().buffer)  # type: ignore[attr-defined]
    x = torch.randn(1, 3, 64)
    said = Runtime.get().load_program(path).load_method("forward").execute((x,))[0]
    assert (said - model(x)).abs().max() > 5 * model(x).abs().max()


@pytest.mark.slow
def test_bfloat16_linears_stay_outside_of_xnnpack() -> None:
    _, edge = lowered_linear("xnnpack", "bf16", None)
    nodes = edge.exported_program().graph.nodes  # type: ignore[attr-defined]
    left = {n.target._schema.name.replace("::", "."): 1 for n in nodes
            if hasattr(n.target, "_schema")}  # fmt: skip
    with pytest.raises(PostConditionError, match=r"xnnpack did not take 1 x aten\.(mm|linear)"):
        require_delegated(left, "xnnpack")


@pytest.mark.slow
def test_groups_of_8_bit_weights_are_not_taken_by_xnnpack() -> None:
    with pytest.raises(AssertionError, match="Only 4b group quantization is supported"):
        lowered_linear("xnnpack", "8da8w", 32)


@pytest.mark.parametrize(
    ("scheme", "group"),
    [
        pytest.param("8da4w", 32, marks=pytest.mark.slow),
        pytest.param("4w", 32, marks=pytest.mark.release),
        pytest.param("8da8w", None, marks=pytest.mark.release),
    ],
)
def test_such_weights_have_no_portable_kernel(scheme: str, group: int | None) -> None:
    _, edge = lowered_linear("portable", scheme, group)
    with pytest.raises(RuntimeError, match="Missing out variants"):
        edge.to_executorch()  # type: ignore[attr-defined]
