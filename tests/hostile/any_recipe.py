"""Recipes and overrides drawn from a seed: of the keys' own types, of others, and of none."""

from __future__ import annotations

import random
from typing import Any

import yaml

from llm_export.config.reference import every_key
from llm_export.config.schema import GROUPS

TYPES = {key: kind for key, kind, _ in every_key()}
KEYS = [key for key in TYPES if not key.startswith(("checkpoint.hf", "checkpoint.package"))]
"""All but those that reach the network."""
BLOCKS = sorted({key.rpartition(".")[0] for key in KEYS} - {""})
SCALARS = (
    "null", "true", "-1", "0", "1", "3", "64", "1e30", "nan", "inf", "-inf", "0.5", "''", "a",
    "9999999999999999999", "1000000", "[]", "{}", "[[]]", "[null]", "[1]", "{a: b}", "[{a: b}]",
    "8da8w", "'*'", "../x", "/dev/null", "'\\x1b[2J'", "???", "${a}", "${", "$", "1,2", "x" * 500,
    "range(1,3)", "glob(*)", "[{scheme: 8da4w, group_size: 32}]", "'([a-z]+)+[X]'",
)  # fmt: skip


def value(rng: random.Random, depth: int = 0) -> str:
    """The text of a value in the grammar of overrides; often a reference, sometimes nonsense."""
    pick = rng.random()
    if pick < 0.3:
        return "${" + rng.choice(KEYS if rng.random() < 0.6 else BLOCKS) + "}"
    if pick < 0.4 and depth < 3:
        return "[" + ",".join(value(rng, depth + 1) for _ in range(rng.randrange(4))) + "]"
    if pick < 0.5 and depth < 3:
        names = [key.rpartition(".")[2] for key in rng.sample(KEYS, 2)]
        return "{" + ",".join(f"{name}: {value(rng, depth + 1)}" for name in names) + "}"
    if pick < 0.55:
        return "".join(rng.choice("${}[]()<>:,'\"\\=ab01. \n~+@") for _ in range(rng.randrange(20)))
    return rng.choice(SCALARS)


PLAIN = {
    "int": ("1", "2", "4", "32", "64", "100", "128", "512", "0", "-1", "1000000"),
    "float": ("0.5", "0", "1", "0.1", "-1", "1e-9", "100"),
    "bool": ("true", "false"),
    "str": ("llama", "tiny", "8da8w", "a", "text.txt", "composable", "gptq", "minmax", "''"),
    "list of str": ("[]", "[a]", "[xnnpack]", "[a, a]"),
    "list of QuantRule": (
        "[]", "[{scheme: 8da8w}]", "[{scheme: 8da4w, group_size: 32, kind: linear}]",
        "[{scheme: 4w, group_size: 24}]", "[{scheme: 8w, layers: '0,9-'}, {scheme: none}]",
        "[{scheme: x}]", "[{scheme: 8da8w, pattern: 'layers\\.0\\..*', outliers: 3}]",
    ),
    "mapping": ("{}", "{a: 1}", "{a: {b: [1]}}"),
    "mapping or null": ("{}", "null"),
}  # fmt: skip
OPTIONS = {"backend": ("xnnpack", "portable", "coreml", "mlx"), "runtime": ("static", "npu"),
           "quant": ("8da8w", "8da4w", "none", "8w"), "model": ("tiny", "qwen3_0_6b"),
           "train": ("off", "qat"), "verify": ("strict", "off")}  # fmt: skip


def fitting(rng: random.Random, key: str) -> str:
    """The text of a value of the key's own type, sensible or not."""
    kind = TYPES[key]
    if kind.endswith(" or null") and rng.random() < 0.1:
        return "null"
    if " | " in kind:
        return rng.choice(kind.removesuffix(" or null").split(" | "))
    plain = PLAIN.get(kind) or PLAIN.get(kind.removesuffix(" or null"))
    return rng.choice(plain) if plain else value(rng)


def override(rng: random.Random) -> str:
    if rng.random() < 0.6:
        if rng.random() < 0.3:
            group = rng.choice(list(OPTIONS))
            return f"{group}={rng.choice(OPTIONS[group])}"
        key = rng.choice(KEYS)
        return f"{key}={fitting(rng, key)}"
    key = rng.choice(KEYS if rng.random() < 0.7 else [*BLOCKS, *GROUPS, "x", "name", "hydra.x"])
    return f"{rng.choice(('', '', '', '', '+', '++', '~'))}{key}={value(rng)}"


def body(rng: random.Random) -> dict[str, Any]:
    """A recipe as data: options that exist or do not, values in the places of others."""
    made: dict[str, Any] = {"defaults": ["export_base"]}
    for group in rng.sample(list(OPTIONS), rng.randrange(3)):
        odd = ("x", "../x", None, 3)
        option = rng.choice(OPTIONS[group] if rng.random() < 0.9 else odd)
        made["defaults"].append({f"override {group}": option})
    made["defaults"].append("_self_" if rng.random() < 0.95 else rng.choice(("x", {"a": "b"})))
    honest = rng.random() < 0.7
    for _ in range(rng.randrange(1, 5)):
        node: Any = made
        key = rng.choice(KEYS if honest or rng.random() < 0.8 else BLOCKS)
        *parents, leaf = key.split(".")
        for parent in parents:
            node = node.setdefault(parent, {}) if isinstance(node, dict) else {}
        if isinstance(node, dict):
            text = fitting(rng, key) if honest else value(rng)
            try:
                node[leaf] = yaml.safe_load(text) if rng.random() < 0.8 else text
            except (yaml.YAMLError, ValueError):
                node[leaf] = text
    return made
