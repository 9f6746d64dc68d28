"""Hostile npz files, tables and folders of graphs."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np
from attack import MIB, Attack, attacks
from samples import ADJACENCY, EDGES, SPARSE_X, ZINC, X, Y, npy, npz, zipped

__all__ = ["ATTACKS"]

_BIG = 1 << 63
#: Differences of neighbours wrap around and are all positive: what repeats by them writes outside of its memory.
_WRAPS = np.array([0, _BIG - 1, -_BIG, -1, 2])


class Runs:
    """An object whose pickle runs a command."""

    def __reduce__(self) -> tuple:
        return exec, ("raise SystemExit('the pickle ran')",)


def header(text: bytes, data: bytes = b"", version: tuple[int, int] = (1, 0), length: int | None = None) -> bytes:
    """An npy file with any header."""
    size = struct.pack("<H" if version == (1, 0) else "<I", len(text) if length is None else length)
    return b"\x93NUMPY" + bytes(version) + size + text + data


def described(descr: bytes, shape: bytes, data: bytes = b"", order: bytes = b"False") -> bytes:
    return header(b"{'descr': " + descr + b", 'fortran_order': " + order + b", 'shape': " + shape + b"}\n", data)


def one(content: bytes) -> bytes:
    """An npz whose edges are these bytes."""
    return zipped({"edge_index.npy": content}, zipfile.ZIP_STORED)


def patched(content: bytes, old: bytes, new: bytes) -> bytes:
    assert old in content
    return content.replace(old, new)


def ends(**fields: tuple[int, int]) -> bytes:
    """A whole npz, but with numbers of its end record changed: (offset in the record, value of 4 bytes)."""
    whole = bytearray(npz(edge_index=EDGES))
    at = whole.rfind(b"PK\5\6")
    for offset, value in fields.values():
        whole[at + offset : at + offset + 4] = value.to_bytes(4, "little")
    return bytes(whole)


def _crowded() -> bytes:
    """A directory of thirty thousand empty members."""
    return zipped({f"a{k}.npy": b"" for k in range(30000)}, zipfile.ZIP_STORED)


def _twice() -> bytes:
    a, b = npy(EDGES), npy(EDGES[::-1])
    return patched(zipped({"edge_index.npy": a, "edge_indey.npy": b}), b"edge_indey.npy", b"edge_index.npy")


def _encrypted() -> bytes:
    whole = bytearray(zipped({"edge_index.npy": npy(EDGES)}))
    for sign, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        whole[whole.find(sign) + offset] |= 1
    return bytes(whole)


_NPY: dict[str, tuple] = {
    "a shape of 100 TB": (described(b"'<f8'", b"(100000000000000,)", b"12345678"), "an array of shape"),
    "a shape that overflows": (
        described(b"'<f8'", b"(4611686018427387904, 4611686018427387904)"),
        "an array of shape",
    ),
    "a huge axis beside none": (described(b"'<f8'", b"(0, 4611686018427387904)"), "."),
    "a shape below zero": (described(b"'<f8'", b"(-2, -4)", bytes(64)), "shape|negative"),
    "a type without width": (described(b"'<U0'", b"(1000000000000,)"), "neither numbers nor text"),
    "records": (described(b"[('a', '<f8'), ('b', 'O')]", b"(1,)", bytes(16)), "pickles|neither"),
    "arrays in arrays": (described(b"('<f8', (1000000, 1000000))", b"(0,)"), "."),
    "a date": (described(b"'<M8[s]'", b"(1,)", bytes(8)), "neither numbers nor text"),
    "a complex number": (described(b"'<c16'", b"(1,)", bytes(16)), "neither numbers nor text"),
    "a truth value of 7": (described(b"'|b1'", b"(1,)", b"\x07"), "neither 0 nor 1"),
    "text that is no Unicode": (described(b"'<U1'", b"(1,)", b"\0\xd8\0\0"), "no Unicode"),
    "a header that is a call": (header(b"__import__('os').system('true')"), "."),
    "a header of brackets": (header(b"(" * 9000), "."),
    "a header of 2 GiB": (header(b"{}", version=(2, 0), length=1 << 31), "header announces 2,147,483,648"),
    "a version of the future": (header(b"{}", version=(9, 0)), "version|format"),
    "half a header": (header(b"{'descr': '<f8', 'fortran_order"), "."),
    "too few bytes": (described(b"'<i8'", b"(2, 2)", bytes(31)), "32 bytes, and 31 are there"),
    "too many bytes": (described(b"'<i8'", b"(2, 2)", bytes(33)), "32 bytes, and 33 are there"),
}

_ZIP: dict[str, tuple] = {
    "nothing": (b"", "no zip archive"),
    "two letters": (b"PK", "no zip archive"),
    "a pickle with another name": (lambda: npz(edge_index=np.array([Runs()], object), allow_pickle=True), "pickles"),
    "a bare pickle": (b"cos\nsystem\n(S'true'\ntR.", "no zip archive"),
    "300 MiB of zeros": (lambda: zipped({"edge_index.npy": bytes(300 << 20)}), "would unpack to 314572800"),
    "a member that announces 4 GiB": (
        lambda: patched(
            npz(edge_index=EDGES),
            struct.pack("<I", len(npy(EDGES))) * 2,
            struct.pack("<II", len(npy(EDGES)), 0xFFFFFFF0),
        ),
        ".",
    ),
    "a member that announces less": (
        lambda: patched(npz(True, edge_index=EDGES), struct.pack("<I", len(npy(EDGES))), struct.pack("<I", 130)),
        ".",
    ),
    "a checksum that is wrong": (
        lambda: patched(npz(edge_index=EDGES), b"\x01\0\0\0\0\0\0\0\x02", b"\x01\0\0\0\0\0\0\0\x01"),
        "CRC|checksum",
    ),
    "a member twice": (_twice, "twice"),
    "two names for one array": (lambda: zipped({"edge_index.npy": npy(EDGES), "edge_index": npy(EDGES)}), "twice"),
    "a directory of thirty thousand members": (_crowded, "its directory has", 24),
    "a directory of 4 GiB": (lambda: ends(size=(12, 0xFFFFFFF0)), "its directory has"),
    "a directory somewhere else": (lambda: ends(offset=(16, 0x7FFFFFF0)), "."),
    "a directory of the large kind": (
        lambda: npz(edge_index=EDGES)[:-22] + b"PK\6\7" + bytes(16) + npz(edge_index=EDGES)[-22:],
        "4 GiB",
    ),
    "packed with lzma": (lambda: zipped({"edge_index.npy": npy(EDGES)}, zipfile.ZIP_LZMA), "stored or deflated"),
    "packed with bzip2": (lambda: zipped({"edge_index.npy": npy(EDGES)}, zipfile.ZIP_BZIP2), "stored or deflated"),
    "encrypted": (_encrypted, "encrypted|password"),
    "cut in the middle": (lambda: npz(edge_index=EDGES)[:200], "no zip archive"),
    "a name that leaves the folder": (lambda: zipped({"../../edge_index.npy": npy(EDGES)}), "no known layout"),
    "a picture": (lambda: zipped({"edge_index.npy": b"\x89PNG\r\n" + bytes(99)}), "."),
}

_MATRIX = {"adj_data": [1, 1], "adj_shape": [4, 4], "adj_indices": [0, 1]}
_CONTENT: dict[str, tuple] = {
    "row pointers that wrap around": (lambda: npz(**_MATRIX, adj_indptr=_WRAPS), "it must never fall", "GraphError"),
    "row pointers of features that wrap around": (
        lambda: npz(edge_index=EDGES, x_indptr=_WRAPS, x_indices=[0, 1], x_data=[1.0, 1.0], x_shape=[4, 2]),
        "ascending entries",
        "GraphError",
    ),
    "row pointers of attributes that wrap around": (
        lambda: npz(
            **_MATRIX,
            adj_indptr=[0, 1, 2, 2, 2],
            attr_indptr=_WRAPS,
            attr_indices=[0, 1],
            attr_data=[1.0, 1.0],
            attr_shape=[4, 2],
        ),
        "ascending entries",
        "GraphError",
    ),
    "row pointers of a batch that wrap around": (
        lambda: npz(edge_index=EDGES, x=X, graph_ptr=np.array([0, _BIG - 1, -_BIG, -1, 3])),
        "asks for",
        8,
    ),
    "row pointers that fall": (lambda: npz(**_MATRIX, adj_indptr=[0, 2, 1, 2, 2]), "it must never fall", "GraphError"),
    "row pointers beyond the edges": (lambda: npz(**_MATRIX, adj_indptr=[0, 1, 1, 1, 9]), "ends at 9", "GraphError"),
    "row pointers of NaN": (
        lambda: npz(
            **_MATRIX,
            adj_indptr=[0, 1, 2, 2, 2],
            attr_indptr=np.full(5, np.nan),
            attr_indices=[0, 1],
            attr_data=[1.0, 1.0],
            attr_shape=[4, 2],
        ),
        "must hold integers",
        "GraphError",
    ),
    "an adjacency of 2^62 rows": (lambda: npz(**{**ADJACENCY, "adj_shape": [2**62, 2**62]}), "has 3 rows"),
    "features of 2^31 columns": (
        lambda: npz(edge_index=EDGES, **{**SPARSE_X, "x_shape": [3, 2**31 - 1]}),
        "asks for 2147483647 features",
    ),
    "features of 2^62 rows": (
        lambda: npz(edge_index=EDGES, **{**SPARSE_X, "x_shape": [2**62, 2]}),
        "ascending entries",
        "GraphError",
    ),
    "features outside of their columns": (
        lambda: npz(edge_index=EDGES, **{**SPARSE_X, "x_indices": [0, 4]}),
        "outside",
        "GraphError",
    ),
    "features that are not finite": (lambda: npz(edge_index=EDGES, x=X * np.nan), "finite", "GraphError"),
    "features of words": (lambda: npz(edge_index=EDGES, x=[["a"], ["b"], ["c"]]), "real numbers", "GraphError"),
    "2^31 nodes": (lambda: npz(edge_index=EDGES, num_nodes=2**31 - 1), "asks for 2147483647 nodes"),
    "a node of a high number": (lambda: npz(edge_index=[[0, 2**40], [1, 0]]), "asks for 1099511627777 nodes"),
    "a batch of 2^31 nodes": (lambda: npz(edge_index=EDGES, graph_ptr=[0, 2**31 - 2]), "asks for 2147483647 nodes"),
    "a node below zero": (lambda: npz(edge_index=[[0, -1], [1, 0]], x=X), "outside the graph", "GraphError"),
    "a node that is not there": (lambda: npz(edge_index=[[0, 3], [1, 0]], x=X), "outside the graph", "GraphError"),
    "an unsigned node beyond int64": (
        lambda: npz(edge_index=np.array([[2**64 - 1], [0]], np.uint64)),
        "asks for|int64",
    ),
    "edges of floats": (lambda: npz(edge_index=EDGES.astype(float)), "must hold integers", "GraphError"),
    "edges of three axes": (lambda: npz(edge_index=EDGES[None]), "must be", "GraphError"),
    "a label of 2^40": (lambda: npz(edge_index=EDGES, x=X, y=[0, 1, 2**40]), "asks for 1099511627777 classes"),
    "2^40 classes": (lambda: npz(edge_index=EDGES, x=X, y=Y, num_classes=2**40), "asks for 1099511627776 classes"),
    "2^31 categories": (
        lambda: npz(edge_index=EDGES, x=[0, 1, 2], num_categories=2**31 - 1),
        "asks for 2147483647 features",
    ),
    "a count that is infinite": (lambda: npz(edge_index=EDGES, num_nodes=np.inf), "must be integers"),
    "a mask of words": (lambda: npz(edge_index=EDGES, x=X, train_mask=["a", "b", "c"]), "masks are bool", "GraphError"),
    "a mask of another length": (lambda: npz(edge_index=EDGES, x=X, train_mask=[True]), "must be", "GraphError"),
    "weights that are infinite": (
        lambda: npz(edge_index=EDGES, edge_weight=np.full(4, np.inf)),
        "finite",
        "GraphError",
    ),
    "several labels a node": (lambda: npz(**ADJACENCY, labels_data=[1]), "several labels"),
    "edges of two and two": (lambda: npz(edges=[[1, 2, 3]], node_features=X), r"must be \(E, 2\)"),
    "masks of words": (lambda: npz(edges=EDGES.T, node_features=X, train_masks=[["a", "b", "c"]]), "truth|masks|bool"),
}


_ZINC = {
    "row pointers that wrap around": (
        lambda: npz(**{**ZINC, "edge_ptr": np.array([0, _BIG - 1, 2])}),
        "edge_ptr must rise",
    ),
    "row pointers of two axes": (lambda: npz(**{**ZINC, "node_ptr": [[0, 2, 3]]}), "node_ptr must rise"),
    "targets of two axes": (lambda: npz(**{**ZINC, "target": np.ones((2, 2), np.float32)}), "target has shape"),
    "a target of no axis": (lambda: npz(**{**ZINC, "target": np.float32(1)}), "target has shape"),
    "an atom of kind 200": (
        lambda: npz(**{**ZINC, "atom_type": np.array([0, 200, 1], np.uint8)}),
        "code 200",
        "GraphError",
    ),
    "a bond to a node of another graph": (lambda: npz(**{**ZINC, "edge_index": [[0, 2], [1, 0]]}), "outside its graph"),
    "an array that is missing": (lambda: npz(edge_ptr=[0]), "no array node_ptr"),
    "targets of words": (lambda: npz(**{**ZINC, "target": ["a", "b"]}), "has dtype"),
}

# -- tables ----------------------------------------------------------------------------------------------------------

_TABLE: dict[str, tuple] = {
    "nothing": (b"", "holds no rows"),
    "blank lines": (b"\n" * 100_000, "holds no rows"),
    "a line of 50 MB": (lambda: b"a," * 25_000_000, "line 1: longer than 4194304 characters", 64),
    "a line of four million commas": (lambda: b"," * 4_194_000 + b"\n", ".", 256),
    "a cell of a megabyte": (lambda: b'"' + b"x" * 1_000_000 + b'",b\n', "field larger"),
    "a quote that never ends": (lambda: b'a,b\n"' + b"x\n" * 200_000, "field larger|quotes"),
    "zero bytes": (b"a,b\n\0,c\n", "a zero byte"),
    "Latin-1": ("a,b\né,c\n".encode("latin-1"), "no UTF-8"),
    "UTF-16": ("a,b\nc,d\n".encode("utf-16"), "no UTF-8|zero byte|no known format"),
    "half a character at the end": (b"a,b\nc,\xc3", "no UTF-8"),
    "rows that grow": (b"a,b\nc,d,e\n", "3 cells, where the first row has 2"),
}
_EDGES: dict[str, tuple] = _TABLE | {
    "a name twice in the header": (b"source,target,target\na,b,c\n", "two columns are named"),
    "an edge from nowhere": (b"source,target\n,b\n", "without a source"),
    "a weight that is infinite": (b"source,target,weight\na,b,inf\n", "finite float32"),
    "a weight beyond float32": (b"source,target,weight\na,b,1e39\n", "finite float32"),
    "a weight of words": (b"source,target,weight\na,b,exec\n", "must be a number"),
    "one column": (b"a\nb\n", "one column"),
    "a pickle": (b"\x80\x04\x95\0\0\0\0\0\0\0\0.", "no known format"),
    "an npy": (lambda: npy(EDGES), "no known format"),
}
_NODES: dict[str, tuple] = _TABLE | {
    "a node twice": (b"id,x\na,1\na,2\n", "the node 'a' again"),
    "a node without a name": (b"id,x\n,1\n", "without an id"),
    "a feature that is infinite": (b"id,x\na,1\nb,1e999\n", "finite float32"),
    "a feature of words": (b"id,x\na,1\nb,__import__\n", "must be a number"),
    "a code of 2^40": (b"id,code\na,1\nb,1099511627776\n", "codes are whole numbers"),
    "a label of 10^15": (b"id,x,label\na,1,0\nb,1,999999999999999\n", "is no class", "GraphError"),
    "a label below zero": (b"id,x,label\na,1,0\nb,1,-7\n", "is no class", "GraphError"),
    "a label that is infinite": (b"id,x,label\na,1,0.5\nb,1,inf\n", "no finite float32"),
    "a split nobody knows": (b"id,x,split\na,1,train\nb,1,eval\n", "it must be train, val, test"),
    "two columns of labels": (b"id,label,y\na,1,1\nb,0,0\n", "both stand for the label", "ConfigError"),
}
_FOLDER: dict[str, tuple] = {
    "nothing": (b"", "holds no rows"),
    "no header": (b"one,a\ntwo,b\n", "has no header"),
    "a name that leaves the folder": (b"graph,label\n../../../../etc/passwd,a\n", "no graph"),
    "an absolute name": (b"graph,label\n/etc/passwd,a\n", "no graph"),
    "a graph twice": (b"graph,label\none,a\none,b\n", "a second time"),
    "a graph without a label": (b"graph,label\none,\n", "no label"),
    "a split nobody knows": (b"graph,label,split\none,a,x\n", "it must be train, val, test"),
    "a header alone": (b"graph,label\n", "lists no graph"),
    "zero bytes": (b"graph,label\none,\0\n", "a zero byte"),
}


def _folder_of_links(path: Path) -> None:
    """A folder whose graph is a link to itself."""
    path.mkdir()
    (path / "g.npz").symlink_to(path / "g.npz")


ATTACKS: list[Attack] = [
    *attacks(
        "graph", "DataError", _ZIP | _CONTENT | {f"npy: {name}": (one(row[0]), *row[1:]) for name, row in _NPY.items()}
    ),
    *attacks("expected", "DataError", _NPY),
    *attacks("zinc", "DataError", _ZINC),
    *attacks("edges", "DataError", _EDGES),
    *attacks("nodes", "DataError", _NODES),
    *attacks("folder", "DataError", _FOLDER),
    Attack(
        "graph",
        "a link that leads to itself",
        _folder_of_links,
        "DataError",
        "holds no graph|left out|no file",
        8 * MIB,
        True,
    ),
]
