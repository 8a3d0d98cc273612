"""What a target of ``llm-export deploy`` is, and what it makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from runtime_py.bundle import Bundle
from runtime_py.bundle_task import GENERATE, SEE


@dataclass(frozen=True)
class Project:
    """The files of a project; paths are relative to its folder, with ``/`` between their parts.

    Attributes:
        files: path -> content.
        copies: path -> the file to copy, of a bundle for example.
        executable: those of ``files`` that are programs.
        steps: commands to type in the folder, in their order; the first is the one that builds.
        notes: what the user should know, a sentence each.
    """

    files: Mapping[str, str | bytes]
    copies: Mapping[str, Path] = field(default_factory=dict)
    executable: frozenset[str] = frozenset()
    steps: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Settings:
    """What the user said of the project.

    Attributes:
        name: of the app; letters, digits, ``-`` and ``_``.
        options: of ``DeployTarget.options``, those that were given.
    """

    name: str
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Obstacle:
    """Why a target cannot take a bundle.

    Attributes:
        what: completes "TARGET cannot take this bundle: ".
        fix: a change of the recipe or a command.
    """

    what: str
    fix: str


@dataclass(frozen=True)
class DeployTarget:
    """A platform for which projects are written.

    Attributes:
        description: one line.
        make: the project of the bundles, of which there is one unless ``several``. It writes
            nothing.
        backends: delegates that the platform's libraries have, by the names in a manifest's
            ``requires.backends``; None: any.
        operators: namespaces of operators that they have, such as ``aten``; None: any.
        options: key of ``--set`` -> what it does.
        obstacles: further reasons to refuse a bundle.
        consumers: contracts (``llm_export.consumers``) that the bundle must meet, NAME or
            NAME@VERSION.
        build: builds a written project here and tells what it did, line by line; None: it cannot
            be built on this kind of machine. Raises MissingDependencyError for a missing tool and
            LlmExportError if it does not build.
        leftovers: shell patterns of paths of what building and running leave in the project, which
            do not keep it from being written anew, and stay.
        several: whether it takes more than one bundle.
        for_options: the target as the user's options make it, whose other fields may differ from
            this one's. Raises RecipeError for a wrong value.
        tasks: those of the bundles that its projects are for.
    """

    description: str
    make: Callable[[Sequence[Bundle], Settings], Project]
    backends: frozenset[str] | None = None
    operators: frozenset[str] | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    obstacles: Callable[[Bundle], Sequence[Obstacle]] = lambda bundle: ()
    consumers: Callable[[Settings], Sequence[str]] = lambda settings: ()
    build: Callable[[Path], Sequence[str]] | None = None
    leftovers: frozenset[str] = frozenset()
    several: bool = False
    for_options: Callable[[Mapping[str, str]], DeployTarget] | None = None
    tasks: tuple[str, ...] = (GENERATE, SEE)
