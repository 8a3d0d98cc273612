"""Benchmark a bundle here or on a device: load, time to first token, prefill, decode, memory.

llm-export bench outputs/smollm2_135m_xnnpack_8da8w
llm-export bench outputs/smollm2_135m_xnnpack_8da8w --repetitions 10 --json
llm-export bench outputs/smollm2_135m_xnnpack_8da8w --target ssh:pi@raspberrypi
llm-export bench outputs/smollm2_135m_xnnpack_8da8w --target adb --runner llama_main
"""

from __future__ import annotations

import argparse
import json

from llm_export import api
from llm_export.cli.runtime_args import add_adapter
from llm_export.cli.target_args import add_target, bench_on_target, device_rows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", metavar="BUNDLE")
    parser.add_argument("--prompt-length", type=int, default=512, metavar="N", help="default 512")
    parser.add_argument("--decode-length", type=int, default=128, metavar="N", help="default 128")
    parser.add_argument("--warmup", type=int, default=1, metavar="N")
    parser.add_argument("--repetitions", type=int, default=5, metavar="N", help="default 5")
    parser.add_argument("--threads", type=int, metavar="N")
    parser.add_argument("--max-seconds", type=float, metavar="S",
                        help="begin no further repetition after")  # fmt: skip
    add_adapter(parser)
    add_target(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(options: argparse.Namespace) -> None:
    result = bench_on_target(options, options.bundle) or api.bench(
        options.bundle,
        prompt_length=options.prompt_length,
        decode_length=options.decode_length,
        warmup=options.warmup,
        repetitions=options.repetitions,
        threads=options.threads,
        max_seconds=options.max_seconds,
        adapter=options.adapter,
    )
    if options.json:
        print(json.dumps(result, indent=2))
        return
    from runtime_py.benchmark import table

    settings = result["settings"]
    print(
        f"{result['machine']['processor']}, {settings['threads']} threads; "
        f"{settings['prompt_length']} prompt, {settings['decode_length']} decoded tokens; "
        f"{settings['repetitions']} repetitions: median (range)\n"
    )
    for name, value in [*table(result), *device_rows(result)]:
        print(f"{name:<20} {value}")
