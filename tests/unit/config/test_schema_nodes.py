"""Whether a composition has the schema's types already."""

from __future__ import annotations

from typing import Any

import pytest
from omegaconf import OmegaConf, open_dict

from llm_export.config.compose import Composer
from llm_export.config.schema_nodes import is_typed, schema_nodes, typed


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("quant=8da4w", "backend=xnnpack"),
        ("quant.awq={}", "quant.rotate={r1: true}", "verify.lowering.max_mean_kl=0.1"),
        ("quant.rules=[{kind: linear, scheme: 8w}]",),
        ("quant=auto", "+backend.options.x={y: [1, 2]}", "deploy.questions=[1, true]"),
        ("runtime.transforms=[a]", "verify.window=${verify.positions}", "quant.awq=null"),
    ],
)
def test_merging_a_composition_into_the_schema_changes_nothing(words: tuple[str, ...]) -> None:
    cfg = Composer().config(["model=tiny", *words])
    with open_dict(cfg):
        del cfg["hydra"]
    assert is_typed(cfg)
    assert typed(cfg) is cfg
    merged = OmegaConf.unsafe_merge(schema_nodes(), cfg)
    assert OmegaConf.to_object(cfg) == OmegaConf.to_object(merged)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rules", [{"scheme": "8w"}]),
        ("awq", {"pattern": ".*"}),
        ("group_size", 32),
        ("rules", "${quant.auto.candidates}"),
    ],
)
def test_a_node_without_the_schemas_type_is_found(key: str, value: Any) -> None:
    nodes = schema_nodes()
    made = OmegaConf.create({key: value})
    nodes.quant.__dict__["_content"][key] = made.__dict__["_content"][key]
    assert not is_typed(nodes)


@pytest.mark.parametrize(
    "body",
    [
        {"verify": {"window": 64}},  # keys are missing
        {"quant": {"rules": [{"scheme": "8w"}]}},
        {"model": {"config": {"anything": 1}}},
    ],
)
def test_what_has_other_types_is_merged(body: dict[str, Any]) -> None:
    nodes = schema_nodes()
    assert is_typed(nodes)
    for group, values in body.items():
        # As if an option had replaced the group.
        nodes.__dict__["_content"][group] = OmegaConf.create(values)
    assert not is_typed(nodes)
    made = typed(nodes)
    assert is_typed(made)
    assert OmegaConf.masked_copy(made, list(body)) != OmegaConf.masked_copy(
        schema_nodes(), list(body)
    )
