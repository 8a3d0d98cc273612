"""The gates after lowering."""

from __future__ import annotations

import pytest

from llm_export.errors import PostConditionError
from llm_export.stages.lower import require_size
from llm_export.stages.lowering.delegation import require_delegated


def test_a_matrix_product_outside_fails() -> None:
    require_delegated({"aten.slice_copy": 9, "llama.custom_sdpa": 2}, "xnnpack")
    for name in ("aten.mm", "aten.addmm", "aten.bmm", "aten.linear"):
        with pytest.raises(PostConditionError, match=f"xnnpack did not take 3 x {name}"):
            require_delegated({name: 3}, "xnnpack")


def test_a_file_larger_than_predicted_fails() -> None:
    require_size(105_000_000, 104_000_000, 30)
    with pytest.raises(PostConditionError, match=r"its rules predict 104\.0 MB"):
        require_size(135_000_000, 104_000_000, 30)
