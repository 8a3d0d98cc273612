"""The options of the server's command lines."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from runtime_py.errors import ArgumentError
from runtime_py.server.settings import Settings

_DEFAULTS = Settings()
_KEYS = "LLM_API_KEY"
"""The variable of the environment with the key."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    def add(name: str, **given: Any) -> None:
        parser.add_argument(f"--{name}", **given)

    add("host", default=_DEFAULTS.host, metavar="ADDRESS",
        help="address to listen on; default: 127.0.0.1, for this machine alone")  # fmt: skip
    add("port", type=int, default=_DEFAULTS.port, metavar="N", help="default 8080; 0: a free one")
    add("api-key", action="append", default=[], metavar="KEY",
        help="clients must send it; may be repeated. Other users of the machine can see it: "
        f"--api-key-file and the variable {_KEYS} hide it")  # fmt: skip
    add("api-key-file", metavar="FILE", help="a file with one key a line")
    add("model-name", metavar="NAME", help="what clients call the model; default: the bundle's")
    add("max-queue", type=int, default=_DEFAULTS.max_queue, metavar="N",
        help=f"most requests that may wait; default {_DEFAULTS.max_queue}")  # fmt: skip
    add("timeout", type=float, default=_DEFAULTS.timeout, metavar="S",
        help="seconds for a request, its time in the queue included; default "
        f"{_DEFAULTS.timeout:g}")  # fmt: skip
    add("max-body", type=int, metavar="BYTES",
        help="most bytes of a request; default 8 MiB, with an audio 25 MiB")  # fmt: skip
    add("max-tokens", type=int, metavar="N",
        help="most tokens of an answer; default: as many as the context has room for")  # fmt: skip
    add("slots", type=int, default=_DEFAULTS.slots, metavar="N",
        help="conversations that stay in the KV cache, and answers that are generated in turns; "
        f"default {_DEFAULTS.slots}")  # fmt: skip
    add("slice", type=int, default=_DEFAULTS.slice, metavar="N",
        help="pieces of text that an answer is given in its turn; 0: each answer runs to its end "
        f"before the next one begins; default {_DEFAULTS.slice}")  # fmt: skip
    add("grace", type=float, default=_DEFAULTS.grace, metavar="S",
        help="seconds that running answers have when the server is stopped; default "
        f"{_DEFAULTS.grace:g}")  # fmt: skip
    add("allow-origin", action="append", default=[], metavar="ORIGIN",
        help="web pages that may use the server, as https://HOST; may be repeated")  # fmt: skip
    add("allow-host", action="append", default=[], metavar="NAME",
        help="a further host name that requests may have; may be repeated")  # fmt: skip
    add("store", metavar="FILE", help="keep conversations in this file")
    add("engine", default=_DEFAULTS.engine, metavar="NAME",
        help="what runs the bundle: executorch or runner; default executorch")  # fmt: skip
    add("tokenizer", metavar="PATH",
        help="of a .pte without a manifest, if it is not beside it")  # fmt: skip
    add("threads", type=int, metavar="N")
    add("adapter", metavar="NAME", help="LoRA adapter of the bundle, or base for none")
    add("no-verify-hashes", dest="verify_hashes", action="store_false",
        help="load files that are not as the manifest says")  # fmt: skip


def settings_of(options: argparse.Namespace, environment: dict[str, str]) -> Settings:
    """
    Raises:
        ArgumentError: a value is out of its range, or the file of keys cannot be read.
    """
    keys = [*options.api_key]
    if options.api_key_file is not None:
        keys += _keys_of(Path(options.api_key_file))
    if environment.get(_KEYS):
        keys.append(environment[_KEYS])
    return Settings(
        host=options.host, port=options.port, api_keys=tuple(keys),
        model_name=options.model_name, max_queue=options.max_queue, timeout=options.timeout,
        max_body=options.max_body, max_tokens=options.max_tokens, slots=options.slots,
        slice=options.slice, grace=options.grace, allow_origins=tuple(options.allow_origin),
        allow_hosts=tuple(name.lower() for name in options.allow_host),
        store=None if options.store is None else Path(options.store),
        engine=options.engine, tokenizer=options.tokenizer, threads=options.threads,
        adapter=options.adapter, verify_hashes=options.verify_hashes,
    )  # fmt: skip


def _keys_of(file: Path) -> list[str]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise ArgumentError(f"the file of API keys cannot be read: {error}") from None
    keys = [line.strip() for line in lines if line.strip()]
    if not keys:
        raise ArgumentError(f"the file of API keys is empty: {file}", fix="one key a line")
    return keys
