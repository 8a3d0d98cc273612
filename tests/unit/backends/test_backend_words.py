"""What ``backend=WORD`` decides, and what it refuses, before any work."""

from __future__ import annotations

import pytest

from llm_export import api
from llm_export.backends import BACKENDS
from llm_export.checks.rules import find_problems
from llm_export.config.chains import with_chains
from llm_export.config.schema import Recipe
from llm_export.resolve.recipe import resolve

STATIC = ("openvino", "coreml", "mlx", "tosa", "ethos_u", "vgf", "cortex_m", "coreai", "qnn")


def recipe_of(*words: str) -> Recipe:
    return api.compose_recipe(None, ["model=tiny", "quant=none", *words]).recipe


def problems(*words: str) -> list[str]:
    return [str(p) for p in find_problems(recipe_of(*words)) if not p.environment]


@pytest.mark.parametrize("backend", STATIC)
def test_fixed_shapes_follow_from_the_backend(backend: str) -> None:
    recipe = recipe_of(f"backend={backend}")
    shapes = resolve(recipe).methods
    length = BACKENDS.get(backend).capabilities.prefill_length
    assert not shapes.dynamic
    assert shapes.lengths == {"forward": 1, **({"prefill": length} if length > 1 else {})}
    assert resolve(recipe).attention == "static_io"
    other = resolve(recipe_of(f"backend={backend}", "runtime.prefill_length=32")).methods
    assert other.lengths == {"forward": 1, "prefill": 32}


@pytest.mark.parametrize("backend", ["xnnpack", "portable", "vulkan", "webgpu"])
def test_dynamic_shapes_where_the_backend_has_them(backend: str) -> None:
    recipe = recipe_of(f"backend={backend}")
    assert resolve(recipe).methods.dynamic
    assert resolve(recipe).methods.lengths == {"forward": 512}
    best = "custom_op_by_head" if backend == "xnnpack" else "custom_op"
    assert resolve(recipe).attention == best
    fixed = resolve(recipe_of(f"backend={backend}", "runtime.dynamic_shapes=false")).methods
    assert fixed.lengths == {"forward": 1, "prefill": 128}


def test_every_backend_composes_and_is_sound_but_for_the_machine() -> None:
    for backend in BACKENDS:
        words = ["quant=8a8w"] if backend in ("ethos_u", "nxp", "cortex_m") else []
        assert problems(f"backend={backend}", *words) == [], backend
        assert BACKENDS.get(backend).description


REFUSED = [
    (["backend=coreml", "backend.options.ios=12"], "ios=12 is none of 15, 16, 17, 18"),
    (["backend=xnnpack", "+backend.options.unit=all"], "xnnpack has no option 'unit'"),
    (["backend=coreml", "backend.options.ios=17", "backend.options.stateful=true"],
     "stateful needs ios=18"),
    (["backend=coreml", "backend.options.ios=17",
      "quant.rules=[{kind: linear, scheme: 4w, group_size: 32}]"],
     "4w needs iOS 18 here, and the recipe supports 17"),
    (["backend=coreml", "quant=8da4w"], "coreml cannot run 8da4w for a linear"),
    (["backend=openvino", "backend.options.device=TPU"], "is none of CPU, GPU, NPU: a program"),
    (["backend=openvino", "backend.options.device=AUTO"], "is compiled for one device"),
    (["backend=openvino", "backend.options.device='HETERO:GPU'"], "is compiled for one device"),
    (["backend=openvino", "runtime.dynamic_shapes=true"], "openvino takes fixed shapes only"),
    (["backend=openvino", "runtime.attention=custom_op"], "openvino has no 'custom_op' attention"),
    (["backend=coreml", "runtime.attention=plain"], "coreml has no 'plain' attention"),
    (["backend=ethos_u"], "Ethos-U computes in integers"),
    (["backend=cortex_m"], "CMSIS-NN computes in integers"),
    (["backend=cortex_m", "quant=8a8w", "backend.options.cpu=M99"], "cpu=M99 is none of M0"),
    (["backend=ethos_u", "quant=8a8w", "backend.options.target=ethos-u99"],
     "target=ethos-u99 is none of ethos-u55-32"),
    (["backend=tosa", "quant.rules=[{kind: linear, scheme: 8a8w}, {kind: head, scheme: 16a8w}]"],
     "16a8w and 8a8w in one program"),
    (["backend=tosa", "backend.options.version=2"], "version=2 is neither auto nor like TOSA-1.0"),
    (["backend=xnnpack", "backend.fallbacks=[xnnpack]"], "'xnnpack' is named twice"),
    (["backend=coreml+xnpack"], "there is no backend 'xnpack'"),
    (["backend=vulkan+coreml", "runtime.dynamic_shapes=true"],
     "coreml cannot take what vulkan leaves: it takes fixed shapes"),
    (["backend=xnnpack+vulkan"], "other backends cannot read what xnnpack leaves"),
    (["backend=tosa+xnnpack"], "they are lowered from different dialects"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "text"), REFUSED)
def test_what_a_backend_cannot_is_refused_by_name(words: list[str], text: str) -> None:
    found = problems(*words)
    assert any(text in one for one in found), found
    assert all("fix:" in one for one in found)


def test_a_chain_of_backends_is_a_word() -> None:
    assert with_chains(["backend=coreml+xnnpack", "a=b+c"]) == [
        "backend=coreml", "backend.fallbacks=[xnnpack]", "a=b+c",
    ]  # fmt: skip
    recipe = recipe_of("backend=coreml+xnnpack")
    assert [b.name for b in resolve(recipe).backends] == ["coreml", "xnnpack"]
    assert "macOS and iOS only" in resolve(recipe).obstacle_to_running()
    assert resolve(recipe_of("backend=xnnpack")).obstacle_to_running() == ""


def test_a_device_that_openvino_does_not_find_is_refused_before_it_compiles() -> None:
    pytest.importorskip("openvino")
    words = ["model=tiny", "backend=openvino", "quant=8w", "backend.options.device=GPU.7"]
    found = [p for p in find_problems(api.compose_recipe(None, words).recipe) if p.environment]
    assert [p.key for p in found] == ["backend.options.device"]
    assert "OpenVINO compiles for GPU.7 only where it finds one; here it finds" in found[0].what
