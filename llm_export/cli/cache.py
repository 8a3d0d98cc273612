"""List and clear the cache of finished stages, which `llm-export run` reuses.

llm-export cache ls
llm-export cache clear                                   everything
llm-export cache clear --stage lower --stage export      what these stages made
llm-export cache clear --older-than 7d                   what was not used for so long (m, h, d, w)
"""

from __future__ import annotations

import argparse
import re
import time
from collections import Counter

from llm_export.errors import RecipeError, did_you_mean
from llm_export.runner.stages import STAGES
from llm_export.stage_cache.settings import SIZE, size_limit, stages_folder
from llm_export.stage_cache.store import Cache, Entry

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("ls", "clear"))
    parser.add_argument("--stage", action="append", default=[], metavar="NAME",
                        help="only what this stage made; may be repeated")  # fmt: skip
    parser.add_argument("--older-than", metavar="AGE", help="only what was last used before that, "
                        "e.g. 12h or 7d")  # fmt: skip


def run(options: argparse.Namespace) -> None:
    cache = Cache(stages_folder(), size_limit())
    chosen = _chosen(cache.entries(), options.stage, options.older_than)
    if options.action == "ls":
        _list(cache, chosen)
    else:
        _clear(cache, chosen)


def _chosen(entries: list[Entry], stages: list[str], age: str | None) -> list[Entry]:
    names = [stage.name for stage in STAGES]
    for name in stages:
        if name not in names:
            raise RecipeError(f"there is no stage '{name}'", fix=did_you_mean(name, names))
    before = time.time() - (_seconds(age) if age else 0)
    return [e for e in entries if (not stages or e.stage in stages) and e.used <= before]


def _seconds(age: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", age)
    if match is None:
        raise RecipeError(f"'{age}' is no age", where="--older-than", fix="e.g. 30m, 12h, 7d or 2w")
    return float(match[1]) * _SECONDS[match[2]]


def _list(cache: Cache, entries: list[Entry]) -> None:
    print(f"{'stage':<10} {'size':>10} {'own':>10} {'took':>8} {'used':>9}  recipe")
    shared = Counter(sha for entry in entries for sha in entry.blobs)
    for entry in reversed(entries):
        size = sum(entry.blobs.values())
        own = sum(count for sha, count in entry.blobs.items() if shared[sha] == 1)
        print(
            f"{entry.stage:<10} {_size(size):>10} {_size(own):>10} {entry.seconds:>6.1f} s "
            f"{_age(time.time() - entry.used):>9}  {entry.recipe}"
        )
    limit = _size(cache.limit) if cache.limit else "off"
    print(
        f"\n{len(entries)} finished stages, {_size(cache.size(entries))} (what several share "
        f"counts once); limit {limit} ({SIZE}); in {cache.folder}"
    )


def _clear(cache: Cache, entries: list[Entry]) -> None:
    before = cache.size(cache.entries())
    removed, in_use = cache.remove(entries)
    freed = before - cache.size(cache.entries())
    print(f"removed {removed} finished stages, {_size(freed)}")
    if in_use:
        print(f"{in_use} are in use by a run, and stay")


def _size(count: float) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _age(seconds: float) -> str:
    for unit in ("w", "d", "h", "m"):
        if seconds >= _SECONDS[unit]:
            return f"{seconds / _SECONDS[unit]:.0f} {unit} ago"
    return f"{max(seconds, 0):.0f} s ago"
