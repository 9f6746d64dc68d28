"""Names of classes, from the table of a graph into the model file, and from there into what `run` prints."""

from __future__ import annotations

import numpy as np
import pytest

from dqnumba.errors import ModelFormatError
from dqnumba.infer import load


def write_tables(folder, labels):
    """A graph as edges.csv and nodes.csv: three features tell the classes of its nodes apart."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    edges = [f"n{a},n{b}" for a, b in rng.integers(0, len(labels), (150, 2))]
    (folder / "edges.csv").write_text("source,target\n" + "\n".join(edges) + "\n")
    values = {"apple": "2,0,0", "pear": "0,2,0", "quince": "0,0,2"}
    rows = [f"n{i},{values[label]},{label}" for i, label in enumerate(labels)]
    (folder / "nodes.csv").write_text("id,a,b,c,label\n" + "\n".join(rows) + "\n")
    return folder


LABELS = [("apple", "pear", "quince")[i % 3] for i in range(60)]


@pytest.fixture
def model(call, tmp_path):
    out = tmp_path / "fruit.safetensors"
    graph = write_tables(tmp_path / "fruit", LABELS)
    argv = ("--graph", graph, "--split", "random", "--epochs", 60, "--lr", 0.05, "--hidden", 8, "--model", "sage")
    assert call("train", *argv, "--quiet", "-o", out).code == 0
    return out


def test_names_are_kept_in_the_file_and_printed(call, model, tmp_path):
    assert load(model).class_names == ("apple", "pear", "quince")
    found = call("run", model, "--graph", tmp_path / "fruit", "--split", "random", "--json").json
    assert found["class_names"] == ["apple", "pear", "quince"]
    assert found["accuracy"] > 0.8
    text = call("run", model, "--graph", tmp_path / "fruit", "--split", "random").out
    assert "first ones: apple, pear, quince" in text
    assert call("run", model, "--graph", tmp_path / "fruit", "--split", "random", "-o", tmp_path / "p.npz").code == 0
    with np.load(tmp_path / "p.npz") as arrays:
        assert arrays["classes"].tolist() == ["apple", "pear", "quince"]


def test_the_train_file_knows_them_too(call, model, tmp_path):
    out = tmp_path / "again.safetensors"
    assert call("convert", model.with_suffix(".train.safetensors"), "-o", out).code == 0
    assert load(out).class_names == ("apple", "pear", "quince")
    assert out.read_bytes() == model.read_bytes()


def test_a_graph_that_lacks_a_class_is_scored_by_name(call, model, tmp_path):
    """Its own numbers are other ones: pear 0, quince 1. Counted by number, nearly all would be wrong."""
    labels = [label for label in LABELS if label != "apple"]
    other = write_tables(tmp_path / "other", labels)
    found = call("run", model, "--graph", other, "--json").json
    assert found["class_names"] == ["apple", "pear", "quince"]
    assert found["accuracy"] > 0.8


def test_a_file_without_names_is_what_it_was(trained, tmp_path):
    model = load(trained)
    assert model.class_names is None
    assert "class_names" not in model.program.meta
    named = model.with_class_names(["a", "b", "c"])
    named.save(tmp_path / "named.safetensors")
    again = load(tmp_path / "named.safetensors")
    assert again.class_names == ("a", "b", "c")
    assert {**again.to_dict(), "meta": 0} == {**model.to_dict(), "meta": 0}


@pytest.mark.parametrize("names", [["a", "b"], ["a", "b", 3], "abc", {"a": 0, "b": 1, "c": 2}])
def test_wrong_names_are_refused(trained, names):
    model = load(trained)
    if isinstance(names, list):
        with pytest.raises(ModelFormatError, match="class_names"):
            model.with_class_names(names)
    else:
        model.program.meta["class_names"] = names
        with pytest.raises(ModelFormatError, match="class_names"):
            type(model)(model.program)
