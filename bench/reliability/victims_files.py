"""Victims that write other files: saved models and pages over older ones, prepared data sets, downloads, compiled
kernels."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import zipfile
from pathlib import Path
from typing import Any

import numba
import numpy as np

from dqnumba.data import superpixel_sets
from dqnumba.graph import load_npz, save_npz
from dqnumba.infer import load
from dqnumba.kernels import _cache
from dqnumba.kernels._jit import kernel

from .. import report
from .victims import Victim, command, digest, graph_file, listing, small_graph
from .web import serving_elsewhere

__all__ = ["VICTIMS"]


class Saving(Victim):
    """Files that one call writes, over older ones: a model, a graph, predictions, a converted model, results."""

    kind = "saving"
    name = "model, graph, predictions, results"
    readers = {  # noqa: RUF012
        "m.safetensors": load, "converted.safetensors": load, "g.npz": load_npz,
        "p.npz": lambda path: np.load(path)["outputs"], "r.json": report.load,
    }  # fmt: skip

    def __init__(self, shared: Path) -> None:
        self.graph, self.shared = graph_file(shared), shared / "saving"
        self.shared.mkdir()
        self.models = []
        for seed in (0, 1):
            out = self.shared / f"{seed}.safetensors"
            command("train", "--graph", self.graph, "--epochs", 1, "--hidden", 8, "--seed", seed, "--out", out)
            self.models.append(load(out))
        self.old: dict[str, str] = {}
        self.before = self.shared / "before"
        self.before.mkdir()
        self._write(self.before, 0)
        self.old = {name: digest(self.before / name) for name in self.readers}

    def _write(self, place: Path, which: int) -> None:
        self.models[which].save(place / "m.safetensors")
        save_npz(small_graph(nodes=100 + which), place / "g.npz")
        command("run", place / "m.safetensors", "--graph", self.graph, "--out", place / "p.npz")
        command("convert", self.shared / f"{which}.train.safetensors", "--out", place / "converted.safetensors")
        report.save(place / "r.json", {"which": which})

    def begin(self, place: Path) -> None:
        for name in self.old:
            os.link(self.before / name, place / name)

    def work(self, place: Path) -> Any:
        self._write(place, 1)

    def look(self, place: Path) -> None:
        left = listing(place, unfinished=True)
        assert left == sorted(self.readers), f"there is {left}"
        for name, reader in self.readers.items():
            reader(place / name)
            assert digest(place / name) in (self.old[name], self.wanted[name]), f"{name} is neither the old nor the new"

    def expect(self, place: Path, result: Any) -> None:
        self.wanted = {name: digest(place / name) for name in listing(place)}

    def done(self, place: Path, result: Any) -> None:
        found = {name: digest(place / name) for name in listing(place)}
        assert found == self.wanted, f"differs or left behind: {set(found.items()) ^ set(self.wanted.items())}"


class Preparing(Victim):
    """Superpixel graphs of twelve images in runs of four, kept in the cache."""

    kind = "preparing"
    name = "superpixels"

    def __init__(self, shared: Path) -> None:
        superpixel_sets._RUN = 4
        rng = np.random.default_rng(0)
        self.images = (rng.random((16, 12, 12)) * 255).astype(np.uint8)
        self.labels = rng.integers(0, 10, 16)

    def work(self, place: Path) -> Any:
        os.environ["DQNUMBA_CACHE_DIR"] = str(place)
        data = superpixel_sets.make_dataset(
            "mnist", self.images[:12], self.labels[:12], self.images[12:], self.labels[12:], num_val=4
        )
        graph = data.union
        parts = (graph.indptr, graph.indices, np.asarray(graph.x), graph.y)
        return hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts)).hexdigest()

    def look(self, place: Path) -> None:
        for name in listing(place, unfinished=True):
            assert digest(place / name) == self.files.get(name), f"{name} is not what it should be"

    def expect(self, place: Path, result: Any) -> None:
        self.wanted, self.files = result, {name: digest(place / name) for name in listing(place)}

    def done(self, place: Path, result: Any) -> None:
        assert result == self.wanted, "other graphs than those of an uninterrupted run"
        assert {name: digest(place / name) for name in listing(place)} == self.files, f"left behind: {listing(place)}"


class Downloading(Victim):
    """A file and a member of an archive from a server on this machine."""

    kind = "downloading"
    name = "a file and an archive"

    def __init__(self, shared: Path) -> None:
        self.content = np.random.default_rng(0).bytes(200_000)
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as opened:
            opened.writestr("set/member", self.content[:90_000])
        known = {
            "plain": (self.content, self.content, {}),
            "member": (packed.getvalue(), self.content[:90_000], {"member": "set/member"}),
        }
        self.entries = {}
        for name, (served, wanted, more) in known.items():
            url = serving_elsewhere(served, f"{name}.bin")
            self.entries[name] = {"name": name, "url": url, "bytes": len(wanted), **more,
                                  "sha256": hashlib.sha256(wanted).hexdigest()}  # fmt: skip

    def work(self, place: Path) -> Any:
        from dqnumba.data.download import download

        os.environ |= {"DQNUMBA_CACHE_DIR": str(place), "NO_PROXY": "*"}
        for name, entry in self.entries.items():
            download(entry, place / "data" / "raw" / name)

    def look(self, place: Path) -> None:
        for name, entry in self.entries.items():
            path = place / "data" / "raw" / name
            assert not path.exists() or digest(path) == entry["sha256"], f"{name} is not whole"

    def expect(self, place: Path, result: Any) -> None:
        self.wanted = {name: digest(place / name) for name in listing(place)}

    def done(self, place: Path, result: Any) -> None:
        self.look(place)
        found = {name: digest(place / name) for name in listing(place)}
        assert found == self.wanted, f"left behind or missing: {sorted(found.keys() ^ self.wanted.keys())}"


def _add(x: int) -> int:
    return x + 1


def _double(x: int) -> int:
    return 2 * x


class Compiling(Victim):
    """Two small functions, compiled into an empty cache."""

    kind = "cache"
    name = "compiled kernels"
    warm = False

    def __init__(self, shared: Path) -> None:
        self.said: list[str] = []
        handler = logging.Handler(logging.DEBUG)
        handler.emit = lambda record: self.said.append(record.getMessage())  # type: ignore[method-assign]
        logging.getLogger("dqnumba").addHandler(handler)
        logging.getLogger("dqnumba").setLevel(logging.DEBUG)

    def work(self, place: Path) -> Any:
        numba.config.CACHE_DIR = str(place)
        self.said.clear()
        before = dict(_cache.counts)
        answers = [kernel(_add)(20), kernel(_double)(21)]
        assert answers == [21, 42], f"wrong code: {answers}"
        assert not self.said, f"{self.said}"
        return {key: _cache.counts[key] - before[key] for key in before}

    def look(self, place: Path) -> None:
        whole = len(listing(place, unfinished=True))
        counted = self.work(place)
        assert counted == {"compiled": 2 - whole, "loaded": whole}, f"{whole} whole files, {counted}"

    def expect(self, place: Path, result: Any) -> None:
        assert result == {"compiled": 2, "loaded": 0}
        self.wanted = listing(place)

    def done(self, place: Path, result: Any) -> None:
        assert self.work(place) == {"compiled": 0, "loaded": 2}, "compiled again"
        assert listing(place) == self.wanted, f"left behind: {listing(place)}"


class Reporting(Victim):
    """``dqnumba report`` over an older page."""

    kind = "reports"
    name = "page"

    def __init__(self, shared: Path) -> None:
        self.model = shared / "reported.safetensors"
        self.graph = graph_file(shared)
        command("train", "--graph", self.graph, "--epochs", 1, "--hidden", 8, "--out", self.model)

    def begin(self, place: Path) -> None:
        (place / "page.html").write_text("the old page")

    def work(self, place: Path) -> Any:
        command("report", self.model, "--graph", self.graph, "--repeats", 1, "--out", place / "page.html")

    def look(self, place: Path) -> None:
        assert listing(place, unfinished=True) == ["page.html"]
        text = (place / "page.html").read_text()
        assert text == "the old page" or text.endswith("</html>\n"), "half a page"

    def expect(self, place: Path, result: Any) -> None:
        self.done(place, result)

    def done(self, place: Path, result: Any) -> None:
        assert listing(place) == ["page.html"], f"left behind: {listing(place)}"
        assert (place / "page.html").read_text().endswith("</html>\n"), "no page"


VICTIMS = [Saving, Preparing, Downloading, Compiling, Reporting]
