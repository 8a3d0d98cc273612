"""From bundles and what the user said to a project on disk."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from llm_export.bundle.opened import to_change
from llm_export.deploy import DEPLOY_TARGETS
from llm_export.deploy.base import DeployTarget, Project, Settings
from llm_export.deploy.refuse import refuse
from llm_export.deploy.write import require_place, write_project
from llm_export.errors import RecipeError, bundle_errors, did_you_mean
from runtime_py.bundle import Bundle

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,59}")


def deploy_bundles(
    paths: Sequence[Path],
    name: str,
    folder: str | Path,
    app: str | None,
    options: Mapping[str, str],
    build: bool,
) -> tuple[Project, Path, tuple[str, ...] | None]:
    """The project, its folder, and what its build told. See ``api.deploy``."""
    # Consumers are written with underscores.
    name = next((own for own in DEPLOY_TARGETS if own == name.replace("_", "-")), name)
    target = DEPLOY_TARGETS.get(name)
    _require_options(name, target, options)
    if target.for_options is not None:
        target = target.for_options(options)
    if build and target.build is None:
        raise RecipeError(
            f"a project for {name} cannot be built by this command", where="--build",
            fix="leave --build out: the command prints how to build it",
        )  # fmt: skip
    if len(paths) > 1 and not target.several:
        raise RecipeError(f"{name} takes one bundle", where="deploy", fix="a folder for each")
    bundles = [_opened(path) for path in paths]
    settings = Settings(_app_name(app, bundles[0]), options)
    for bundle in bundles:
        refuse(bundle, name, target, settings)
    place = require_place(folder, [bundle.path for bundle in bundles], target.leftovers)
    project = target.make(bundles, settings)
    write_project(project, place, target.leftovers)
    built = None
    if build:
        assert target.build is not None
        built = tuple(target.build(place))
    return project, place, built


def _opened(path: Path) -> Bundle:
    with bundle_errors():
        return Bundle.open(to_change(path), verify_hashes=True)


def _require_options(name: str, target: DeployTarget, options: Mapping[str, str]) -> None:
    for key in options:
        if key not in target.options:
            known = ", ".join(sorted(target.options)) or "none"
            raise RecipeError(
                f"{name} has no option '{key}'", where=f"--set {key}=",
                fix=did_you_mean(key, target.options) or f"options: {known}",
            )  # fmt: skip


def _app_name(said: str | None, bundle: Bundle) -> str:
    if said is not None:
        if not _NAME.fullmatch(said):
            raise RecipeError(
                "an app's name has letters, digits, - and _, begins with a letter, and has at most "
                "60 characters", where=f"--name {said}", fix="--name MyApp",
            )  # fmt: skip
        return said
    found = re.sub(r"[^A-Za-z0-9_-]+", "_", bundle.manifest["name"])[:60]
    return found if _NAME.fullmatch(found) else f"app_{found}"[:60]
