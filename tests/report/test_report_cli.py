"""``dqnumba report``, ``train --plot`` and ``bench --plot``."""

from __future__ import annotations

import shutil
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from report_cases import Page


def test_report_takes_data_and_train_file_from_beside(models, call, tmp_path):
    out = tmp_path / "page.html"
    result = call("report", models["node"].file, "-o", out, "--repeats", 1, "--json", "--quiet")
    assert (result.code, result.err) == (0, "")
    assert result.json["out"] == str(out) and result.json["page_bytes"] == out.stat().st_size
    assert result.json["missing"] == [] and result.json["verify"]["passed"]
    assert Page(out.read_text(encoding="utf-8")).faults == []
    text = call("report", models["node"].file, "--graph", models["node"].graph, "--out", out, "--repeats", 1).out
    assert "accuracy, integer" in text and f"wrote {out}" in text and "missing" not in text


def test_the_page_stands_beside_the_model_by_default(models, call, tmp_path):
    file = tmp_path / "alone.safetensors"
    shutil.copy(models["graph"].file, file)
    result = call("report", file, "--graph", models["graph"].graph, "--fold", 1, "--limit", 4, "--repeats", 1)
    assert result.code == 0, result.err
    assert "missing: The float" in result.out
    page = Page((tmp_path / "alone.html").read_text(encoding="utf-8"))
    assert "no train file" in page.one("aside").text
    train_file = models["graph"].file.with_suffix(".train.safetensors")
    result = call("report", file, "--against", train_file, "--repeats", 1, "--json", "--quiet")
    assert result.json["missing"] == [] and set(result.json["scores"]["models"]) == {"float", "fake", "integer"}


def test_data_without_labels(models, call, tmp_path):
    with np.load(models["node"].graph) as arrays:
        np.savez(tmp_path / "bare.npz", edge_index=arrays["edge_index"], x=arrays["x"])
    out = tmp_path / "page.html"
    result = call("report", models["node"].file, "--graph", tmp_path / "bare.npz", "-o", out, "--repeats", 1, "--json")
    assert result.code == 0, result.err
    assert result.json["scores"] is None and result.json["degrees"]["buckets"][0]["error"] is not None
    page = Page(out.read_text(encoding="utf-8"))
    assert page.faults == [] and "no labels" in page.one("aside").text
    assert "confusion" not in [e.attributes["id"] for e in page.all("section")]


def test_wrong_use_is_refused_before_the_work(models, call, tmp_path):
    file = models["node"].file
    for argv, words in (
        (("report", file, "-o", tmp_path / "no" / "page.html"), "Cannot write"),
        (("report", tmp_path / "none.safetensors"), "There is no file"),
        (("report", file, "--against", tmp_path / "none.train.safetensors"), "No train file"),
        (("report", file, "--graph", models["graph"].graph), "one row a node"),
        (("report", file, "--against", models["graph"].file.with_suffix(".train.safetensors")), "one row a node"),
        (("bench", file, "--plot", tmp_path / "b.pdf"), ".svg or .png"),
        (("train", "--dataset", "synthetic", "--plot", tmp_path / "c.jpg"), ".svg or .png"),
    ):
        result = call(*argv)
        assert result.code == 2 and words in result.err and result.err.count("\n") <= 3, result.err
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_train_file_is_an_error(models, call, tmp_path):
    file = tmp_path / "model.safetensors"
    shutil.copy(models["node"].file, file)
    damaged = bytearray(models["node"].file.with_suffix(".train.safetensors").read_bytes())
    damaged[-5] ^= 1
    (tmp_path / "model.train.safetensors").write_bytes(damaged)
    result = call("report", file, "--graph", models["node"].graph)
    assert result.code == 2 and "damaged" in result.err


def test_pictures_of_train_and_bench(models, call, tmp_path, monkeypatch):
    curves, times = tmp_path / "curves.svg", tmp_path / "times.svg"
    argv = ["train", "--graph", models["node"].graph, "--hidden", 8, "--quiet", "--json"]
    assert call(*argv, "--epochs", 3, "--plot", curves).code == 0
    texts = [e.text for e in ElementTree.parse(curves).iter("{http://www.w3.org/2000/svg}text")]
    assert "gcn on node.npz, dq, 8 bits" in texts and "Accuracy on validation" in texts
    short = call(*argv[:-2], "--epochs", 1, "--plot", tmp_path / "none.svg")
    assert short.code == 0 and "two epochs" in short.err and not (tmp_path / "none.svg").exists()
    bench = call("bench", models["node"].file, "--graph", models["node"].graph, "--repeats", 1, "--plot", times)
    assert bench.code == 0 and f"wrote {times}" in bench.err
    texts = [e.text for e in ElementTree.parse(times).iter("{http://www.w3.org/2000/svg}text")]
    assert {"dot", "numba"} <= set(texts) and any("90 nodes" in (text or "") for text in texts)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    refused = call("bench", models["node"].file, "--graph", models["node"].graph, "--plot", tmp_path / "t.png")
    assert refused.code == 2 and 'pip install "dqnumba[plot]"' in refused.err


@pytest.mark.parametrize("verb, option", [("report", "--out"), ("train", "--plot"), ("bench", "--plot")])
def test_help_names_the_options(call, verb, option):
    assert option in call(verb, "--help").out
