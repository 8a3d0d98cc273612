"""Functions take a recipe as a name, a file, or an object; overrides apply to each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llm_export import api
from llm_export.config.composed import Composed
from llm_export.config.difference import differences
from llm_export.config.recipe_files import recipe_yaml
from llm_export.config.schema import Recipe
from llm_export.errors import RecipeError

NAME = "smollm2_135m_xnnpack_8da8w"
Form = Callable[[Path], Any]


def written(folder: Path) -> Path:
    file = folder / f"{NAME}.yaml"
    file.write_text(recipe_yaml(api.compose(NAME).recipe))
    return file


FORMS: dict[str, Form] = {
    "name": lambda folder: NAME,
    "file": lambda folder: str(written(folder)),
    "path": written,
    "composed": lambda folder: api.compose(NAME),
    "recipe": lambda folder: api.compose(NAME).recipe,
}


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return FORMS[request.param](tmp_path)


def test_each_form_is_the_same_recipe(form: Any) -> None:
    assert differences(api.compose(form).recipe, api.compose(NAME).recipe) == []


def test_overrides_apply_to_each_form(form: Any) -> None:
    words = ["quant=none", "runtime.context_length=512"]
    found, wanted = api.compose(form, words), api.compose(NAME, words)
    different = [d.key for d in differences(found.recipe, wanted.recipe)]
    # Of values alone, nothing says that this one refers to another group.
    assert different in ([], ["verify.quality.max_mean_kl"])
    assert found.recipe.name == wanted.recipe.name
    assert found.choices["quant"] == "none"
    assert found.overrides[-2:] == words


@pytest.mark.parametrize("form", ["name", "recipe"], indirect=True)
def test_functions_take_each_form(form: Any, tmp_path: Path) -> None:
    assert api.check(form) == []
    assert [p.key for p in api.check(form, ["quant=8da4w", "quant.group_size=48"])]
    assert api.validate(form, build=False).problems == []
    assert api.predict(form, ["runtime.context_length=256"]) is not None
    assert "scheme: 8da8w" in api.show(form)
    assert api.diff(form, NAME) == []
    (found,) = api.diff(form, overrides=["runtime.context_length=512"])
    assert (found.key, found.left, found.right) == ("runtime.context_length", None, 512)
    copy = api.cp(form, tmp_path / "copy.yaml")
    assert api.diff(copy.path, NAME) == []
    shared = api.share(form, to=tmp_path / "shared")
    assert shared.packed.name == NAME
    assert (tmp_path / "shared" / "share.json").is_file()


def test_a_copy_has_the_overrides_of_a_composed_recipe(tmp_path: Path) -> None:
    composed = api.compose(NAME, ["quant=8da4w"])
    copy = api.cp(composed, tmp_path)
    assert copy.path == tmp_path / f"{composed.recipe.name}.yaml"
    assert copy.path.read_text().startswith(f"# {copy.command}\n")
    assert api.diff(copy.path, composed) == []
    assert api.share(composed, to=tmp_path / "shared").packed.name == composed.recipe.name


def test_a_composed_recipe_is_composed_anew() -> None:
    """So that values which refer to what is overridden follow; the later word of a key counts."""
    first = api.compose(NAME, ["quant=8da4w", "runtime.context_length=512"])
    found = api.compose(first, ["quant=none"])
    assert found.recipe == api.compose(NAME, ["runtime.context_length=512", "quant=none"]).recipe
    changed = replace(first, recipe=replace(first.recipe, description="mine"))
    assert api.compose(changed, ["quant=none"]).recipe.description == "mine"


def test_a_composed_recipe_keeps_what_it_was_made_from(tmp_path: Path) -> None:
    out = tmp_path / "it's here"
    first = api.compose(NAME, [f"out='{str(out).replace(chr(39), chr(92) + chr(39))}'"])
    assert first.recipe.out == str(out)
    found = api.compose(first, ["quant=none"])
    assert found.recipe.out == str(out)
    assert api.output_folder(found) == out
    assert found.choices == {**first.choices, "quant": "none"}
    assert found.overrides == [*first.overrides, "quant=none"]
    assert found.origins["model"] == first.origins["model"]


def test_a_recipe_made_in_python_has_a_name() -> None:
    recipe = api.compose(None, ["model=tiny"]).recipe
    assert api.compose(replace(recipe, name="???")).recipe.name == "tiny_portable_none"
    with pytest.raises(RecipeError, match="cannot name a bundle"):
        api.compose(replace(recipe, name="../up"))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: api.compose(3), ("this is no recipe: int", "recipe", "api.compose")),  # type: ignore[arg-type]
        (lambda: api.compose(NAME, "quant=none"), ("overrides are a list", "overrides=", "[")),
        (lambda: api.diff(NAME), ("can be compared", "diff", "RECIPE RECIPE")),
        (lambda: api.run(NAME, until="quantise"), ("no stage 'quantise'", "until", "'quantize'")),
        (lambda: api.schema("quants"), ("no group 'quants'", "schema", "'quant'")),
        (lambda: api.cp(None, "x.yaml"), ("nothing was named", "recipe", "ls")),
        (lambda: api.new("x.yaml", model="tiny"), ("needs a backend", "--backend", "ls backends")),
        (lambda: api.cached_stages(["lowr"]), ("no stage 'lowr'", "--stage", "'lower'")),
        (lambda: api.clear_cache(older_than="7"), ("is no age", "--older-than", "7d")),
    ],
)
def test_mistakes_say_what_where_and_the_fix(
    call: Callable[[], Any], words: tuple[str, str, str]
) -> None:
    with pytest.raises(RecipeError) as caught:
        call()
    error = caught.value
    what, where, fix = words
    assert what in error.what
    assert where in (error.where or "")
    assert fix in (error.fix or "")


def test_a_sweep_takes_a_recipe_as_an_object(tmp_path: Path) -> None:
    """Every variant is refused by the checks, so that none runs."""
    base = api.compose(None, ["model=tiny", f"out={tmp_path / 'sweep'}"])
    assert isinstance(base, Composed)
    assert isinstance(base.recipe, Recipe)
    result = api.sweep(base, ["quant=8da4w,8da8w"], quiet=True)
    assert result.folder == tmp_path / "sweep"
    assert [row.error is not None for row in result.rows] == [True, True]
    assert result.exit_code == 2


def test_fetching_asks_first(tmp_path: Path) -> None:
    api.share(NAME, to=tmp_path / "shared")
    library = tmp_path / "library"
    seen: list[str] = []

    def refuse(offer: api.Offer) -> bool:
        seen.append(offer.found[0].recipe.name)
        return False

    assert api.get(tmp_path / "shared", library, confirm=refuse) is None
    assert seen == [NAME]
    assert api.fetched(library) == []
    offer = api.get(tmp_path / "shared", library)
    assert offer is not None
    assert api.fetched(library) == [f"local/{offer.place.name}"]
    assert api.diff(offer.recipes[0], NAME) == []
