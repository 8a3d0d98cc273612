"""Names that no recipe has."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_export.config.compose import Composer
from llm_export.errors import RecipeError


@pytest.mark.parametrize(
    ("name", "what", "fix"),
    [
        ("llama3_8b", "is an option of model", "model=llama3_8b backend=xnnpack quant=8da8w"),
        ("coreml", "is an option of backend", "RECIPE backend=coreml"),
        ("smollm2_135m_xnpack", "there is no recipe", "'smollm2_135m_xnnpack_8da8w'"),
        ("zzzzzz", "there is no recipe", "llm-export ls recipes lists them, or give a .yaml file"),
    ],
)
def test_the_error_leads_on_in_one_line(name: str, what: str, fix: str) -> None:
    with pytest.raises(RecipeError) as refused:
        Composer(name)
    assert what in refused.value.what
    assert fix in (refused.value.fix or "")
    assert len(refused.value.fix or "") < 150


def test_a_fetched_recipe_is_told_its_whole_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = tmp_path / "llm_export" / "recipes" / "local" / "fetched"
    entry.mkdir(parents=True)
    (entry / "origin.json").write_text("{}")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with pytest.raises(RecipeError, match="of the library") as refused:
        Composer("fetched")
    assert refused.value.fix == "its whole name: local/fetched"
