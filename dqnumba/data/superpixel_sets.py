"""MNIST and CIFAR-10 as sets of superpixel graphs, built once and kept in the per-user cache.

Images are built in runs of 1,000. A run's file is named by a hash of its pixels, the parameters and the
version of the recipe: whatever else changes, a file never stands for other images, and a build with ``limit``
is a part of a full one.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..graph import Graph, GraphDataset
from ..graph.file import read_arrays, write_arrays
from .images import read_cifar10, read_idx
from .registry import cache_folder, fetch
from .superpixels import PackedGraphs, build_graphs, concatenate

__all__ = ["PARAMETERS", "load_superpixels", "make_dataset"]

_log = logging.getLogger("dqnumba")
_RUN = 1000
_RECIPE = 1  # raise it when superpixels.py makes other graphs of the same image

PARAMETERS = {
    "mnist": {"max_superpixels": 75, "compactness": 0.25},
    "cifar10": {"max_superpixels": 150, "compactness": 10.0},
}


def load_superpixels(
    name: str,
    *,
    root: str | None = None,
    limit: int | None = None,
    progress: Callable[..., Iterable] | None = None,
    verify: bool = True,
) -> GraphDataset:
    """Load ``mnist`` or ``cifar10`` as superpixel graphs.

    MNIST: the first 55,000 training images train, the last 5,000 validate, 10,000 test. CIFAR-10: only a part
    of the set is used here, of ``data_batch_1`` the first 9,000 train and the last 1,000 validate; the first
    1,000 of the test batch test. With ``limit`` only the runs of 1,000 that hold the first ``limit`` training
    images are built.
    """

    def path(filename: str) -> Path:
        return fetch(name, filename, root=root, verify=verify)

    if name == "mnist":
        images, test_images = (read_idx(path(f"{part}-images-idx3-ubyte.gz")) for part in ("train", "t10k"))
        labels, test_labels = (read_idx(path(f"{part}-labels-idx1-ubyte.gz")) for part in ("train", "t10k"))
        num_val = 5000
    else:
        images, labels = read_cifar10(path("data_batch_1.bin"))
        test_images, test_labels = read_cifar10(path("test_batch_first1000.bin"))
        num_val = 1000
    return make_dataset(
        name, images, labels, test_images, test_labels, num_val=num_val, limit=limit, progress=progress
    )


def make_dataset(
    name: str,
    images: NDArray[np.uint8],
    labels: NDArray[np.integer],
    test_images: NDArray[np.uint8],
    test_labels: NDArray[np.integer],
    *,
    num_val: int,
    limit: int | None = None,
    progress: Callable[..., Iterable] | None = None,
) -> GraphDataset:
    """Build the set of the given images with the parameters of ``name``; the last ``num_val`` of ``images``
    validate."""
    for pictures, classes in ((images, labels), (test_images, test_labels)):
        if pictures.ndim not in (3, 4) or classes.ndim != 1 or len(pictures) != len(classes):
            raise DataError(
                f"{name}: {classes.shape} labels for images of shape {pictures.shape}; the files do not fit together"
            )
    if not num_val < len(images) or not len(test_images):
        raise DataError(f"{name}: {len(images)} training images, of which {num_val} are to validate: too few")
    first_val = len(images) - num_val
    num_train = first_val if limit is None else min(limit, first_val)
    built_train = min(-(-num_train // _RUN) * _RUN, first_val)
    parts = (images[:built_train], images[first_val:], test_images)
    runs = [part[k : k + _RUN] for part in parts for k in range(0, len(part), _RUN)]
    graphs = concatenate(_build_runs(name, runs, progress))

    y = np.concatenate([labels[:built_train], labels[first_val:], test_labels]).astype(np.int64)
    ends = np.cumsum([len(part) for part in parts])
    train, val, test = np.split(np.arange(ends[-1]), ends[:-1])
    splits = {"train": train[:num_train], "val": val, "test": test}
    return GraphDataset(_union(graphs, y, name), name=name, splits=splits)


def _build_runs(
    name: str, runs: list[NDArray[np.uint8]], progress: Callable[..., Iterable] | None
) -> list[PackedGraphs]:
    folder: Path | None = None
    try:
        folder = cache_folder() / "superpixels"
    except DataError as error:
        _log.warning("superpixels are not kept: %s", error)
    paths = [Path(folder or "") / f"{name}-{_fingerprint(name, run)}.npz" for run in runs]
    found = [None if folder is None else _read_run(path, len(run)) for path, run in zip(paths, runs, strict=True)]
    missing: Iterable[int] = [k for k, graphs in enumerate(found) if graphs is None]
    if missing and progress is not None:
        missing = progress(missing, desc=f"{name} superpixels", total=len(list(missing)))
    for k in missing:
        found[k] = build_graphs(runs[k], **PARAMETERS[name])
        if folder is None:
            continue
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_arrays(paths[k], found[k]._asdict())
        except OSError as error:  # a read-only home: the graphs are still good, only not kept
            _log.warning("superpixels are not kept: %s; set DQNUMBA_CACHE_DIR to a writable folder", error)
            folder = None  # once is enough
    return found


def _fingerprint(name: str, run: NDArray[np.uint8]) -> str:
    parameters = f"{_RECIPE} {sorted(PARAMETERS[name].items())} {run.shape}"
    return hashlib.sha256(parameters.encode() + run.tobytes()).hexdigest()[:24]


def _read_run(path: Path, count: int) -> PackedGraphs | None:
    """Read a run from the cache; ``None`` if it is not there or damaged, so that it is built again."""
    try:
        if not path.is_file():
            return None
        arrays = read_arrays(path)
        graphs = PackedGraphs(**{field: arrays[field] for field in PackedGraphs._fields})
        nodes = int(graphs.size.sum(dtype=np.int64))
        whole = len(graphs.size) == count and len(graphs.x) == len(graphs.in_degree) == nodes
        plain = all(a.dtype == np.uint8 and a.ndim == 1 for a in (graphs.size, graphs.in_degree, graphs.source))
        plain = plain and graphs.x.dtype == np.float32 and graphs.x.ndim == 2 and bool(np.isfinite(graphs.x).all())
        if whole and plain and int(graphs.in_degree.sum(dtype=np.int64)) == len(graphs.source):
            # Nobody checks the edges again: each comes from a node of its graph.
            if (graphs.source < np.repeat(np.repeat(graphs.size, graphs.size), graphs.in_degree)).all():
                return graphs
    except OSError:  # a folder of somebody else
        return None
    except (DataError, KeyError, AttributeError, TypeError, ValueError):
        pass
    _log.warning("%s is damaged and is built again", path)
    return None


def _union(graphs: PackedGraphs, y: NDArray[np.int64], name: str) -> Graph:
    """Unpack into one disjoint union. Not checked again: millions of nodes, and made by this file."""
    graph_ptr = np.concatenate(([0], np.cumsum(graphs.size, dtype=np.int64)))
    indptr = np.concatenate(([0], np.cumsum(graphs.in_degree, dtype=np.int64)))
    edges_per_graph = np.diff(indptr[graph_ptr])
    indices = graphs.source.astype(np.int32)
    indices += np.repeat(graph_ptr[:-1].astype(np.int32), edges_per_graph)
    return Graph._trusted(
        indptr=indptr, indices=indices, x=graphs.x, y=y, graph_ptr=graph_ptr, num_classes=10, name=name
    )
