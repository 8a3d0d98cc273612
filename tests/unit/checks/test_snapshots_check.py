"""runtime.snapshots=require: what is refused before any work starts."""

from __future__ import annotations

import pytest

from llm_export import api
from llm_export.checks.rules import backend_is_understood
from llm_export.checks.snapshots import snapshots_fit
from llm_export.resolve.recipe import resolve


@pytest.mark.parametrize(
    ("overrides", "refused"),
    [
        (("backend=xnnpack",), False),
        (("backend=vulkan",), True),
        (("backend=vulkan", "runtime.snapshots=auto"), False),
        (("backend=vulkan+xnnpack",), True),
        (("backend=vulkan", "runtime=static", "runtime.attention=custom_op"), True),
        (("backend=vulkan", "runtime=static", "runtime.attention=plain"), False),
        (("backend=vulkan", "runtime.attention=static_io"), False),
        (("backend=coreml", "backend.options.stateful=true"), True),
        (("backend=coreml",), False),
    ],
)
def test_state_that_a_delegate_holds(overrides: tuple[str, ...], refused: bool) -> None:
    words = ["model=tiny", "runtime.snapshots=require", *overrides]
    resolved = resolve(api.compose_recipe(None, words).recipe)
    found = [p for p in backend_is_understood(resolved) if p.key == "runtime.snapshots"]
    found += snapshots_fit(resolved)
    assert bool(found) is refused
    for problem in found:
        assert "cannot give" in problem.what
        assert "runtime.snapshots=auto" in problem.fix
        assert ("runtime.attention=plain" in problem.fix) is ("runtime=static" in overrides)
