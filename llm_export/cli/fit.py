"""Choose the quant option, KV cache and context that fit a device, without exporting anything.

llm-export fit smollm2_135m_xnnpack_8da8w --device-memory 512MB
llm-export fit llama3_2_1b_xnnpack_8da4w --device-memory 4GB --context 8192 -o phone.yaml
llm-export fit llama3_2_1b_xnnpack_8da4w quant=8da4w --device-memory 2GB --share 0.5

Chosen is the option with the least expected loss, then the longest context. What an override
states is kept. Bytes are predicted from the model's shapes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from llm_export import api
from llm_export.api.fitting import SHARE
from llm_export.cli.recipe_args import add_recipe_words, split_words


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_recipe_words(parser)
    parser.add_argument("--device-memory", required=True, metavar="SIZE",
                        help="memory of the device: 4GB, 3.5GiB")  # fmt: skip
    parser.add_argument("--share", type=float, default=SHARE, metavar="PART",
                        help=f"of it, what a program may take; default {SHARE}")  # fmt: skip
    parser.add_argument("--context", type=int, metavar="N",
                        help="tokens; without it, the recipe's, or more if they fit")  # fmt: skip
    parser.add_argument("--out", "-o", metavar="FILE", help="write the recipe to a new .yaml file")
    parser.add_argument("--force", action="store_true", help="replace a file that is there")
    parser.add_argument("--json", action="store_true", help="print JSON, with every context")


def run(options: argparse.Namespace) -> None:
    from llm_export.api.recipe_files import command_for

    source, overrides = split_words(options.words)
    found = api.fit(
        source, overrides, options.config_dir, device_memory=options.device_memory,
        context=options.context, share=options.share, out=options.out, force=options.force,
    )  # fmt: skip
    if options.json:
        print(json.dumps(found.as_dict(), indent=2))
        return
    from llm_export.fit.table import screen

    print(screen(found))
    if options.out:
        print(f"run it: {command_for(Path(options.out))}")
