"""The page: well formed, accessible, self-contained, and unmoved by hostile names in a model file."""

from __future__ import annotations

import base64
import copy
import dataclasses
import hashlib
import itertools
import json
import re
from collections import Counter

import pytest
from report_cases import Page, look

from dqnumba.errors import ModelFormatError
from dqnumba.infer import IntegerModel, load
from dqnumba.report import render

HOSTILE = [
    "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "</title><script>alert(1)</script>",
    "' onmouseover='alert(1)", "</style><svg onload=alert(1)>", "&lt;b&gt; &#60;b>", "javascript:alert(1)",
    "a\u202egnp.exe", "nul\x00l", "\ud800", "x" * 5000, "]]><!-- -->", "{{7*7}}",
]  # fmt: skip


def pages(findings):
    return {name: Page(render(found)) for name, found in findings.items()}


def test_pages_are_well_formed_and_accessible(findings):
    for name, page in pages(findings).items():
        assert page.faults == [], name
        assert page.one("html").attributes["lang"] == "en" and page.one("main")
        assert page.all("title")[0].parents == ["html", "head"] and page.all("title")[0].text.startswith("G")
        ids = [e.attributes["id"] for e in page.elements if "id" in e.attributes]
        assert len(ids) == len(set(ids))
        for link in page.all("a"):
            assert link.attributes["href"].removeprefix("#") in ids and link.text
        for element in page.elements:
            assert element.attributes.get("aria-labelledby", ids[0]) in ids
        levels = [int(e.tag[1]) for e in page.elements if re.fullmatch("h[1-6]", e.tag)]
        assert levels[0] == 1 and levels.count(1) == 1
        assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
        tables = page.all("table")
        assert len(tables) >= 6 and len(page.all("caption")) == len(tables)
        assert all(e.text for e in page.all("caption"))
        assert all(e.attributes["scope"] in ("row", "col") for e in page.all("th"))
        for picture in page.all("svg"):
            assert picture.attributes["role"] == "img" and len(picture.attributes["aria-label"]) > 5
        for frame in page.elements:
            if frame.attributes.get("class") == "scroll":  # what scrolls can be reached and has a name
                assert frame.attributes["tabindex"] == "0" and frame.attributes["aria-label"]


def test_pages_load_nothing_and_run_nothing(findings):
    for found in findings.values():
        text = render(found)
        page = Page(text)
        policy = next(m for m in page.all("meta") if m.attributes.get("http-equiv") == "Content-Security-Policy")
        css = page.one("style").text
        digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
        assert policy.attributes["content"] == (
            f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
        )
        active = {"script", "iframe", "img", "object", "embed", "form", "base", "use", "image", "foreignobject"}
        assert not {e.tag for e in page.elements} & active
        for element in page.elements:
            for key, value in element.attributes.items():
                assert not key.startswith("on") and key not in ("style", "src")
                assert key != "href" or value.startswith("#") or (element.tag == "link" and value.startswith("data:"))
        assert "url(" not in css and "@import" not in css


def test_what_the_sections_say(findings):
    node, graph, regression = (pages(findings)[name] for name in ("node", "graph", "regression"))
    sections = [[e.attributes["id"] for e in p.all("section")] for p in (node, graph, regression)]
    assert sections[0] == ["accuracy", "confusion", "cost", "sites", "degrees", "program", "training"]
    assert sections[2] == ["accuracy", "residuals", "cost", "sites", "degrees", "program", "training"]
    assert sections[1] == sections[0]
    text = re.sub(r"\s+", " ", node.one("main").text)
    found = findings["node"]
    share = found["scores"]["models"]["integer"]["test"]
    assert f"{100 * share:.1f} %" in text and "GCN on small" in node.one("header").text
    for site in found["sites"]:
        assert site["site"] in text
    assert text.count("passed") == 3 and "failed" not in text
    matrix = next(e for e in node.all("table") if e.attributes.get("class") == "matrix")
    assert matrix.text.startswith("Confusion matrix")
    assert "Mean absolute error" in regression.one("main").text and "Residuals" in regression.one("main").text
    assert "largest in-degree in the graph" in graph.one("main").text
    steps = found["program"]["steps"]
    assert len([e for e in node.all("rect") if "box" in e.attributes["class"]]) == len(steps) + 1


def test_a_failed_check_is_said(findings):
    found = copy.deepcopy(findings["node"])
    found["verify"]["levels"]["kernels"] = False
    found["verify"]["kernels"]["sites"] = ["conv1.<feature>"]
    text = Page(render(found)).one("main").text
    assert "failed" in text and "they differ at conv1.<feature>" in text


