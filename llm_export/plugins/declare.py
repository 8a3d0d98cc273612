"""The declaration of a plugin. Imports only the standard library."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from importlib.util import find_spec

_NAME = re.compile(r"[A-Za-z0-9][\w.@-]*")
_TARGET = re.compile(r"[A-Za-z_]\w*(\.\w+)*:[A-Za-z_]\w*")
_PACKAGE = re.compile(r"pkg://([A-Za-z_]\w*(\.\w+)*)")

KINDS = (
    "families", "tasks", "task_families", "backends", "transforms", "checkpoint_readers",
    "metrics", "evaluation_tasks", "target_kinds", "runtimes", "deploy_targets",
    "template_engines", "consumers",
)  # fmt: skip
"""Fields of ``Plugin`` that map names to objects."""


@dataclass(frozen=True)
class Plugin:
    """Names and where to find what they name; nothing is imported before it is used.

    Attributes:
        families: model_type -> "module:attribute" of a ``models.families.facts.Family``.
        tasks: name -> of a ``models.task.Task``.
        task_families: model_type -> of a ``models.programs.family.TaskFamily``.
        backends: name -> of a ``backends.base.Backend``; its module also holds the ``SUPPORT``
            table of the schemes that it runs.
        transforms: name -> of a ``transforms.named.NamedTransform``.
        checkpoint_readers: name -> of a ``checkpoints.base.Reader``.
        metrics: name -> of a ``metrics.base.Metric``.
        evaluation_tasks: name -> of an ``evaluation.base.EvaluationTask``.
        target_kinds: kind of device -> of a ``targets.base.TargetKind``.
        runtimes: name -> of a ``runtimes.base.Runtime``, a class whose file an interpreter without
            llm_export can run.
        deploy_targets: name -> of a ``deploy.base.DeployTarget``.
        template_engines: name -> of a ``template_engines.base.TemplateEngine``.
        consumers: NAME@VERSION -> of a ``consumers.contract.Contract``; ``read_contract`` reads one
            from a file.
        config: "pkg://package.conf", a package of options laid out as GROUP/NAME.yaml.
        recipes: "pkg://package.recipes", a package of recipes.
    """

    families: Mapping[str, str] = field(default_factory=dict)
    tasks: Mapping[str, str] = field(default_factory=dict)
    task_families: Mapping[str, str] = field(default_factory=dict)
    backends: Mapping[str, str] = field(default_factory=dict)
    transforms: Mapping[str, str] = field(default_factory=dict)
    checkpoint_readers: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, str] = field(default_factory=dict)
    evaluation_tasks: Mapping[str, str] = field(default_factory=dict)
    target_kinds: Mapping[str, str] = field(default_factory=dict)
    runtimes: Mapping[str, str] = field(default_factory=dict)
    deploy_targets: Mapping[str, str] = field(default_factory=dict)
    template_engines: Mapping[str, str] = field(default_factory=dict)
    consumers: Mapping[str, str] = field(default_factory=dict)
    config: str = ""
    recipes: str = ""

    def targets(self) -> Iterator[tuple[str, str, str]]:
        """(kind, name, "module:attribute") of everything that has a name."""
        for kind in KINDS:
            for name, target in getattr(self, kind).items():
                yield kind, name, target

    @property
    def packages(self) -> tuple[str, ...]:
        """Where options and recipes lie."""
        return tuple(place for place in (self.config, self.recipes) if place)


def fault_of(value: object) -> str:
    """What is wrong with what an entry point or a ``plugin.py`` gives; empty if nothing is.

    Modules that it names must exist; they are not imported.
    """
    if not isinstance(value, Plugin):
        return f"it is a {type(value).__name__}, not a llm_export.plugins.Plugin"
    for each in fields(Plugin):
        said = getattr(value, each.name)
        if each.name in KINDS:
            if not isinstance(said, Mapping):
                return f"{each.name} is a {type(said).__name__}, not a mapping of names"
        elif not isinstance(said, str) or (said and not _PACKAGE.fullmatch(said)):
            return f"{each.name}={said!r} is not of the form pkg://package.folder"
    for kind, name, target in value.targets():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            return f"{kind} has a name that cannot be one: {name!r}"
        if not isinstance(target, str) or not _TARGET.fullmatch(target):
            return f"{kind}['{name}'] is {target!r}, not of the form module:attribute"
        if missing := _missing(target.partition(":")[0]):
            return f"{kind}['{name}'] names a module that is not there: {missing}"
    for place in value.packages:
        if missing := _missing(place.removeprefix("pkg://")):
            return f"{place} is not there: {missing}"
    return ""


def _missing(module: str) -> str:
    try:
        return "" if find_spec(module) is not None else module
    except Exception as error:  # a parent package runs its own code
        return f"{module} ({type(error).__name__}: {error})".splitlines()[0]
