"""Write projects for apps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Deployed:
    """
    Attributes:
        folder: of the project.
        files: number of its files.
        bytes: of all of them.
        steps: commands to type in the folder.
        built: what the build told, line by line; None: it was not asked for.
    """

    folder: Path
    files: int
    bytes: int
    steps: tuple[str, ...]
    notes: tuple[str, ...]
    built: tuple[str, ...] | None = None


def deploy(
    bundles: str | Path | Sequence[str | Path],
    target: str,
    folder: str | Path,
    *,
    name: str | None = None,
    options: Mapping[str, str] | None = None,
    build: bool = False,
) -> Deployed:
    """Write a project with a bundle in it, ready to build.

    Args:
        target: android, cpp, ...: of ``llm_export.deploy.DEPLOY_TARGETS``.
        folder: to create; a project that is there unchanged is replaced, and what building left
            in it stays.
        name: of the app; default: the bundle's name.
        options: of the target.
        build: also build it here.

    Raises:
        RecipeError: no such target or option, or a name that cannot be one.
        BundleError: no bundle, a damaged one, or one that the target cannot take.
        InputError: the folder cannot be written.
        MissingDependencyError, LlmExportError: it cannot be built here, or does not build.
    """
    from llm_export.deploy.run import deploy_bundles

    given = [bundles] if isinstance(bundles, (str, Path)) else list(bundles)
    project, place, built = deploy_bundles(
        [Path(each) for each in given], target, folder, name, options or {}, build
    )
    written = [place / name for name in (*project.files, *project.copies)]
    size = sum(file.stat().st_size for file in written)
    return Deployed(place, len(written), size, project.steps, project.notes, built)
