"""Print the JSON Schema of recipe files, for completion and validation in editors.

llm-export schema                        to look at
llm-export schema recipe.schema.json     and a file's first line then says which one is meant:
                                         # yaml-language-server: $schema=recipe.schema.json
llm-export schema quant                  of option files of a group
"""

from __future__ import annotations

import argparse
import json

from llm_export import api
from llm_export.api.recipe_files import write_file
from llm_export.config.schema import GROUPS
from llm_export.errors import InputError
from llm_export.home import expanded


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="GROUP FILE",
                        help="a group: of its option files; a file: written there")  # fmt: skip
    parser.add_argument("--config-dir", "-cd", metavar="DIR",
                        help="a further folder, whose options are choices too")  # fmt: skip


def run(options: argparse.Namespace) -> None:
    group = next((w for w in options.words if w in GROUPS), None)
    files = [w for w in options.words if w != group]
    if len(files) > 1:
        raise InputError("one file can be written", where=" ".join(files))
    made = api.schema(group, options.config_dir)
    text = json.dumps(made, indent=1) + "\n"
    if not files:
        print(text, end="")
        return
    file = expanded(files[0])
    if file.suffix != ".json":
        raise InputError("a schema's file ends in .json", where=str(file), fix=f"{file}.json")
    write_file(file, text)
    print(f"{file}: in the first line of a recipe, or of an option of '{group}':"
          if group else f"{file}: in the first line of a recipe:")  # fmt: skip
    print(f"  # yaml-language-server: $schema={file}")
