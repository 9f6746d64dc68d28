"""Small graphs, models trained on them, what a report finds about these, and a page taken apart."""

from __future__ import annotations

import contextlib
import json
from html.parser import HTMLParser
from types import SimpleNamespace

import numba
import numpy as np

from dqnumba.cli.main import main
from dqnumba.infer import load
from dqnumba.report import gather
from dqnumba.train.checkpoint import read_checkpoint
from dqnumba.train.source import Source, load_source

VOID = {"br", "col", "link", "meta", "wbr"}


class Page(HTMLParser):
    """The elements of a page in order, with attributes and text; ``faults`` holds what is not well formed."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.open, self.faults = [], [], []
        self.feed(text)
        self.close()
        self.faults += [f"<{element.tag}> is not closed" for element in self.open]

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        if len(set(names)) != len(names):
            self.faults.append(f"<{tag}> has an attribute twice: {names}")
        element = SimpleNamespace(tag=tag, attributes=dict(attrs), text="", parents=[e.tag for e in self.open])
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if not self.open or self.open[-1].tag != tag:
            self.faults.append(f"</{tag}> closes {self.open[-1].tag if self.open else 'nothing'}")
        else:
            self.open.pop()

    def handle_data(self, data):
        for element in self.open:
            element.text += data

    def all(self, tag):
        return [element for element in self.elements if element.tag == tag]

    def one(self, tag):
        (element,) = self.all(tag)
        return element


def write_node_graph(path, nodes=90):
    """Three classes, two hubs, a node without edges; sparse features that tell the class."""
    rng = np.random.default_rng(7)
    y = np.arange(nodes) % 3
    x = (rng.random((nodes, 12)) < 0.15).astype(np.float32)
    x[np.arange(nodes), y] = 1.0
    source, target = rng.integers(0, nodes - 1, (2, 220))
    hub = rng.integers(0, nodes - 1, 60)
    edges = np.stack([np.concatenate([source, hub]), np.concatenate([target, np.arange(60) % 2])])
    part = rng.permutation(nodes) % 3
    masks = {name: part == k for k, name in enumerate(("train_mask", "val_mask", "test_mask"))}
    np.savez(path, edge_index=edges, x=x, y=y, **masks)


def write_many_graphs(path, *, regression, count=60):
    """Small graphs with one label each, or one real value each."""
    rng = np.random.default_rng(3)
    sizes = rng.integers(3, 9, count)
    start = np.concatenate(([0], np.cumsum(sizes)))
    level = rng.random(count)
    y = (2.0 * level - 1.0).astype(np.float32) if regression else (level > 0.5).astype(np.int64)
    edges = [a + rng.integers(0, n, (2, 2 * n)) for a, n in zip(start, sizes, strict=False)]
    x = rng.normal(0, 0.2, (start[-1], 4)).astype(np.float32)
    x[:, 0] += np.repeat(level, sizes).astype(np.float32)
    np.savez(path, edge_index=np.concatenate(edges, axis=1), x=x, y=y, graph_ptr=start)


@contextlib.contextmanager
def one_thread():
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        yield
    finally:
        numba.set_num_threads(before)


def train(folder, name, graph, *options):
    """Path of a model file, trained for a few epochs."""
    path = folder / f"{name}.safetensors"
    argv = ["train", "--graph", graph, "--epochs", 6, "--hidden", 8, "--quiet", "--out", path, *options]
    with one_thread():
        assert main([str(arg) for arg in argv]) == 0
    return path


def look(model, *, trained=True, **options):
    """What a report finds about one of ``models``."""
    checkpoint = read_checkpoint(model.file.with_suffix(".train.safetensors"))
    settings = Source(**checkpoint.settings["source"])
    with one_thread():
        found = gather(
            load(model.file), load_source(settings), file=model.file, name="small", repeats=1,
            checkpoint=checkpoint if trained else None, **options,
        )  # fmt: skip
    json.dumps(found, allow_nan=False)
    return found
