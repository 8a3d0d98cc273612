"""What OpenVINO's CPU plugin writes of a compiled model, and smaller forms of it.

The file is a header of six numbers, a document, the bytes of the constants, and the graph as XML
whose bytes are combined with a key by exclusive or (``codec_xor``). The plugin writes each use of a
constant again, and scales and zero points in float32, whatever the model had; it reads them in any
type, and from shared places. Written for openvino 2025.4, the last that executorch 1.5 works with.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from xml.etree import ElementTree

import numpy

_HEADER = struct.Struct("<6Q")
_KEY = bytes([0x30, 0x60, 0x70, 0x02, 0x04, 0x08, 0x3F, 0x6F, 0x72, 0x74, 0x78, 0x7F])
_ALIGNMENT = 64
_PRODUCT, _LOOKUP = "FullyConnectedCompressed", "GatherCompressed"
_PLACE = frozenset(("offset", "size"))
_DECOMPRESSION = ("3", "4")
"""Their inputs that are scales and zero points."""


def compact(blob: bytes) -> bytes:
    """The same model, with equal constants stored once, and with scales and zero points in float16
    where it holds all their values. Bytes of another form (other devices' or versions') are
    returned as given.
    """
    parts = _split(blob)
    if parts is None or not _known(parts[2], len(parts[1])):
        return blob
    document, constants, graph = parts
    stored = _Constants()
    for body in _bodies(graph):
        users = _users(body)
        for layer, data in _stored(body):
            first = int(data.attrib["offset"])
            raw = constants[first : first + int(data.attrib["size"])]
            kinds = users.get(layer.attrib["id"], set())
            half = _half(raw) if kinds in ({_PRODUCT}, {_LOOKUP}) else None
            if half is not None and data.get("element_type") == "f32":
                raw = half
                _retype(layer, data)
                if kinds == {_LOOKUP}:  # whose result has the type of its scales
                    _convert(body, layer)
            data.set("offset", str(stored.place(raw)))
            data.set("size", str(len(raw)))
    return _join(document, bytes(stored.written), graph)


@dataclass
class _Constants:
    """Bytes of constants, each once."""

    written: bytearray = field(default_factory=bytearray)
    places: dict[bytes, int] = field(default_factory=dict)

    def place(self, raw: bytes) -> int:
        digest = blake2b(raw).digest()
        if digest not in self.places:
            self.written += bytes(-len(self.written) % _ALIGNMENT)
            self.places[digest] = len(self.written)
            self.written += raw
        return self.places[digest]


def _bodies(graph: ElementTree.Element) -> list[ElementTree.Element]:
    """The graph, and those of loops and branches. Ids are of a body's own layers."""
    return [each for each in graph.iter() if each.find("layers") is not None]


def _stored(body: ElementTree.Element) -> list[tuple[ElementTree.Element, ElementTree.Element]]:
    """The layers that refer to bytes of the constants, and what refers to them."""
    layers = ((layer, layer.find("data")) for layer in body.iterfind("layers/layer"))
    return [(layer, d) for layer, d in layers if d is not None and set(d.keys()) >= _PLACE]


def _known(graph: ElementTree.Element, size: int) -> bool:
    """Whether all references to the constants are understood: those that stay would be wrong."""
    bodies = _bodies(graph)
    found = [pair for body in bodies for pair in _stored(body)]
    whole = all(
        _numbers(layer, ["id"]) and layer.get("type") is not None
        for body in bodies
        for layer in body.iterfind("layers/layer")
    )
    linked = all(
        _numbers(edge, ["from-layer", "to-layer"]) and edge.get("to-port") is not None
        for body in bodies
        for edge in body.iterfind("edges/edge")
    )
    inside = all(
        layer.get("type") == "Const"
        and _numbers(data, _PLACE)
        and int(data.attrib["offset"]) + int(data.attrib["size"]) <= size
        for layer, data in found
    )
    return bool(bodies) and whole and linked and inside


