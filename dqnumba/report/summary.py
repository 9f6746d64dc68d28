"""The top of the page: what was looked at, what is missing, and the four numbers that people ask for first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .markup import Markup, join, tag
from .text import MISSING, byte_count, decimal, milliseconds, percent, points, short, times, whole

__all__ = ["fastest", "headline", "missing_note", "scored_split", "tiles"]

_METHODS = {"dq": "Degree-Quant", "dq-plus": "Degree-Quant plus", "qat": "quantization-aware training",
            "nqat": "QAT with quantization noise", "ptq": "post-training quantization"}  # fmt: skip
_KINDS = {"GCN", "GAT", "GIN", "GraphSAGE"}


def headline(found: Mapping[str, Any]) -> tuple[str, Markup]:
    """Title and subtitle."""
    meta = found["program"]["meta"]
    model, quantization = meta["model"], meta["quantization"]
    method = _METHODS.get(quantization["method"], short(quantization["method"]))
    bits = f"{whole(quantization['weight_bits'])}-bit weights, {whole(quantization['activation_bits'])}-bit activations"
    subtitle = join(
        # A dot stays at the end of its line.
        "\u00a0· ".join(
            [method, bits, f"{whole(model['num_layers'])} layers", f"{short(quantization['sites'])} sites", ""]
        ),
        tag("code", short(found["file"], 60)),
    )
    return f"{short(model['kind'], 24)} on {short(found['data'], 40)}", subtitle


def missing_note(found: Mapping[str, Any]) -> Markup | None:
    """What this report does not show, and what to do about it."""
    if not found["missing"]:
        return None
    items = [tag("li", tag("strong", entry["what"]), ": ", entry["why"], ".") for entry in found["missing"]]
    return tag("aside", tag("h2", "Not in this report"), tag("ul", items), class_="missing")


def scored_split(found: Mapping[str, Any]) -> str | None:
    """The split that the main numbers stand for."""
    scores = found["scores"]
    return None if scores is None else "test" if "test" in scores["counts"] else next(iter(scores["counts"]))


def fastest(found: Mapping[str, Any]) -> tuple[Any, Any]:
    """The rows of the integer program and of the float model on the last graph, each with the threads that suit it."""
    last = [row for row in found["speed"] if row["what"] == found["speed"][-1]["what"]]
    best = {}
    for row in sorted(last, key=lambda row: -row["median_ms"]):
        best[row["model"]] = row
    return best["integer"], best.get("float32")


def tiles(found: Mapping[str, Any]) -> Markup:
    """Accuracy, agreement, size, latency."""
    return tag("div", _score(found), _agreement(found), _size(found), _latency(found), class_="tiles")


def _tile(name: str, value: Any, *below: Any) -> Markup:
    return tag("div", tag("p", name, class_="tile-name"), tag("p", value, class_="tile-value"),
               [tag("p", line, class_="tile-note") for line in below if line], class_="tile")  # fmt: skip


def _score(found: Mapping[str, Any]) -> Markup:
    scores, split = found["scores"], scored_split(found)
    if scores is None:
        return _tile("Accuracy", MISSING, "the data have no labels")
    say = percent if scores["metric"] == "accuracy" else decimal
    values = {name: by_split[split] for name, by_split in scores["models"].items()}
    name = "Accuracy" if scores["metric"] == "accuracy" else "Mean absolute error"
    where = f"integer, {'test split' if split == 'test' else 'all items'}"
    beside = None
    if values.get("float") is not None and values["integer"] is not None:
        difference = values["integer"] - values["float"]
        beside = (f"{points(difference)} points to float" if say is percent
                  else f"{decimal(values['float'])} in float")  # fmt: skip
    return _tile(name, say(values["integer"]), where, beside)


def _agreement(found: Mapping[str, Any]) -> Markup:
    predictions = found["verify"]["predictions"]
    if predictions is None:
        equal = found["verify"]["levels"]["kernels"]
        return _tile("Kernels", "equal" if equal else "differ", "fast kernels against the reference, bit for bit")
    within = None if predictions["output_step"] is None else "within one output step"
    return _tile("Agreement", percent(predictions["agreement"], 2), "with fake quantization",
                 within or f"{whole(predictions['count'])} predictions")  # fmt: skip


def _size(found: Mapping[str, Any]) -> Markup:
    sizes = found["sizes"]
    smaller = None if not sizes["float_file"] else f"{times(sizes['float_file'] / sizes['file'])} smaller than float32"
    return _tile("File", byte_count(sizes["file"]), smaller, f"{byte_count(sizes['constants'])} in memory")


def _latency(found: Mapping[str, Any]) -> Markup:
    integer, exact = fastest(found)
    faster = None
    if exact is not None:
        ratio = exact["median_ms"] / integer["median_ms"]
        faster = f"{times(ratio)} faster than float32" if ratio >= 1 else f"{times(1 / ratio)} slower than float32"
    threads = "1 thread" if integer["threads"] == 1 else f"{integer['threads']} threads"
    return _tile("Latency", milliseconds(integer["median_ms"]), faster, f"{integer['what']}, {threads}")