def test_a_page_without_the_train_file_says_what_is_missing(models):
    page = Page(render(look(models["node"], trained=False)))
    assert page.faults == []
    note = page.one("aside").text
    assert "Not in this report" in note and "--against" in note
    assert [e.attributes["id"] for e in page.all("section")] == [
        "accuracy", "confusion", "cost", "sites", "degrees", "program"]  # fmt: skip
    text = page.one("main").text
    assert text.count("not run") == 2 and "Differ" not in text
    assert "nan" not in text.lower() and "None" not in text


def renamed(program, names):
    """The program with hostile names wherever a file may hold any string: still a program that runs."""
    registers = {step.output: f"r{i}:{names[i % len(names)]} {i}" for i, step in enumerate(program.steps)}
    tensors = {name: f"{names[-1]} tensor {i}" for i, name in enumerate(program.tensors)}
    sites = {step.site: f"{names[i % len(names)]} site {i}" for i, step in enumerate(program.steps) if step.site}
    steps = tuple(
        dataclasses.replace(
            step, output=registers[step.output], inputs=tuple(registers.get(name, name) for name in step.inputs),
            tensors={role: tensors[name] for role, name in step.tensors.items()},
            site=None if step.site is None else sites[step.site],
        ) for step in program.steps
    )  # fmt: skip
    meta = json.loads(json.dumps(program.meta))
    meta["model"]["kind"], meta["quantization"]["method"], meta["quantization"]["sites"] = names[0], names[1], names[2]
    labels = {old.partition(":")[2]: new.partition(":")[2] for old, new in registers.items()} | sites
    meta["scales"] = {labels[site]: scale for site, scale in meta["scales"].items()}
    return dataclasses.replace(
        program, steps=steps, tensors={tensors[name]: array for name, array in program.tensors.items()}, meta=meta
    )


def shape(page):
    """Kinds of elements with their attributes, and how many there are; ticks of the times and short notes vary."""
    kinds = {(e.tag, *sorted(e.attributes)) for e in page.elements}
    vary = ("span", "text", "line", "path")  # the last: brackets of layers, which are read off dotted names
    return kinds, Counter(e.tag for e in page.elements if e.tag not in vary)


def test_hostile_names_in_a_model_file_do_not_become_markup(models, findings, tmp_path, call):
    """Names with quotes, tags and controls, through the file and the whole command; a lone surrogate is not written."""
    kinds, counts = shape(Page(render(look(models["node"], trained=False))))
    for start in range(0, len(HOSTILE), 3):
        names = [*HOSTILE[start : start + 3], *HOSTILE[:3]]
        file, out = tmp_path / "hostile.safetensors", tmp_path / "hostile.html"
        program = load(models["node"].file).program
        if "\ud800" in names:
            with pytest.raises(ModelFormatError, match="surrogate"):
                IntegerModel(renamed(program, names)).save(file)
            names.remove("\ud800")
        IntegerModel(renamed(program, names)).save(file)
        result = call("report", file, "--graph", models["node"].graph, "-o", out, "--repeats", 1, "--quiet")
        assert result.code == 0, result.err
        page = Page(out.read_text(encoding="utf-8"))
        assert page.faults == []
        assert shape(page)[0] <= kinds and shape(page)[1] == counts  # element for element the honest page
        assert not {e.tag for e in page.elements} & {"script", "img"} and "\x00" not in out.read_text(encoding="utf-8")
        assert max(len(line) for e in page.all("code") for line in [e.text]) < 100


def test_hostile_records_and_numbers_in_a_train_file(findings):
    found = copy.deepcopy(findings["node"])
    found["data"], found["file"] = HOSTILE[0], HOSTILE[1]
    found["training"]["record"] = {"method": HOSTILE[0], "epochs": [1] * 100, "seed": {"a": HOSTILE[1]}}
    found["training"]["history"] += [{"epoch": HOSTILE[0], "loss": HOSTILE[1]}, None, 3]
    page = Page(render(found))
    assert page.faults == [] and not page.all("img") and not page.all("script")
    assert HOSTILE[0] in page.one("h1").text
    for record in (None, [], "text"):
        found["training"]["record"] = record
        assert Page(render(found)).faults == []


@pytest.mark.parametrize("classes", [25, 2000])
def test_many_classes_give_no_matrix(findings, classes):
    found = copy.deepcopy(findings["node"])
    found["confusion"] = {"classes": classes, "matrix": None, "pairs": [[3, 24, 7]]}
    page = Page(render(found))
    assert page.faults == [] and "3 taken for 24" in page.one("main").text
    assert not [e for e in page.all("table") if e.attributes.get("class") == "matrix"]
