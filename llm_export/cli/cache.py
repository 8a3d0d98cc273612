"""List and clear the stage cache, from which `llm-export run` reuses finished stages.

llm-export cache ls
llm-export cache clear                                   everything
llm-export cache clear --stage lower --stage export      what these stages made
llm-export cache clear --older-than 7d                   what was not used for so long (m, h, d, w)
"""

from __future__ import annotations

import argparse
import time
from collections import Counter

from llm_export import api
from llm_export.api import CachedStages
from llm_export.api.machine import AGE_UNITS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("ls", "clear"))
    parser.add_argument("--stage", action="append", default=[], metavar="NAME",
                        help="only what this stage made; may be repeated")  # fmt: skip
    parser.add_argument("--older-than", metavar="AGE", help="only what was last used before that, "
                        "e.g. 12h or 7d")  # fmt: skip


def run(options: argparse.Namespace) -> None:
    if options.action == "ls":
        _list(api.cached_stages(options.stage, options.older_than))
        return
    done = api.clear_cache(options.stage, options.older_than)
    print(f"removed {done.removed} finished stages, {_size(done.bytes)}")
    if done.in_use:
        print(f"{done.in_use} are in use by a run, and stay")


def _list(found: CachedStages) -> None:
    print(f"{'stage':<10} {'size':>10} {'own':>10} {'took':>8} {'used':>9}  recipe")
    shared = Counter(sha for entry in found.entries for sha in entry.blobs)
    for entry in reversed(found.entries):
        size = sum(entry.blobs.values())
        own = sum(count for sha, count in entry.blobs.items() if shared[sha] == 1)
        print(
            f"{entry.stage:<10} {_size(size):>10} {_size(own):>10} {entry.seconds:>6.1f} s "
            f"{age(time.time() - entry.used):>9}  {entry.recipe}"
        )
    limit = _size(found.limit) if found.limit else "off"
    print(
        f"\n{len(found.entries)} finished stages, {_size(found.bytes)} (what several share "
        f"counts once);\nlimit {limit} (LLM_EXPORT_CACHE_SIZE);\nin {found.folder}"
    )


def _size(count: float) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def age(seconds: float) -> str:
    """A time in the past in its largest unit: 3 h ago."""
    for unit in ("w", "d", "h", "m"):
        if seconds >= AGE_UNITS[unit]:
            return f"{seconds / AGE_UNITS[unit]:.0f} {unit} ago"
    return f"{max(seconds, 0):.0f} s ago"
