"""Compose a recipe from config groups, a file and overrides.

The result is a plain dataclass, not a DictConfig. Every error of Hydra or OmegaConf is converted
to a RecipeError of a few lines.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import resources
from importlib.abc import Traversable
from itertools import chain, product
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.plugins.completion_plugin import DefaultCompletionPlugin
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from llm_export.compat.hydra_config import (
    ConfigSearchPathImpl,
    Hydra,
    completions,
    stored,
    sweep_jobs,
)
from llm_export.compat.hydra_memory import remembered
from llm_export.compat.hydra_options import on_options, place_of
from llm_export.compat.hydra_overrides import before_each_override
from llm_export.config import messages
from llm_export.config.chains import with_chains
from llm_export.config.composed import Composed, Variant
from llm_export.config.defaults_list import require_one_each
from llm_export.config.library import is_shared
from llm_export.config.optional_blocks import open_block, open_mapping
from llm_export.config.quant_rule_errors import LISTS, chosen_quant_options, require_rules
from llm_export.config.recipe_source import (
    read_recipe,
    recipe_file,
    refuse_code,
    refuse_code_in,
    refuse_foreign_targets,
    require_plain_option,
)
from llm_export.config.renamed import announce, current_overrides, rename_in
from llm_export.config.schema import GROUPS, Recipe
from llm_export.config.schema_nodes import store_schema, typed
from llm_export.config.search_path import plugin_places, require_distinct
from llm_export.config.settled import require_name, require_settled
from llm_export.config.unknown_recipe import unknown_recipe
from llm_export.errors import InputError, LlmExportError, RecipeError, did_you_mean, first_line

BASE = "export_base"
_RECIPE = "_recipe"


def _open_block(cfg: DictConfig, override: Override) -> None:
    if not override.is_delete():
        open_block(cfg, override.key_or_group, override.value())
        if not (override.is_add() or override.is_force_add()):
            open_mapping(cfg, override.key_or_group)


class Composer:
    """Composes recipes on one search path: shipped options and recipes, then extra folders.

    Args:
        source: name of a shipped recipe, path of a YAML file, or None for the defaults.
        config_dir: a further folder with options and recipes.
    """

    def __init__(self, source: str | None = None, config_dir: str | None = None) -> None:
        store_schema()
        self.file, self.config_dir = recipe_file(source), config_dir
        path = ConfigSearchPathImpl()
        path.append("hydra", "pkg://hydra.conf")
        path.append("llm_export", "pkg://llm_export.conf")
        path.append("llm_export", "pkg://llm_export.recipes")
        if config_dir is not None and not Path(config_dir).is_dir():
            raise InputError("--config-dir is not a folder", where=config_dir)
        self.places = plugin_places(config_dir)
        for place in self.places:
            path.append(place.origin, place.path)
        if self.file is not None and not is_shared(self.file):
            path.append("recipe file", f"file://{self.file.parent.resolve()}")
        path.append("schema", "structured://")
        Plugins.instance()  # registers the sources behind pkg:// and file://
        GlobalHydra.instance().clear()
        self.hydra = Hydra.create_main_hydra2("llm_export", path)
        self.loader = self.hydra.config_loader
        self._renamed: dict[str, list[str]] = {}
        on_options(self.loader, self._rename_in_option, require_plain_option)
        self.source = source
        self.config_name = BASE if source is None else _RECIPE
        self._stem: str = ""
        self.body: dict[str, Any] | None = None
        if source is not None:
            self._stem = source if self.file is None else self.file.stem
            self.body = read_recipe(self.place(source))
            self._renamed[source] = rename_in(self.body)

    # -- listing ---------------------------------------------------------------------------

    def options(self, group: str) -> list[str]:
        """Names of the options of a group, or of the recipes for ''."""
        names = self.loader.get_group_options(group, ObjectType.CONFIG)
        return sorted(n for n in names if group or (n != BASE and not n.startswith("_")))

    def describe(self, group: str, name: str) -> tuple[str, str]:
        """(description, origin) of an option or, for group '', of a recipe; what the description
        refers to is not looked up. Of a file that cannot be read, what is wrong with it."""
        option = f"{group}/{name}" if group else name
        try:
            loaded = self._stored(option)
        except LlmExportError as error:
            return f"broken: {first_line(error)} ({error.where or name})", ""
        if loaded is None:
            return "", ""
        body: Any = OmegaConf.to_container(loaded.config, resolve=False)
        nodes = (body, body.get(group)) if isinstance(body, dict) else ()
        found = (node.get("description") for node in nodes if isinstance(node, dict))
        return str(next(filter(None, found), "")), f"{loaded.path}/{option}.yaml"

    def _stored(self, name: str) -> Any:
        with messages.translated(self, ()):
            return stored(self.loader, name)

    def _origin(self, group: str, name: str) -> str:
        """The file of an option that was just composed, in its package or folder."""
        if place := place_of(self.loader, f"{group}/{name}"):
            return f"{place}/{group}/{name}.yaml"
        for source in self.loader.get_sources():
            if source.is_config(f"{group}/{name}"):
                place = source.full_path().partition("://")[2]
                return f"{place}/{group}/{name}.yaml"
        return ""

    def option(self, group: str, name: str) -> dict[str, Any]:
        """The content of an option's file, without interpolation. Raises RecipeError if broken."""
        loaded = self._stored(f"{group}/{name}")
        body = OmegaConf.to_container(loaded.config, resolve=False) if loaded else {}
        return body.get(group, body) if isinstance(body, dict) else {}

    # -- composing -------------------------------------------------------------------------

    def config(self, overrides: Sequence[str], mode: RunMode = RunMode.RUN) -> DictConfig:
        """The composed, unresolved config, including Hydra's own node.

        Raises:
            RecipeError: the recipe is wrong, or an option defines objects for Hydra to
                instantiate.
        """
        refuse_code_in(overrides)
        require_distinct(self.places, self.file)
        with messages.translated(self, overrides):
            self._store_recipe(overrides)
            with before_each_override(_open_block), remembered(self.loader):
                cfg = self.hydra.compose_config(
                    config_name=self.config_name,
                    overrides=list(overrides),
                    run_mode=mode,
                    with_log_configuration=False,
                )
        refuse_foreign_targets(OmegaConf.to_container(cfg.hydra, resolve=False))
        return cfg

    def compose(self, overrides: Sequence[str] = ()) -> Composed:
        """Compose to dataclasses.

        Raises:
            RecipeError: the recipe, its file or an override is wrong.
        """
        overrides, renamed = current_overrides(with_chains(overrides))
        cfg = self.config(overrides)
        choices = {g: cfg.hydra.runtime.choices.get(g) for g in GROUPS}
        recipe = self._finish(cfg, overrides)
        origins = {"recipe": self.source or BASE}
        for group, choice in choices.items():
            origins[group] = self._origin(group, choice) if choice else origins["recipe"]
        warnings = self._warnings(choices, renamed)
        announce(warnings)
        return Composed(recipe, choices, origins, overrides, warnings)

    def parse_sweep(self, overrides: Sequence[str]) -> tuple[list[Override], list[str]]:
        """(overrides with current names, a warning for each former name).

        Raises:
            RecipeError: an override is invalid.
        """
        refuse_code_in(overrides)
        overrides, renamed = current_overrides(overrides)
        announce(renamed)
        with messages.translated(self, overrides):
            return self._parse(overrides), renamed

    def variants(self, overrides: Sequence[str]) -> list[Variant]:
        """Every combination of the values that ``overrides`` sweep over.

        A combination that cannot be composed is returned with its problem.

        Raises:
            RecipeError: an override is invalid, or no combination can be composed.
        """
        parsed, renamed = self.parse_sweep(overrides)
        swept = [o for o in parsed if o.is_sweep_override()]
        with messages.translated(self, [str(o.input_line) for o in parsed]):
            for override in swept:
                self.require_options(override)
            jobs = sweep_jobs(parsed)
        keys = [o.get_key_element() for o in swept]
        found = [self.variant(job, keys, renamed) for job in jobs]
        problems = [v.problem for v in found if v.problem is not None]
        if len(problems) == len(found):
            raise problems[0]
        return found

    def variant(self, job: list[str], keys: list[str], renamed: Sequence[str] = ()) -> Variant:
        """One combination of the values of ``keys``, which may not compose."""
        values = dict(word.split("=", 1) for word in job if "=" in word)
        choices = {key.lstrip("+"): values[key] for key in keys}
        try:
            composed = self.compose(job)
            warnings = [*renamed, *composed.warnings]
            return Variant(job, choices, replace(composed, warnings=warnings), None)
        except RecipeError as error:
            return Variant(job, choices, None, error)

    def require_options(self, override: Override) -> None:
        """Raise RecipeError if a group is swept over an option that there is not."""
        group = override.key_or_group
        if group in GROUPS:
            known = self.options(group)
            for value in override.sweep_string_iterator():
                for name in value.split("+"):
                    if name not in known:
                        fix = did_you_mean(name, known)
                        where = f"override {override.input_line}"
                        raise RecipeError(f"there is no {group} '{name}'", where=where, fix=fix)

    # -- Hydra's own views -----------------------------------------------------------------

    def show(self, overrides: Sequence[str], what: str, package: str | None, resolve: bool) -> None:
        """Print the composed config: ``--cfg job|hydra|all``."""
        refuse_code_in(overrides)
        overrides, renamed = current_overrides(overrides)
        require_distinct(self.places, self.file)
        with messages.translated(self, overrides):
            self._store_recipe(overrides)
            with before_each_override(_open_block), remembered(self.loader):
                self.hydra.show_cfg(self.config_name, list(overrides), what, package, resolve)
        announce(self._warnings({}, renamed))

    def completion_script(self, command: str, shell: str) -> None:
        """Print the shell code that installs or uninstalls completion.

        Raises:
            RecipeError: Hydra does not support the shell.
        """
        plugins = self.hydra.get_shell_to_plugin_map(self.loader)
        if shell not in plugins:
            raise RecipeError(f"no completion for '{shell}'", fix=did_you_mean(shell, plugins))
        plugin = plugins[shell][0]
        plugin.install() if command == "install" else plugin.uninstall()

    def complete(self, line: str) -> list[str]:
        """Overrides that complete ``line``."""
        self._store_recipe([])
        plugin = DefaultCompletionPlugin(self.loader)
        found = completions(plugin, self.config_name, line)
        return [word for word in found if not word.startswith(("hydra", "schema"))]

    # -- parts -----------------------------------------------------------------------------

    def _rename_in_option(self, name: str, body: dict[str, Any]) -> bool:
        group = name.rpartition("/")[0]
        found = [*rename_in(body, group), *(rename_in(body) if group else ())]
        if found:
            self._renamed[name] = found
        return bool(found)

    def _warnings(self, choices: Mapping[str, str | None], renamed: Sequence[str]) -> list[str]:
        """Deprecation warnings of the overrides, the recipe and the chosen options, each once."""
        chosen = {f"{group}/{choice}" for group, choice in choices.items()}
        files = (
            lines for name, lines in self._renamed.items()
            if name in chosen or name.partition("/")[0] not in GROUPS
        )  # fmt: skip
        return list(dict.fromkeys(chain(renamed, *files)))

    def _parse(self, overrides: Sequence[str]) -> list[Override]:
        """By Hydra's grammar; its errors are Hydra's own."""
        return OverridesParser.create(config_loader=self.loader).parse_overrides(list(overrides))

    def values(self, overrides: Sequence[str]) -> list[tuple[str, Any]]:
        """(key or group, value) of each override, not interpolated.

        Raises:
            RecipeError: an override cannot be parsed, deletes a key, or sweeps.
        """
        overrides = current_overrides(overrides)[0]
        with messages.translated(self, overrides):
            parsed = self._parse(overrides)
        for override in parsed:
            if override.is_delete() or override.is_sweep_override():
                raise RecipeError("only KEY=VALUE is taken here", where=str(override.input_line))
        return [(o.key_or_group, o.value()) for o in parsed]

    def rule_lists(self, overrides: Sequence[str]) -> Iterator[tuple[str, Any]]:
        """(key, value) of every list of rules, not interpolated; the command line's first."""
        parsed = [
            (o.key_or_group, o.value())
            for o in self._parse(overrides)
            if not o.is_delete() and not o.is_sweep_override()
        ]
        yield from ((key, value) for key, value in parsed if key in LISTS)
        quants = [(self.body or {}).get("quant")]
        for option in [*(v for k, v in parsed if k == "quant"), *chosen_quant_options(self.body)]:
            loaded = stored(self.loader, f"quant/{option}")
            if loaded is not None:
                quants.append(OmegaConf.to_container(loaded.config, resolve=False))
        for quant, key in product(quants, LISTS):
            *parents, leaf = key.split(".")[1:]
            node = quant
            for parent in parents:
                node = node.get(parent) if isinstance(node, dict) else None
            if isinstance(node, dict) and leaf in node:
                yield key, node[leaf]

    def place(self, source: str) -> Traversable:
        """The file of a recipe, which may be inside a package.

        Raises:
            RecipeError: there is no recipe of this name.
        """
        if self.file is not None:
            return self.file
        loaded = self._stored(source)
        if loaded is None or loaded.is_schema_source:
            raise unknown_recipe(source, self)
        scheme, _, folder = loaded.path.partition("://")
        place = resources.files(folder) if scheme == "pkg" else Path("/" + folder.lstrip("/"))
        return place.joinpath(f"{source}.yaml")

    def _store_recipe(self, overrides: Sequence[str]) -> None:
        """Store the recipe in Hydra's config store, without the values of replaced groups.

        If the command line chooses another option of a group, the values that the recipe set for
        its own option are dropped, because they would mix two options.

        Raises:
            RecipeError: an override chooses several options of a group, which Hydra would mix.
        """
        chosen = [
            o for o in self._parse(overrides)
            if o.key_or_group in GROUPS and not o.is_delete() and not isinstance(o.value(), dict)
        ]  # fmt: skip
        require_one_each(chosen)
        if self.body is None:
            return
        body, swapped = dict(self.body), {o.key_or_group for o in chosen}
        for group in swapped:
            body.pop(group, None)
        if "model" in swapped:
            body.pop("checkpoint", None)
        if swapped:
            body["name"] = "${model.name}_${backend.name}_${quant.name}"
        body.setdefault("name", self._stem)
        ConfigStore.instance().store(name=f"{_RECIPE}.yaml", node=body, provider="recipe")

    def _finish(self, cfg: DictConfig, overrides: Sequence[str]) -> Recipe:
        # ``cfg`` is not used again: taking away and merging in place copy nothing.
        with open_dict(cfg):
            del cfg["hydra"]
        refuse_code(OmegaConf.to_container(cfg, resolve=False))
        messages.refuse_unknown(overrides)
        with messages.translated(self, overrides):
            cfg = typed(cfg)
            for key in LISTS:
                rules = OmegaConf.select(cfg, key)
                if rules is not None:
                    require_rules(OmegaConf.to_container(rules, resolve=True), key)
            try:
                recipe = OmegaConf.to_object(cfg)
            except Exception:
                for group in ("checkpoint", *GROUPS):  # one by one, to name the group
                    with messages.in_group(group):
                        OmegaConf.to_object(cfg[group])
                raise
        assert isinstance(recipe, Recipe)
        require_settled(recipe)
        require_name(recipe)
        return recipe
