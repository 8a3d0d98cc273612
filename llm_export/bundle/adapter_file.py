"""Files of separate adapters: the weights (.ptd), and what all of them have in common."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from llm_export.compat.tensor_file import Entry, write_tensor_file
from llm_export.errors import BundleError
from llm_export.files import replacing, write_json
from llm_export.models.lora import Capacity

_FORMER_CAPACITY = "rooms"
"""Name of ``capacity`` in version 0.1."""


@dataclass(frozen=True)
class Place:
    """Location of a parameter in an adapter's file.

    Attributes:
        key: name under which the program looks it up.
        shape: shape of the parameter.
        tensor: whether a kernel reads it, which needs its shape; a delegate reads raw bytes.
    """

    key: str
    shape: tuple[int, ...]
    tensor: bool


@dataclass(frozen=True)
class Layout:
    """What all adapters of a program have in common.

    Attributes:
        capacity: Hugging Face name of a module -> the largest LoRA factors that fit.
        places: parameter of the program -> its location in an adapter's file.
        ends: ids of the base model's generation_config.json that end an answer, with whichever
            adapter; None: not known, in bundles of earlier versions.
    """

    capacity: Mapping[str, Capacity]
    places: Mapping[str, Place]
    ends: tuple[int, ...] | None = None

    def write(self, path: Path) -> None:
        write_json(path, asdict(self))

    @classmethod
    def read(cls, path: Path) -> Layout:
        """Raises BundleError if the file is not such a layout."""
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            capacity = raw["capacity"] if "capacity" in raw else raw[_FORMER_CAPACITY]
            return cls(
                {name: Capacity(**size) for name, size in capacity.items()},
                {
                    name: Place(place["key"], tuple(place["shape"]), place["tensor"])
                    for name, place in raw["places"].items()
                },
                None if raw.get("ends") is None else tuple(map(int, raw["ends"])),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BundleError(
                f"the layout of the bundle's adapters cannot be read: {error}", where=str(path)
            ) from None


def write_weights(path: Path, places: Mapping[str, Place], values: Mapping[str, Tensor]) -> None:
    """Write the file of an adapter. Equal values are stored once.

    Raises:
        ValueError: ``values`` are not those of ``places``.
    """
    shapes = {name: tuple(value.shape) for name, value in values.items()}
    if shapes != {name: place.shape for name, place in places.items()}:
        raise ValueError("these are not the parameters of the program")
    buffers: dict[bytes, int] = {}
    named = {}
    for name, place in places.items():
        value = values[name].to(torch.float32).contiguous()
        index = buffers.setdefault(bytes_of(value), len(buffers))
        named[place.key] = Entry(index, value if place.tensor else None)
    with replacing(path) as partial, partial.open("wb") as file:
        write_tensor_file(file, list(buffers), named)


def bytes_of(value: Tensor) -> bytes:
    return bytes(value.detach().contiguous().numpy().tobytes())
