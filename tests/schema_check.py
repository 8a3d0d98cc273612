"""What react-native-executorch checks of a program's ``get_model_schema`` when it loads it
(``validateSpec`` in its ``cpp/core/schema.cpp``, version 0.10.2)."""

from __future__ import annotations

import json
from typing import Any

import torch
from executorch.exir.tensor import scalar_type_enum


def schema_of(program: Any) -> dict[str, Any]:
    """What the constant method of an ExecuTorch ``Program`` returns, against the program's own
    metadata of each method that it speaks of."""
    (text,) = program.load_method("get_model_schema").execute(())
    schema: dict[str, Any] = json.loads(text)
    assert schema
    for name, method in schema.items():
        meta = program.metadata(name)
        assert set(method) == {"inputs", "outputs", "runtimeConstraints"}
        taken = [meta.input_tensor_meta(i) for i in range(meta.num_inputs())]
        made = [meta.output_tensor_meta(i) for i in range(meta.num_outputs())]
        for side, metas in (("inputs", taken), ("outputs", made)):
            assert len(method[side]) == len(metas), (name, side)
            for parameter, tensor in zip(method[side], metas, strict=True):
                _same(parameter, tensor)
        for constraint in method["runtimeConstraints"]:
            places = constraint.get("dims") or [constraint["dimLhs"], constraint["dimRhs"]]
            domains = [_at(method, place) for place in places]
            assert len(domains) > 1
            assert constraint["kind"] == "linear" or all(d == domains[0] for d in domains)
    return schema


def _same(parameter: dict[str, Any], tensor: Any) -> None:
    assert parameter["kind"] == "Tensor"
    assert scalar_type_enum(getattr(torch, parameter["dtype"])) == tensor.dtype()
    assert len(parameter["shape"]) == len(tensor.sizes())
    for dim, most in zip(parameter["shape"], tensor.sizes(), strict=True):
        if dim["kind"] == "constant":
            assert dim == {"kind": "constant", "value": most}
        else:
            assert dim["kind"] == "range"
            assert 1 <= dim["range"]["min"] <= dim["range"]["max"] == most
            assert dim["range"]["step"] >= 1


def _at(method: dict[str, Any], place: dict[str, Any]) -> Any:
    return method[place["paramSide"] + "s"][place["tensorIdx"]]["shape"][place["dimIdx"]]
