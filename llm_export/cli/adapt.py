"""Add a LoRA adapter to a bundle with separate adapters, without exporting again.

  llm-export adapt BUNDLE LORA_FOLDER
  llm-export adapt BUNDLE LORA_FOLDER --name formal
  llm-export chat BUNDLE --adapter formal

The bundle must have been exported with checkpoint.adapter_mode=separate. The adapter's targets
must be among those of the bundle's program, and its rank must not be higher.
"""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", metavar="BUNDLE", help="a folder that `llm-export run` made")
    parser.add_argument("adapter", metavar="FOLDER", help="a LoRA adapter of PEFT or torchtune")
    parser.add_argument("--name", metavar="NAME", help="default: the folder's name")


def run(options: argparse.Namespace) -> None:
    from llm_export import api

    name = api.adapt(options.bundle, options.adapter, options.name)
    print(f"{options.bundle}: has adapter {name} now")
    print(f'try it: llm-export chat {options.bundle} --adapter {name} --message "Hello"')
