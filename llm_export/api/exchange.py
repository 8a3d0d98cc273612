"""Share recipes with others, and fetch shared recipes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_export.api.forms import RecipeLike, later, source_of, words
from llm_export.config.library import LOCK, library_folder, library_names
from llm_export.errors import RecipeError
from llm_export.home import expanded

if TYPE_CHECKING:
    from llm_export.sharing.examine import Found
    from llm_export.sharing.pack import Packed
    from llm_export.sharing.source import Fetched


@dataclass(frozen=True)
class Shared:
    """The packed files, and the folder or address that they were written to."""

    packed: Packed
    address: str


@dataclass(frozen=True)
class Offer:
    """A shared recipe that was fetched and checked; none of its contents were executed.

    Attributes:
        found: the recipes that it contains.
        place: its folder in the library.
        former: origin of the library entry that it replaces; None if there is none.
        digest: one sha256 of all file names and contents.
    """

    fetched: Fetched
    found: tuple[Found, ...]
    library: Path
    place: Path
    former: dict[str, Any] | None
    digest: str

    @property
    def recipes(self) -> list[str]:
        """The names under which ``run`` and ``compose`` find the recipes once they are in the
        library."""
        return [self._source(entry.file, len(self.found)) for entry in self.found]

    @property
    def lock(self) -> str | None:
        """The name of the lock, which ``run`` takes to reproduce the program; None if there is no
        lock."""
        return self._source(LOCK, 2) if LOCK in self.fetched.files else None

    def _source(self, file: str, count: int) -> str:
        if self.library.resolve() != library_folder().resolve():
            return str(self.place / file)
        entry = f"{self.place.parent.name}/{self.place.name}"
        return entry if count == 1 else f"{entry}/{Path(file).stem}"


def share(
    recipe: RecipeLike,
    overrides: Sequence[str] = (),
    config_dir: str | None = None,
    *,
    to: str | Path,
    licence: str | None = None,
    holder: str | None = None,
    model_licence: str | None = None,
    private: bool = False,
    packed: Callable[[Packed], None] = lambda packed: None,
) -> Shared:
    """Pack a recipe, or a bundle's recipe with its evidence. Weights and programs are never packed.

    Args:
        recipe: a recipe argument (see ``llm_export.api``), or a bundle's folder.
        to: output folder, or hf:ORG/NAME on the Hugging Face hub.
        licence: licence of the recipe: BSD-3-Clause (None), MIT, or a file with its text.
        holder: copyright holder of the recipe.
        model_licence: licence of the model, if its model card is not on this machine.
        private: create a private repository on the hub.
        packed: called with the packed files before anything is written.

    Raises:
        LlmExportError: the recipe is wrong or names what cannot be shared, the bundle is damaged,
            or the target cannot be written.
    """
    from llm_export.bundle.opened import to_change
    from llm_export.sharing.hub import PREFIX, HubSource, upload
    from llm_export.sharing.licences import licence as licence_of
    from llm_export.sharing.pack import pack, require_pack_or_nothing, write

    if recipe is None and not words(overrides):
        raise RecipeError("nothing was named to share", fix="llm-export share --help")
    target = str(to)
    repository = HubSource.parse(target).repository if target.startswith(PREFIX) else None
    if repository is None:
        require_pack_or_nothing(Path(target))
    # The folder of a bundle is passed on unchanged; a packed one lacks some of the evidence.
    if isinstance(recipe, str | Path):
        to_change(recipe)
    named = str(recipe) if isinstance(recipe, Path) and recipe.is_dir() else recipe
    with source_of(named, config_dir) as (source, before):
        made = pack(
            source, later(before, words(overrides)), config_dir, licence_of(licence, holder),
            model_licence=model_licence, target=target,
        )  # fmt: skip
    packed(made)
    if repository is None:
        write(made, Path(target))
        return Shared(made, target)
    with tempfile.TemporaryDirectory(prefix="llm_export-share-") as scratch:
        write(made, Path(scratch) / "recipe")
        return Shared(made, upload(Path(scratch) / "recipe", repository, private))


def get(
    source: str | Path,
    library: str | Path | None = None,
    *,
    confirm: Callable[[Offer], bool] = lambda offer: True,
) -> Offer | None:
    """Fetch a shared recipe into the library. None of its contents are executed.

    Args:
        source: hf:ORG/NAME@REVISION, git+URL@REVISION#FOLDER, an archive, a folder or a file.
        library: folder of the library; None is ``$XDG_DATA_HOME/llm_export/recipes``.
        confirm: called before anything is written; if it returns False, nothing is.

    Returns:
        The fetched recipe; None if ``confirm`` returned False.

    Raises:
        LlmExportError: it cannot be fetched, is not safe, or its place is taken.
    """
    from llm_export.sharing.examine import examine
    from llm_export.sharing.index import digest_of
    from llm_export.sharing.library import former, place_of, put
    from llm_export.sharing.source import fetch

    folder = expanded(library) if library else library_folder()
    fetched = fetch(str(source))
    found = examine(fetched.files, fetched.origin)
    offer = Offer(
        fetched, tuple(found), folder, place_of(fetched, folder), former(fetched, folder),
        digest_of(fetched.files),
    )  # fmt: skip
    if not confirm(offer):
        return None
    put(fetched, folder)
    return offer


def fetched(library: str | Path | None = None) -> list[str]:
    """AUTHOR/NAME of every entry of the library."""
    return library_names(expanded(library) if library else library_folder())
