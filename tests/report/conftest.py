"""Models trained once for this folder, and what a report finds about them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from report_cases import look, one_thread, train, write_many_graphs, write_node_graph


@pytest.fixture(autouse=True)
def quick():
    """One thread: these are small graphs, and on a busy machine two threads wait for each other."""
    with one_thread():
        yield


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """Model file and graph file of a node, a graph and a regression task."""
    folder = tmp_path_factory.mktemp("report")
    found = {}
    for name, write in (
        ("node", write_node_graph),
        ("graph", lambda path: write_many_graphs(path, regression=False)),
        ("regression", lambda path: write_many_graphs(path, regression=True)),
    ):
        graph = folder / f"{name}.npz"
        write(graph)
        options = {"node": ("--model", "gcn"), "graph": ("--model", "gin", "--fold", 1)}.get(
            name, ("--model", "gin", "--split", "random")
        )
        found[name] = SimpleNamespace(file=train(folder, name, graph, *options), graph=graph)
    return found


@pytest.fixture(scope="session")
def findings(models):
    return {name: look(model) for name, model in models.items()}
