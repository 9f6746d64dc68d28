"""Hostile files of public data sets, archives and recipes; and what stands in the place of a file."""

from __future__ import annotations

import gzip
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
from attack import Attack, attacks
from samples import SAMPLES, tarred, zipped

__all__ = ["ATTACKS"]

# -- pickles ---------------------------------------------------------------------------------------------------------


class Runs:
    def __reduce__(self) -> tuple:
        return exec, ("raise SystemExit('the pickle ran')",)


def _p(body: bytes) -> bytes:
    return b"\x80\x02" + body + b"."


def _u(text: bytes) -> bytes:
    return b"U" + bytes([len(text)]) + text


def _i(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def _array(shape: tuple[int, ...], code: bytes, raw: bytes) -> bytes:
    sizes = b"(" + b"".join(_i(n) for n in shape) + b"t"
    return b"".join([
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85U\x01b\x87R(K\1", sizes,
        b"cnumpy\ndtype\n", _u(code), b"K\0K\1\x87R(K\3U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb",
        b"\x89T", struct.pack("<i", len(raw)), raw, b"tb",
    ])  # fmt: skip


def _csr(indptr: list[int], indices: list[int], shape: tuple[int, int], code: bytes = b"i8") -> bytes:
    parts = {
        b"_shape": _i(shape[0]) + _i(shape[1]) + b"\x86",
        b"indptr": _array((len(indptr),), code, np.array(indptr, code.decode()).tobytes()),
        b"indices": _array((len(indices),), b"i4", np.array(indices, "i4").tobytes()),
        b"data": _array((len(indices),), b"f4", np.ones(len(indices), "f4").tobytes()),
    }
    body = b"".join(_u(name) + value for name, value in parts.items())
    return _p(b"cscipy.sparse.csr\ncsr_matrix\n)\x81}(" + body + b"ub")


_DICT = b"ccollections\ndefaultdict\nc__builtin__\nlist\n\x85R"


def _doubled() -> bytes:
    """A list of two that are the same list of two, thirty times: small here, 2^30 numbers as an array."""
    body = b"](K\1K\1eq\0"
    for level in range(1, 30):
        body += b"](h" + bytes([level - 1]) + b"h" + bytes([level - 1]) + b"eq" + bytes([level])
    return _p(body + _DICT + b"(K\0h\x1du")


def _shared() -> bytes:
    """Ten thousand nodes that share one list of ten thousand neighbours."""
    lists = b"](" + b"K\1" * 10_000 + b"eq\0"
    return _p(lists + _DICT + b"(" + b"".join(_i(k) + b"h\0" for k in range(10_000)) + b"u")


def _states() -> bytes:
    """A string of a megabyte, and a thousand arrays of it."""
    raw = b"T" + struct.pack("<i", 1 << 20) + bytes(1 << 20) + b"q\0"
    one = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85U\x01b\x87R(K\1(J\0\0\x10\0tcnumpy\ndtype\n"
        b"U\x02u1K\0K\1\x87R\x89h\0tb"
    )
    return _p(raw + b"](" + one * 1000 + b"e")


_PICKLES: dict[str, tuple] = {
    "nothing": (b"", "no Planetoid pickle"),
    "runs a command": (lambda: pickle.dumps(Runs(), protocol=2), "not permitted"),
    "runs a command, protocol 0": (lambda: pickle.dumps(Runs(), protocol=0), "not permitted"),
    "runs a command, protocol 4": (lambda: pickle.dumps(Runs(), protocol=4), "not permitted"),
    "runs a command, protocol 5": (lambda: pickle.dumps(Runs(), protocol=5), "not permitted"),
    "names os.system": (_p(b"cos\nsystem\n" + _u(b"true") + b"\x85R"), "os.system is not permitted"),
    "names eval": (_p(b"c__builtin__\neval\n" + _u(b"1") + b"\x85R"), "__builtin__.eval is not permitted"),
    "names a permitted module and more": (_p(b"cnumpy\ndtype.__class__\n)R"), "not permitted"),
    "INST": (_p(b"(ios\nsystem\n"), "INST is not permitted"),
    "OBJ": (_p(b"(cnumpy\ndtype\no"), "OBJ is not permitted"),
    "a persistent id": (_p(b"Pos.system\n"), "PERSID is not permitted"),
    "a persistent id from the stack": (_p(b"K\1Q"), "BINPERSID is not permitted"),
    "an extension": (_p(b"\x82\1"), "EXT1 is not permitted"),
    "a memo slot of 2^32": (_p(b"]r\xff\xff\xff\xff"), "memo slot"),
    "a memo slot that is empty": (_p(b"h\x07"), "no Planetoid pickle"),
    "a string of 2 GiB": (_p(b"T\xff\xff\xff\x7fabc"), "no Planetoid pickle"),
    "a string of a negative length": (_p(b"T\xff\xff\xff\xffabc"), "no Planetoid pickle"),
    "no end": (b"\x80\x02](K\1", "no Planetoid pickle"),
    "an end on an empty stack": (_p(b""), "no Planetoid pickle"),
    "a protocol of the future": (b"\x80\xff].", "no Planetoid pickle"),
    "marks": (lambda: _p(b"(" * 100_000), "no Planetoid pickle", 16),
    "a list": (_p(b"]"), "not an array, a sparse matrix or neighbour lists"),
    "a state for a name": (_p(b"cnumpy\nndarray\n}b"), "no Planetoid pickle"),
    "a matrix without a state": (_p(b"cscipy.sparse.csr\ncsr_matrix\n)\x81"), "not an array"),
    "an array of objects": (_p(_array((1,), b"O8", bytes(8))), "dtype"),
    "an array of 2^62 numbers": (_p(_array((2**31 - 1, 2**31 - 1), b"f8", b"12345678")), "an array of shape"),
    "a thousand arrays of one string": (_states, "objects with a state", 16),
    "neighbours that are lists of lists": (_doubled, "must hold integers"),
    "nodes that share their neighbours": (_shared, "no list of neighbours"),
    "neighbours of words": (_p(_DICT + b"(K\0" + _u(b"abc") + b"u"), "no list of neighbours"),
    "a neighbour of 2^31": (_p(_DICT + b"(K\0](" + _i(2**31 - 1) + b"eu"), "outside 0..11"),
    "row pointers that wrap around": (_csr([0, 2**63 - 1, -(2**63), -1, 2], [0, 1], (4, 6)), "ascending entries"),
    "row pointers beyond the entries": (_csr([0, 10**12], [0, 1], (1, 6)), "ends at 1000000000000"),
    "a matrix of 2^31 columns": (_csr([0, 2], [0, 1], (1, 2**31 - 1)), "no bag of words"),
    "a matrix of fewer rows": (_csr([0, 2], [0, 1], (1, 6)), "do not fit together"),
}

_TEST_INDEX: dict[str, tuple] = {
    "nothing": (b"", "each test node once"),
    "a node of 10^15": (b"10\n7\n11\n1000000000000000\n", "without large gaps"),
    "a node beyond 64 bits": (b"10\n7\n11\n99999999999999999999\n", "one decimal node id"),
    "a node twice": (b"10\n7\n11\n10\n", "each test node once"),
    "words": (b"10\n7\n11\nexec\n", "one decimal node id"),
    "no ASCII": ("10\n7\n11\n٨\n".encode(), "one decimal node id"),
    "zero bytes": (b"10\n7\n11\n\x008\n", "one decimal node id"),
}

# -- text and images -------------------------------------------------------------------------------------------------

_TU_PARTS = {"A": b"1, 2\n2, 1\n", "graph_indicator": b"1\n1\n", "graph_labels": b"1\n"}


def _tu(method: int = zipfile.ZIP_DEFLATED, **changed: bytes | None):
    members = _TU_PARTS | changed
    return lambda: zipped({f"S/S_{k}.txt": v for k, v in members.items() if v is not None}, method)


_TU: dict[str, tuple] = {
    "nothing": (b"", "no readable zip"),
    "no edges": (_tu(A=None), r"no member \*_A.txt"),
    "300 MB of zeros": (lambda: _tu(A=bytes(300_000_000))(), "would unpack to"),
    "packed with lzma": (_tu(zipfile.ZIP_LZMA), "stored or deflated"),
    "two lists of edges": (lambda: zipped({"a_A.txt": b"1, 2\n", "b_A.txt": b"2, 1\n"}), "two members"),
    "an odd number of ends": (_tu(A=b"1, 2\n3\n"), "each line must have two"),
    "a node that is not there": (_tu(A=b"1, 3\n"), "outside 1..2"),
    "a node below zero": (_tu(A=b"1, -3\n"), "outside 1..2"),
    "graphs of nodes that wrap around": (
        _tu(graph_indicator=b"1\n9223372036854775806\n-9223372036854775807\n-1\n1\n"),
        "must ascend",
    ),
    "a graph that is not there": (_tu(graph_indicator=b"1\n2\n"), "must ascend"),
    "a number beyond 64 bits": (_tu(graph_labels=b"99999999999999999999\n"), "beyond 64 bits"),
    "a word": (_tu(A=b"1, exec\n"), "only decimal integers"),
    "zero bytes": (_tu(A=b"1, \x002\n"), "only decimal integers"),
    "an attribute of a megabyte": (
        _tu(node_attributes=b"1" * 1_000_000 + b"\n" + b"1\n" * 1_000_000),
        "word of over 64",
        128,
    ),
    "attributes that are not finite": (_tu(node_attributes=b"nan\n1\n"), "finite", "GraphError"),
    "a label for each of a hundred thousand nodes": (
        lambda: _tu(graph_indicator=b"1\n" * 100_000, node_labels=b"".join(b"%d\n" % k for k in range(100_000)))(),
        "one-hot features of 100000 nodes",
        "ConfigError",
        48,
    ),
    "a label too few": (_tu(node_labels=b"1\n"), "1 node labels for 2 nodes"),
}

_GIN: dict[str, tuple] = {
    "nothing": (b"", "cannot be told apart"),
    "a billion graphs on line 1": (b"1000000000\n1 0\n0 0\n", "announces 1000000000 graphs"),
    "a billion nodes on line 2": (b"1\n1000000000 0\n0 0\n", "its 1 graphs need 1000000002"),
    "a billion neighbours on line 3": (b"1\n1 0\n0 1000000000\n", "and then k neighbours"),
    "nodes below zero": (b"1\n-5 0\n", "expected 'nodes class'"),
    "a neighbour of another graph": (b"2\n1 0\n0 1 1\n1 0\n0 0\n", "names the neighbour 1"),
    "a neighbour below zero": (b"1\n1 0\n0 1 -1\n", "names the neighbour -1"),
    "a number beyond 64 bits": (b"1\n99999999999999999999 0\n", "beyond 64 bits"),
    "half the file": (b"2\n1 0\n0 0\n", "announces 2 graphs"),
    "a sign alone": (b"1\n1 0\n0 -\n", "a sign that is not in front"),
    "zero bytes": (b"1\n1 0\n0 \x000\n", "only decimal integers"),
    "UTF-16": ("1\n1 0\n0 0\n".encode("utf-16"), "only decimal integers"),
    "no graphs": (b"0\n", "Line 1 must hold the number of graphs"),
}


def _idx(head: bytes, data: bytes = b"") -> bytes:
    return gzip.compress(head + data, mtime=0)


_SHAPE = struct.Struct(">i").pack
_IDX: dict[str, tuple] = {
    "nothing": (b"", "starts with ''|no complete gzip"),
    "no gzip": (b"\0\0\x08\x01\0\0\0\1a", "no complete gzip"),
    "an axis of 2^31": (_idx(b"\0\0\x08\x01\x7f\xff\xff\xff"), "announces the shape"),
    "four axes of 2^31": (_idx(b"\0\0\x08\x04" + b"\x7f\xff\xff\xff" * 4), "announces the shape"),
    "an axis below zero": (_idx(b"\0\0\x08\x02" + _SHAPE(-2) + _SHAPE(-2), b"abcd"), "announces the shape"),
    "100 axes": (_idx(b"\0\0\x08\x64" + _SHAPE(1) * 100), "starts with"),
    "no axis": (_idx(b"\0\0\x08\x00"), "starts with"),
    "floats": (_idx(b"\0\0\x0d\x01" + _SHAPE(1), b"abcd"), "starts with"),
    "half a header": (_idx(b"\0\0\x08\x03" + _SHAPE(1)), "ends inside its header"),
    "200 MB behind five bytes": (lambda: _idx(b"\0\0\x08\x01" + _SHAPE(5), bytes(200_000_000)), "holds more"),
    "fewer bytes than announced": (_idx(b"\0\0\x08\x01" + _SHAPE(200_000_000), b"a"), "holds only 1"),
    "cut short": (lambda: _idx(b"\0\0\x08\x01" + _SHAPE(5), b"abcde")[:-5], "no complete gzip"),
    "a checksum that is wrong": (
        lambda: _idx(b"\0\0\x08\x01" + _SHAPE(5), b"abcde")[:-8] + bytes(8),
        "no complete gzip",
    ),
    "a file name without end": (b"\x1f\x8b\x08\x08" + bytes(6) + b"x" * 5_000_000, "starts with|no complete gzip", 24),
    "a million members": (
        _idx(b"\0\0\x08\x01" + _SHAPE(5)) + gzip.compress(b"", mtime=0) * 100_000,
        "holds only 0|no complete",
        16,
    ),
    "something behind its end": (_idx(b"\0\0\x08\x01" + _SHAPE(1), b"a") + b"PK\3\4", "something follows"),
}
_CIFAR: dict[str, tuple] = {
    "nothing": (b"", "has 0 bytes"),
    "half a record": (bytes(3072), "records of CIFAR-10 have 3073"),
    "a label of 10": (b"\x0a" + bytes(3072), "label 10"),
}

# -- archives and recipes --------------------------------------------------------------------------------------------


def _tar(change) -> bytes:
    block = bytearray(tarred(False)[:512])
    change(block)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + bytes(1024)


def _put(at: int, value: bytes):
    return lambda block: block.__setitem__(slice(at, at + len(value)), value)


def _links(kind: bytes) -> bytes:
    """A link with the name that is looked for."""

    def change(block: bytearray) -> None:
        block[:100] = b"set/data.bin".ljust(100, b"\0")
        block[156:157] = kind
        block[157:257] = b"/etc/passwd".ljust(100, b"\0")

    return _tar(change)


_ARCHIVES: dict[str, tuple] = {
    "nothing": (b"", "holds no member"),
    "text": (b"hello, world\n" * 100, "not a readable archive"),
    "no such member": (zipped({"set/other.bin": b"x"}), "holds no member"),
    "a symbolic link": (_links(b"2"), "holds no member"),
    "a hard link": (_links(b"1"), "holds no member"),
    "a device": (_links(b"3"), "holds no member"),
    "a member that is a pipe": (_links(b"6"), "holds no member"),
    "an extended header of 8 GiB": (
        _tar(lambda b: (_put(124, b"77777777777\0")(b), _put(156, b"x")(b))),
        "holds no member",
    ),
    "a long name of 8 GiB": (_tar(lambda b: (_put(124, b"77777777777\0")(b), _put(156, b"L")(b))), "holds no member"),
    "a size in base 256": (_tar(_put(124, b"\x80" + bytes(10) + b"\1")), "a number in a tar header"),
    "a size below zero": (_tar(_put(124, b"-0000000001\0")), "a number in a tar header"),
    "a checksum that is wrong": (bytes(tarred(False)[:100]) + b"x" + tarred(False)[101:], "no tar archive"),
    "gzip cut short": (lambda: tarred(True)[:60], "not a readable archive"),
    "gzip of nothing but its head": (b"\x1f\x8b", "not a readable archive"),
    "a zip without its end": (lambda: zipped({"set/data.bin": b"abc"})[:-10], "not a readable archive"),
    "a zip with a wrong checksum": (
        lambda: zipped({"set/data.bin": b"abcabc"}, zipfile.ZIP_STORED).replace(b"abcabc", b"abcabd"),
        "not a readable archive",
    ),
}

_RECIPES: dict[str, tuple] = {
    "brackets": (b"x = " + b"[" * 5000, "nested too deeply|not valid TOML"),
    "tables in tables": (b"x = " + b"{a=" * 5000, "nested too deeply|not valid TOML"),
    "a key of ten thousand parts": (b"a" + b".a" * 10_000 + b" = 1", "more than 256 dots"),
    "a megabyte": (b"#" * (1 << 20), "at most 65,536 are read", "DataError"),
    "an integer of ten thousand digits": (b"[train]\nepochs = " + b"9" * 10_000, "4300"),
    "no UTF-8": (b"[train]\nlr = '\xff'", "not UTF-8"),
    "zero bytes": (b"[train]\nlr = \0", "not valid TOML"),
    "an unknown table": (b"[exec]\nx = 1", "unknown tables"),
    "an unknown key": (b"[train]\nexec = 1", "unknown key"),
    "a table that is a number": (b"train = 1", "a table is needed"),
    "methods that are a number": (b"method = 1", "a table is needed"),
    "methods that are a list": (b"method = [1]", "a table is needed"),
    "a method that is a number": (b"[method]\ndq = 1", "a table is needed"),
    "quant that is a number": (b"quant = 1", "a table is needed"),
    "quant of a method that is a number": (b"[method.dq]\nquant = 1", "must be of type dict"),
    "an unknown method": (b"[method.exec]\nlr = 1.0", "unknown methods"),
    "bits in words": (b"[method.dq]\nbits4 = 1", "a table is needed"),
    "a key twice": (b"[train]\nlr = 1.0\nlr = 2.0", "not valid TOML"),
    "a date": (b"[train]\nlr = 1979-05-27", "must be of type float"),
    "a truth value for a number": (b"[train]\nepochs = true", "must be of type int"),
}

# -- in the place of a file ------------------------------------------------------------------------------------------


def _error(reader: str, name: str) -> str:
    there = reader == "model" or (reader == "train" and name == "a hundred GiB")
    return "ModelFormatError" if there else "DataError"


def _zero(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.mkdir()


def _loop(path: Path) -> None:
    path.symlink_to(path)


def _missing(path: Path) -> None:
    path.symlink_to(path.with_name("nowhere"))


def _hundred_gib(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(100 << 30)


_PLACES = {
    "a pipe": _pipe,
    "a link to a device": _zero,
    "a link to itself": _loop,
    "a link to nowhere": _missing,
    "a folder": _folder,
    "a hundred GiB": _hundred_gib,
}
# A folder is a format of graphs; a table of 100 GiB is too large, and so are weights.
_SKIP = {("edges", "a folder"), ("graph", "a folder"), ("folder", "a link to itself"), ("folder", "a link to nowhere"),
         ("folder", "a pipe"), ("folder", "a link to a device"), ("folder", "a folder")}  # fmt: skip

ATTACKS: list[Attack] = [
    *attacks("planetoid", "DataError", _PICKLES),
    *attacks("test_index", "DataError", _TEST_INDEX),
    *attacks("tu", "DataError", _TU),
    *attacks("gin", "DataError", _GIN),
    *attacks("idx", "DataError", _IDX),
    *attacks("cifar", "DataError", _CIFAR),
    *attacks("archive", "DataError", _ARCHIVES),
    *attacks("recipe", "ConfigError", _RECIPES),
    *(
        Attack(reader, name, make, _error(reader, name), ".", places=True)
        for reader in SAMPLES if reader not in ("cache", "note", "weights")
        for name, make in _PLACES.items() if (reader, name) not in _SKIP
    ),
]  # fmt: skip
