"""The sections of the page, in order; each takes what was found and gives its markup, or None if it has nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .blocks import figure, figures, mini_histogram, note, section, table
from .charts import Chart, Series
from .curves import speed_chart, training_charts
from .drawing import MOST_STEPS, draw_program, step_detail
from .markup import Markup, join, tag
from .predictions import MODELS
from .results import accuracy, confusion, residuals
from .summary import fastest
from .text import MISSING, byte_count, decimal, milliseconds, percent, short, times, whole

__all__ = ["SECTIONS"]

_MOST_ROWS = 400


def _sizes_and_speed(found: Mapping[str, Any]) -> Markup:
    sizes, machine = found["sizes"], found["machine"]
    integer, exact = fastest(found)
    ratio = {
        name: None if not sizes[f"float_{name}"] else sizes[f"float_{name}"] / sizes[ours]
        for name, ours in (("file", "file"), ("weights", "constants"))
    }
    rows = [
        ["File", byte_count(sizes["float_file"]), byte_count(sizes["file"]), times(ratio["file"])],
        ["Weights and constants in memory", byte_count(sizes["float_weights"]), byte_count(sizes["constants"]),
         times(ratio["weights"])],
        ["Buffers while it runs", MISSING, byte_count(sizes["workspace"]), MISSING],
    ]  # fmt: skip
    bytes_table = table("Bytes", ["", "float32", "integer", "smaller"], rows)
    load = machine["load_average"]
    busy = "" if not load else f" Load average before: {decimal(load[0], 2)}."
    if load and load[0] > 0.5 * machine["cores"]:
        busy += " Other programs were running: times with several threads above all are longer than they need be."
    samples = max(row["samples"] for row in found["speed"])
    where = note(
        f"Measured while this report was made, on {short(machine['cpu'], 60)}, {whole(machine['cores'])} cores "
        f"({machine['system']}, Python {machine['python']}, NumPy {machine['numpy']}, Numba {machine['numba']})."
        f"{busy} {samples} samples of each, the models in turns; compiling and the tables of the graph aside. "
        f"The integer program ran on the backend {integer['backend']}.",
    )
    extra = []
    if not all(row["blas_limited"] for row in found["speed"]) and any(r["model"] == "float32" for r in found["speed"]):
        extra.append("The float model takes some products from BLAS, whose threads could not be set here "
                     "(threadpoolctl is not installed): its rows of one thread may use more.")  # fmt: skip
    reasons = {row["backend_reason"] for row in found["speed"] if row["backend_reason"]}
    extra += [f"Not on the vector kernels: {reason}." for reason in sorted(reasons)]
    intro = "The float model is this library’s own, in float32, with the kernels that training uses."
    if exact is None:
        intro = "Of the integer program alone: there is no train file with the float weights."
    chart = figure("Time of one call", speed_chart(found["speed"]))
    left = tag("div", bytes_table, _times(found["speed"]))
    return section("cost", "Bytes and latency", intro, tag("div", left, chart, class_="pair"), where,
                   [note(text) for text in extra])  # fmt: skip


def _times(rows: Sequence[Mapping[str, Any]]) -> Markup:
    """Medians with quartiles: a row for each graph and number of threads, a column for each model."""
    places: dict[tuple[str, int], dict[str, Any]] = {}
    for row in rows:
        places.setdefault((row["what"], row["threads"]), {})[row["model"]] = row
    body = []
    for (what, threads), models in places.items():
        pair = [models.get("float32"), models["integer"]]
        cells = [
            MISSING if row is None else join(
                milliseconds(row["median_ms"]),
                tag("span", f"{decimal(row['q1_ms'], 3)} – {decimal(row['q3_ms'], 3)}", class_="cell-note"),
            ) for row in pair
        ]  # fmt: skip
        name = join(what, tag("span", f"{threads} thread{'s' if threads > 1 else ''}", class_="cell-note"))
        body.append([name, *cells, times(pair[0] and pair[0]["median_ms"] / pair[1]["median_ms"])])
    return table("Time of one call, median and quartiles", ["", "float32", "integer", "faster"], body)


def _sites(found: Mapping[str, Any]) -> Markup:
    sites = found["sites"]
    compared = any(entry["max_difference"] is not None for entry in sites)
    rows = []
    for entry in sites[:_MOST_ROWS]:
        span = entry["high"] - entry["low"]
        zero = (entry["zero_point"] - entry["low"] + 0.5) / (span + 1)
        say = (f"Codes {decimal(entry['low'], 6)} to {decimal(entry['high'], 6)}, "
               f"{percent(entry['zeros'])} of them zero, {percent(entry['saturated'], 2)} at an end.")  # fmt: skip
        row = [
            join(tag("code", short(entry["site"], 32)), tag("span", _kind(entry, span), class_="cell-note")),
            mini_histogram(entry["bins"], say, zero),
            _pair(entry["range"]), _pair(entry["scale"]), whole(entry["zero_point"]),
            percent(entry["zeros"]), percent(entry["saturated"], 2),
        ]  # fmt: skip
        if compared:
            row.append(MISSING if entry["differing"] is None else percent(entry["differing"], 2))
        rows.append(row)
    head = ["Site", "Codes", "Range", "Scale", "Zero point", "Zeros", "Saturated", *(["Differ"] if compared else [])]
    more = note(f"The first {_MOST_ROWS} of {whole(len(sites))} sites.") if len(sites) > _MOST_ROWS else None
    explain = note(
        "Real number = scale × (code − zero point), codes as they are stored. ",
        tag("strong", "Codes"), ": how often each occurs from the lowest to the highest; zero is left out of the bars "
        "and marked by the line. Of a weight with a scale for each output channel, smallest and largest are given. ",
        tag("strong", "Saturated"), ": share at an end of the range, the zeros of a ReLU aside. ",
        (tag("strong", "Differ"), ": share of codes that are not those of fake quantization when both get the same "
         "input; one code at most is allowed for activations, none for weights.") if compared else "",
    )  # fmt: skip
    intro = "Every place where the program rounds, in the order in which it runs."
    return section("sites", "Sites", intro, table("Quantization sites", head, rows, left=2, class_="sites"), more,
                   explain)  # fmt: skip


def _kind(entry: Mapping[str, Any], span: int) -> str:
    bits = max(1, (span + 1).bit_length() - (1 if (span + 1) & span == 0 else 0))
    return f"{entry['kind']}, {bits} bits"


def _pair(value: Any) -> Any:
    """One number, or two one below the other."""
    if isinstance(value, list):
        return join([[tag("br") if i else None, tag("span", decimal(v), class_="nowrap")] for i, v in enumerate(value)])
    return tag("span", decimal(value), class_="nowrap")


def _degrees(found: Mapping[str, Any]) -> Markup | None:
    degrees = found["degrees"]
    buckets, of = degrees["buckets"], degrees["of"]
    metric = found["scores"]["metric"] if found["scores"] else None
    x_label = "in-degree of the node" if of == "node" else "largest in-degree in the graph"
    charts = []
    measured = [b for b in buckets if b["error"] is not None and None not in b["error"]]
    if len(measured) > 1:
        low, middle, high = ([b["error"][k] for b in measured] for k in range(3))
        places = list(map(float, range(len(measured))))
        charts.append(Chart(
            "Distance from the float model", x_label, "error, share of the spread",
            (Series("integer against float", places, middle, low, high, style="dots"),),
            x_names=[b["name"] for b in measured], from_zero=True, percent=True,
        ))  # fmt: skip
    scored = [b for b in buckets if b["scores"] and None not in b["scores"].values()]
    if len(scored) > 1:
        series = tuple(
            Series(MODELS[name], list(map(float, range(len(scored)))), [b["scores"][name] for b in scored],
                   style="dots")
            for name in ("integer", "float") if name in scored[0]["scores"]
        )  # fmt: skip
        label = "accuracy" if metric == "accuracy" else "mean absolute error"
        charts.append(Chart(
            "Accuracy by in-degree" if metric == "accuracy" else "Error by in-degree", x_label, label, series,
            x_names=[b["name"] for b in scored], from_zero=metric != "accuracy", percent=metric == "accuracy",
        ))  # fmt: skip
    if not measured and not scored:
        return None
    say = percent if metric == "accuracy" else decimal
    rows = []
    for b in buckets:
        error = b["error"] or [None] * 3
        spread = f"{percent(error[0], 2)} – {percent(error[2], 2)}" if measured else MISSING
        rows.append([b["name"], whole(b["count"]), percent(error[1], 2), spread, whole(b["scored"]),
                     *(say(b["scores"].get(m)) for m in reversed(MODELS))])  # fmt: skip
    head = ["In-degree", f"{of}s", "error", "quartiles", "scored", *reversed(MODELS.values())]
    if not measured:  # nothing to measure an error against, nor to compare the scores with
        head, rows = [*head[:2], *head[4:6]], [[*row[:2], *row[4:6]] for row in rows]
    intro = join(
        "Sums over many neighbours have a wide range. That rounding therefore costs most at the hubs is the paper’s "
        "argument for its degree mask; this is what it costs here. ",
        None if not measured else "Error: mean distance of the outputs from those of the float model, in units of "
        f"the standard deviation of the float outputs ({decimal(degrees['spread'], 3)}).",
    )  # fmt: skip
    caption = f"By in-degree, self-loops aside ({'test split' if found['split'] == 'test' else 'all items'} scored)"
    return section(
        "degrees", "Error against in-degree", intro, figures(*charts) if charts else None, table(caption, head, rows)
    )


def _program(found: Mapping[str, Any]) -> Markup:
    program = found["program"]
    tensors, steps = program["tensors"], program["steps"]
    rows = []
    for i, step in enumerate(steps[:_MOST_ROWS]):
        size = sum(tensors[name]["bytes"] for name in step["tensors"].values())
        label = step["site"] or step["output"].partition(":")[2]
        place = tag("span", short(label, 32), class_="cell-note") if label != step["op"] else None
        rows.append([
            str(i), join(tag("code", step["op"]), place), step_detail(step, tensors) or MISSING,
            f"{whole(step['channels'])} / {step['rows']}", byte_count(size) if size else MISSING,
        ])  # fmt: skip
    steps_table = table("Steps", ["#", "operation and site", "arithmetic", "output", "constants"], rows, left=3,
                        class_="steps")  # fmt: skip
    drawn = draw_program(program)
    if drawn is None:
        picture = note(f"A program of more than {MOST_STEPS} steps is not drawn.")
    else:
        picture = figure("Data flow", tag("div", drawn, class_="scroll", tabindex="0", role="region",
                                          aria_label="Drawing of the program"), class_="program-figure")  # fmt: skip
    key = tag("ul", [tag("li", tag("span", class_=f"swatch {kind}"), words) for kind, words in (
        ("float", "float32"), ("codes", "codes of at most 8 bits"), ("wide", "codes of 9 to 16 bits"),
        ("sums", "sums of 32 bits or more"),
    )], class_="key", aria_label="Lines in the drawing")  # fmt: skip
    intro = (f"{whole(len(steps))} steps, {byte_count(program['nbytes'])} of constants. Between the first step and the "
             "last there is no float array. Rounded boxes round sums back to codes.")  # fmt: skip
    return section("program", "Program", intro, key, tag("div", picture, steps_table, class_="pair program-pair"))


def _training(found: Mapping[str, Any]) -> Markup | None:
    training = found["training"]
    charts = [] if training is None else training_charts(training["history"], training["best_epoch"])
    if not charts:
        return None
    record = training["record"] if isinstance(training["record"], Mapping) else {}
    words = {"method": "method", "epochs": "epochs", "seed": "seed", "selected_by": "epoch kept by"}
    said = [f"{words[key]} {short(record[key])}" for key in words if record.get(key) is not None]
    return section("training", "Training", ", ".join(said).capitalize() + "." if said else None, figures(*charts))


SECTIONS: tuple[tuple[str, str, Callable[[Mapping[str, Any]], Markup | None]], ...] = (
    ("accuracy", "Results", accuracy),
    ("confusion", "Confusion", confusion),
    ("residuals", "Residuals", residuals),
    ("cost", "Bytes and latency", _sizes_and_speed),
    ("sites", "Sites", _sites),
    ("degrees", "In-degree", _degrees),
    ("program", "Program", _program),
    ("training", "Training", _training),
)
