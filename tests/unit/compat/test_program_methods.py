"""What is read of program files without loading them."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from written_program import M, T, constants, write_program

from llm_export.compat import flatbuffer
from llm_export.compat.flatbuffer import MOST, numbers, root, string
from llm_export.compat.program_methods import (
    DTYPES,
    PROGRAM_PLANS,
    TensorMeta,
    read_methods,
)


def test_what_the_reader_says_is_what_executorch_says(portable_bundle: Path) -> None:
    """Of a real program: names, shapes, dtypes, and the values of constant methods."""
    from executorch.runtime import Runtime

    read = read_methods(portable_bundle / "model.pte")
    program = Runtime.get().load_program(portable_bundle / "model.pte")
    assert set(read) == program.method_names
    forward, meta = read["forward"], program.metadata("forward")
    tensors = [meta.input_tensor_meta(i) for i in range(meta.num_inputs())]
    tensors += [meta.output_tensor_meta(i) for i in range(meta.num_outputs())]
    found = [t for t in (*forward.inputs, *forward.outputs) if isinstance(t, TensorMeta)]
    assert [t.sizes for t in found] == [tuple(t.sizes()) for t in tensors]
    codes = {name: code for code, name in DTYPES.items()}
    assert [codes[t.dtype] for t in found] == [t.dtype() for t in tensors]
    for name, method in read.items():
        if method.constants is not None:
            assert list(method.constants) == program.load_method(name).execute([])
    manifest = json.loads((portable_bundle / "manifest.json").read_text())
    operators = {name for method in read.values() for name in method.operators}
    assert operators == set(manifest["requires"]["operators"])


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("program") / "model.pte"
    forward = M((T("int64", (1, 8), dynamic=True),), (T("float32", (1, 9)),), ("aten::add.out",))
    values = constants({"ids": [1, -2], "yes": True, "half": 0.5, "text": "ä"})
    write_program(path, {"forward": forward, **values})
    return path


def test_values_of_each_type(written: Path) -> None:
    methods = read_methods(written)
    assert methods["forward"].inputs == (TensorMeta("int64", (1, 8), dynamic=True),)
    assert methods["forward"].operators == ("aten::add.out",)
    assert methods["forward"].constants is None
    found = {name: methods[name].constants for name in list(methods)[1:]}
    assert found == {"ids": (1, -2), "yes": (True,), "half": (0.5,), "text": ("ä",)}


@settings(max_examples=30)
@given(data=st.data())
def test_damaged_files_are_refused_or_read(written: Path, data: st.DataObject) -> None:
    whole = bytearray(written.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    damaged = written.with_name("damaged.pte")
    damaged.write_bytes(whole[: data.draw(st.integers(1, len(whole)))])
    with contextlib.suppress(ValueError):
        read_methods(damaged)


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "model.pte").touch()
    with pytest.raises(ValueError, match="empty"):
        read_methods(tmp_path / "model.pte")


def test_a_list_that_claims_too_much(written: Path) -> None:
    data = bytearray(written.read_bytes())
    table = root(bytes(data))
    start = table.Vector(table.Offset(PROGRAM_PLANS))
    data[start - 4 : start] = (MOST + 1).to_bytes(4, "little")
    with pytest.raises(ValueError, match="entries"):
        numbers(root(bytes(data)), PROGRAM_PLANS, 4)
    assert string(table, 200) == ""  # a field that is not stored


def test_a_few_bytes_that_stand_for_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of 50 methods has the same table of 50 operators."""
    from flatbuffers import Builder

    made = Builder(4096)

    def table(place: int, value: int) -> int:
        made.StartObject(place + 1)
        made.PrependUOffsetTRelativeSlot(place, value, 0)
        return int(made.EndObject())

    def fifty(value: int) -> int:
        made.StartVector(4, 50, 4)
        for _ in range(50):
            made.PrependUOffsetTRelative(value)
        return int(made.EndVector())

    operator = table(0, made.CreateString("aten::add"))
    made.Finish(table(1, fifty(table(6, fifty(operator)))), file_identifier=b"ET12")
    (tmp_path / "model.pte").write_bytes(made.Output())
    assert len(read_methods(tmp_path / "model.pte")[""].operators) == 1
    monkeypatch.setattr(flatbuffer, "MOST", 2000)
    with pytest.raises(ValueError, match="more than 2,000 entries"):
        read_methods(tmp_path / "model.pte")