def _numbers(element: ElementTree.Element, keys: Iterable[str]) -> bool:
    return all(element.get(key, "").isdecimal() for key in keys)


def _users(body: ElementTree.Element) -> dict[str, set[str]]:
    """Id of a layer -> types of the operations that it decompresses, "" for any other use."""
    types = {layer.attrib["id"]: layer.attrib["type"] for layer in body.iterfind("layers/layer")}
    found: dict[str, set[str]] = {}
    for edge in body.iterfind("edges/edge"):
        fine = edge.attrib["to-port"] in _DECOMPRESSION
        used = types[edge.attrib["to-layer"]] if fine else ""
        found.setdefault(edge.attrib["from-layer"], set()).add(used)
    return found


def _half(raw: bytes) -> bytes | None:
    """Float32 values in float16; None if that is not exact."""
    if len(raw) % 4:
        return None
    values = numpy.frombuffer(raw, numpy.float32)
    with numpy.errstate(over="ignore", invalid="ignore"):
        rounded = values.astype(numpy.float16)
    exact = numpy.array_equal(rounded.astype(numpy.float32), values)
    return rounded.tobytes() if exact else None


def _retype(layer: ElementTree.Element, data: ElementTree.Element) -> None:
    data.set("element_type", "f16")
    for port in layer.iter("port"):
        port.set("precision", "FP16")


def _convert(body: ElementTree.Element, layer: ElementTree.Element) -> None:
    """Let the users of a float16 constant read it as float32."""
    layers, edges = body.find("layers"), body.find("edges")
    assert layers is not None
    assert edges is not None
    mine, other = layer.attrib["id"], str(max(int(each.attrib["id"]) for each in layers) + 1)
    made = ElementTree.Element(
        "layer", id=other, name=f"{layer.get('name')}/float", type="Convert", version="opset1"
    )
    ElementTree.SubElement(made, "data", destination_type="f32")
    for place, (side, precision) in enumerate((("input", "FP16"), ("output", "FP32"))):
        part = ElementTree.SubElement(made, side)
        port = ElementTree.SubElement(part, "port", id=str(place), precision=precision)
        for dim in layer.iter("dim"):
            ElementTree.SubElement(port, "dim").text = dim.text
    layers.insert(list(layers).index(layer) + 1, made)
    for edge in edges.findall(f"edge[@from-layer='{mine}']"):
        edge.set("from-layer", other)
        edge.set("from-port", "1")
    ends = {"from-layer": mine, "from-port": "0", "to-layer": other, "to-port": "0"}
    ElementTree.SubElement(edges, "edge", ends)


def _split(blob: bytes) -> tuple[bytes, bytes, ElementTree.Element] | None:
    """The document, the bytes of the constants, and the graph."""
    if len(blob) < _HEADER.size:
        return None
    at = _HEADER.unpack_from(blob)
    spans = [slice(at[i], at[i] + at[i + 1]) for i in (0, 2, 4)]
    if at[0] != _HEADER.size or spans[-1].stop != len(blob):
        return None
    document, constants, graph = (blob[span] for span in spans)
    try:
        return document, constants, ElementTree.fromstring(_coded(graph))
    except ElementTree.ParseError:
        return None


def _join(document: bytes, constants: bytes, graph: ElementTree.Element) -> bytes:
    text = _coded(ElementTree.tostring(graph, encoding="utf-8", xml_declaration=True))
    document += b"\n" * (-(_HEADER.size + len(document)) % _ALIGNMENT)  # parts have no gap
    at = [_HEADER.size]
    for part in (document, constants):
        at += [len(part), at[-1] + len(part)]
    return b"".join((_HEADER.pack(*at, len(text)), document, constants, text))


def _coded(text: bytes) -> bytes:
    """Encode, or decode."""
    key = numpy.resize(numpy.frombuffer(_KEY, numpy.uint8), len(text))
    return (numpy.frombuffer(text, numpy.uint8) ^ key).tobytes()
