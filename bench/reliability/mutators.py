"""Changes to a file that leave its frame whole: plain bytes would bounce off a checksum, a zip or a gzip.

Each takes the bytes, a random generator and ``plain``, the changer of plain bytes (of libFuzzer, or of a test), and
gives other bytes. What cannot be taken apart is changed as plain bytes.
"""

from __future__ import annotations

import ast
import gzip
import io
import json
import math
import pickletools
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from typing import Any

from .mutate_json import change_json

__all__ = ["MUTATORS", "Plain", "mutate"]

Plain = Callable[[bytes], bytes]
Mutator = Callable[[bytes, random.Random, Plain], bytes]
_MOST = 1 << 20  # bytes that are unpacked to be changed
_INTEGERS = (0, 1, -1, 2, 255, 2**31 - 1, 2**31, -(2**31), 2**32, 2**40, 2**62, 2**63 - 1, -(2**63))


def mutate(reader: str, data: bytes, rng: random.Random, plain: Plain) -> bytes:
    """Other bytes for a reader: four of five times with its frame kept whole."""
    changer = MUTATORS.get(reader)
    if changer is None or rng.random() < 0.2:
        return plain(data)
    try:
        return changer(data, rng, plain)
    except Exception:  # of files that are damaged already: the ways are many
        return plain(data)


# -- safetensors -----------------------------------------------------------------------------------------------------


def _tensors(data: bytes, rng: random.Random, plain: Plain) -> bytes:
    size = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8 : 8 + size]), data[8 + size :]
    texts = header.get("__metadata__", {})
    inner = next((key for key in ("program", "dqnumba") if key in texts), None)
    choice = rng.random()
    if inner is not None and choice < 0.7:
        content = json.loads(texts[inner])
        texts[inner] = json.dumps(change_json(content, rng), sort_keys=True, separators=(",", ":"))
        if rng.random() < 0.1:
            texts[inner] = plain(texts[inner].encode()).decode("utf-8", "ignore")
    elif choice < 0.85 and body:
        body = bytearray(plain(body)[: len(body)].ljust(len(body), b"\0"))
        if rng.random() < 0.5:
            at = rng.randrange(len(body))
            body[at : at + 4] = struct.pack("<q", rng.choice(_INTEGERS))[:4]
        body = bytes(body[: len(data) - 8 - size])
    else:
        header = change_json(header, rng)
        texts = header.get("__metadata__", {})
    if inner is not None and rng.random() < 0.95:
        texts["sha256"] = _checksum(inner, texts.get(inner, ""), header, body)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def _checksum(inner: str, text: str, header: dict[str, Any], body: bytes) -> str:
    """The checksum that a file of this content would have."""
    import numpy as np

    from dqnumba.formats.tensors import _TYPES
    from dqnumba.infer.file import checksum
    from dqnumba.train.checkpoint import _digest

    arrays = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            dtype = np.dtype(f"<{_TYPES[entry['dtype']]}")
            arrays[name] = np.frombuffer(body[begin:end], dtype).reshape(entry["shape"])
    return checksum(text, arrays) if inner == "program" else _digest(text, arrays)


# -- archives --------------------------------------------------------------------------------------------------------


def _members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if sum(info.file_size for info in archive.infolist()) > _MOST:
            raise ValueError("too large to be changed inside")
        return {info.filename: archive.read(info) for info in archive.infolist()}


def _zipped(members: dict[str, bytes], rng: random.Random) -> bytes:
    out = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if rng.random() < 0.1 else zipfile.ZIP_STORED
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return out.getvalue()


_ARRAYS = (
    "edge_index", "x", "y", "edge_weight", "train_mask", "val_mask", "test_mask", "graph_ptr", "num_nodes",
    "num_classes", "num_categories", "x_indptr", "x_indices", "x_data", "x_shape", "train_index", "name", "multigraph",
    "adj_data", "adj_indices", "adj_indptr", "adj_shape", "attr_data", "attr_indices", "attr_indptr", "attr_shape",
    "attr_matrix", "labels", "edges", "node_features", "node_labels", "train_masks", "val_masks", "test_masks",
    "node_ptr", "edge_ptr", "atom_type", "bond_type", "target", "size", "in_degree", "source",
)  # fmt: skip


def _npz(data: bytes, rng: random.Random, plain: Plain) -> bytes:
    members = _members(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        name = rng.choice(list(members))
        choice = rng.random()
        if choice < 0.7:
            members[name] = npy(members[name], rng, plain)
        elif choice < 0.8:
            members[f"{rng.choice(_ARRAYS)}.npy"] = members[name]
        elif choice < 0.88:
            members[f"{rng.choice(_ARRAYS)}.npy"] = members.pop(name)
        elif choice < 0.94 and len(members) > 1:
            del members[name]
        else:
            members[name] = members[rng.choice(list(members))]
    return _zipped(members, rng)


def npy(data: bytes, rng: random.Random, plain: Plain) -> bytes:
    """Another shape, type or content, with a header that fits it, mostly."""
    size = int.from_bytes(data[8:10], "little")
    header = ast.literal_eval(data[10 : 10 + size].decode("latin1").strip())
    body = data[10 + size :]
    choice = rng.random()
    width = int("".join(c for c in header["descr"] if c.isdigit()) or 1)
    if choice < 0.35 and body:  # a number
        count = max(1, len(body) // width)
        at = rng.randrange(count) * width
        value = rng.choice((*_INTEGERS, *range(8)))
        body = body[:at] + value.to_bytes(16, "little", signed=True)[:width] + body[at + width :]
    elif choice < 0.5:
        body = plain(body)
    elif choice < 0.7:  # more or fewer entries
        shape = list(header["shape"]) or [1]
        shape[rng.randrange(len(shape))] = rng.choice((0, 1, 2, 3, 4, 5))
        header["shape"] = tuple(shape)
        count = _entries(shape)
        body = (body + body[-width:] * count)[: count * width].ljust(count * width, b"\0")
    elif choice < 0.85:
        header["descr"] = rng.choice(
            (
                "<i8",
                "<i4",
                "<i2",
                "|i1",
                "|u1",
                "<u4",
                "<u8",
                ">i8",
                "<f8",
                "<f4",
                "<f2",
                ">f4",
                "|b1",
                "<U1",
                "|S2",
                "|O",
            )
        )
        if rng.random() < 0.7:
            width = int(header["descr"][2:]) * (4 if "U" in header["descr"] else 1) if header["descr"] != "|O" else 8
            count = _entries(header["shape"])
            body = body[: count * width].ljust(count * width, b"\0")
    elif choice < 0.95:
        header["shape"] = rng.choice(
            ((), (0,), (len(body) // width,), (1, len(body) // width), (2**62,), (0, 2**62), (-1,))
        )
    else:
        header["fortran_order"] = not header["fortran_order"]
    text = repr(header).encode("latin1").ljust(118 - 10) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + body


def _entries(shape: Sequence[int]) -> int:
    count = math.prod(shape)
    if not 0 <= count <= _MOST:
        raise ValueError("too large to be filled")
    return count


def _tu(data: bytes, rng: random.Random, plain: Plain) -> bytes:
    members = _members(data)
    name = rng.choice(list(members))
    choice = rng.random()
    if choice < 0.8:
        members[name] = _text(members[name], rng, plain)
    elif choice < 0.9:
        members[f"X/X_{rng.choice(('A', 'graph_labels', 'node_labels', 'edge_labels', 'node_attributes'))}.txt"] = (
            members[name]
        )
    else:
        del members[name]
    return _zipped(members, rng)


def _gz(data: bytes, rng: random.Random, plain: Plain) -> bytes:
    content = zlib.decompressobj(wbits=31).decompress(data, _MOST)
    return gzip.compress(plain(content), 1, mtime=0)


def _archive(data: bytes, rng: random.Random, plain: Plain) -> bytes:
    packed = data[:2] == b"\x1f\x8b"
    if data[:2] == b"PK":
        members = _members(data)
        name = rng.choice(list(members))
        members[rng.choice((name, "set/data.bin", "a/set/data.bin"))] = plain(members[name])
        return _zipped(members, rng)
    content = bytearray(zlib.decompressobj(wbits=31).decompress(data, _MOST) if packed else data)
    block = 512 * rng.randrange(max(1, len(content) // 512))
    begin, end = rng.choice(((0, 100), (100, 124), (124, 136), (156, 157), (157, 257), (257, 265), (345, 500)))
    field = plain(bytes(content[block + begin : block + end]))[: end - begin].ljust(end - begin, b"\0")
    if rng.random() < 0.3:
        field = rng.choice(
            (b"set/data.bin", b"00000000010", b"77777777777", b"\x80\0\0\0\0\0\0\0\0\0\2\0", b"0", b"ustar")
        )
        field = field[: end - begin].ljust(end - begin, b"\0")
    content[block + begin : block + end] = field
    content[block + 148 : block + 156] = b" " * 8
    content[block + 148 : block + 156] = b"%06o\0 " % sum(content[block : block + 512])
    return gzip.compress(bytes(content), 1, mtime=0) if packed else bytes(content)


# -- text and pickles ------------------------------------------------------------------------------------------------

_WORDS = (
    b"0", b"1", b"-1", b"2", b"9223372036854775807", b"-9223372036854775808", b"1e308", b"1e-320", b"nan", b"inf", b"-",
    b".", b",", b";", b"\t", b"\n", b"\r\n", b'"', b"'", b"#", b"%", b"[", b"]", b"{", b"}", b"=", b"\0",
    b"\xef\xbb\xbf",
    b"\xff", "é".encode(), b"id", b"label", b"split", b"code", b"source", b"target", b"weight", b"graph", b"train",
    b"val", b"test", b"TRUE", b"one", b"two", b"[model]", b"[train]", b"[method.dq.paper.bits4]", b"quant", b"lr",
    b"hidden_channels", b"schedule", b"{kind = 'step'}", b"true", b"1979-05-27", b"0x1F", b"inf", b'"""', b"\\u0000",
)  # fmt: skip


def _text(data: bytes, rng: random.Random, plain: Plain) -> bytes:
    choice = rng.random()
    if choice < 0.4:
        return plain(data)
    at = rng.randrange(len(data) + 1)
    if choice < 0.7:
        return data[:at] + rng.choice(_WORDS) + data[at + rng.choice((0, 0, 1, 2)) :]
    lines = data.split(b"\n")
    first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
    if choice < 0.8:
        lines[first], lines[second] = lines[second], lines[first]
    elif choice < 0.9:
        lines.insert(first, lines[second])
    else:
        del lines[first]
    return b"\n".join(lines)


_OPCODES = (
    b"K\0", b"K\1", b"J\xff\xff\xff\x7f", b"J\xff\xff\xff\xff", b"]", b"}", b")", b"(", b"e", b"u", b"s", b"a", b"t",
    b"\x85", b"\x86", b"\x87", b"R", b"b", b"\x81", b"N", b"\x88", b"\x89", b"U\x02i8", b"U\0", b"q\1", b"h\1", b".",
    b"cnumpy\nndarray\n", b"cnumpy\ndtype\n", b"ccollections\ndefaultdict\n", b"cscipy.sparse.csr\ncsr_matrix\n",
    b"cnumpy.core.multiarray\n_reconstruct\n", b"c__builtin__\nlist\n", b"U\x06_shape", b"cos\nsystem\n",
)  # fmt: skip


def _pickle(data: bytes, rng: random.Random, plain: Plain) -> bytes:
    if rng.random() < 0.15:
        return plain(data)
    starts = [position for _, _, position in pickletools.genops(data)]
    parts = [data[a:b] for a, b in zip(starts, [*starts[1:], len(data)], strict=True)]
    at, other = rng.randrange(len(parts)), rng.randrange(len(parts))
    choice = rng.random()
    if choice < 0.25:
        parts.insert(at, rng.choice(_OPCODES))
    elif choice < 0.4:
        parts[at] = rng.choice(_OPCODES)
    elif choice < 0.55:
        del parts[at]
    elif choice < 0.7:
        parts[at : at + 1] = parts[other : other + rng.randrange(8)]
    elif choice < 0.8:
        parts[at], parts[other] = parts[other], parts[at]
    else:  # the numbers inside a string of raw bytes
        long = [k for k, part in enumerate(parts) if part[:1] in (b"U", b"T") and len(part) > 8]
        at = rng.choice(long)
        head = 2 if parts[at][:1] == b"U" else 5
        raw = bytearray(parts[at][head:])
        place = rng.randrange(len(raw)) // 4 * 4
        raw[place : place + 4] = struct.pack("<q", rng.choice((*_INTEGERS, *range(9))))[: len(raw[place : place + 4])]
        parts[at] = parts[at][:head] + bytes(raw)
    return b"".join(parts)


MUTATORS: dict[str, Mutator] = {
    **dict.fromkeys(("model", "train", "weights"), _tensors),
    **dict.fromkeys(("graph", "zinc", "cache"), _npz),
    **dict.fromkeys(("edges", "nodes", "folder", "test_index", "gin", "recipe", "note"), _text),
    "planetoid": _pickle, "tu": _tu, "idx": _gz, "archive": _archive, "expected": npy,
}  # fmt: skip
