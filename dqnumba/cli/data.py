"""``dqnumba data``: which data sets there are, what is in one or in a graph file, and fetching it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .common import add_output_options, emit, make_progress, table

HELP = "List data sets, describe one, or fetch one."


def configure(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, text in (
        ("list", "names, and where their files are"),
        ("info", "load a data set, or the graph at a path, and print its sizes"),
        ("fetch", "make all files of a data set present and check them"),
    ):
        action = verbs.add_parser(name, help=text, description=text)
        if name != "list":
            action.add_argument("name", metavar="NAME" if name == "fetch" else "NAME|PATH")
        add_output_options(action)


def run(args: argparse.Namespace) -> int:
    return {"list": _list, "info": _info, "fetch": _fetch}[args.action](args)


def _list(args: argparse.Namespace) -> int:
    from ..data import available
    from ..data.registry import raw_folder, registry

    sets = []
    for name in available():
        entry = registry().get(name)
        if entry is None:
            sets.append({"name": name, "title": "made on the spot, no file", "present": True, "folder": None})
            continue
        folder, _ = raw_folder(name)
        present = all((folder / file["name"]).is_file() for file in entry["files"])
        sets.append({"name": name, "title": entry["title"], "present": present, "folder": str(folder)})
    rows = [["name", "files", "title"]] + [[s["name"], "yes" if s["present"] else "no", s["title"]] for s in sets]
    emit(args, {"datasets": sets}, table(rows, left=3))
    return 0


def _info(args: argparse.Namespace) -> int:
    from ..data import available, load
    from ..data.registry import registry

    if args.name not in available() and Path(args.name).exists():
        from ..graph import read_graph

        file = read_graph(args.name)
        content = _describe(args.name, file.data) | {"format": file.format, "notes": list(file.notes)}
        if file.num_splits > 1:
            content["splits"] |= {"of": file.num_splits}
        if file.classes is not None:
            content["class_names"] = list(file.classes)
    else:
        content = _describe(args.name, load(args.name, progress=make_progress(args)))
    entry = registry().get(args.name, {})
    content |= {key: entry[key] for key in ("title", "format", "licence", "homepage") if key in entry}
    emit(
        args,
        content,
        lambda: table([["", args.name]] + [[key, _show(value)] for key, value in content.items()], left=2),
    )
    return 0


def _fetch(args: argparse.Namespace) -> int:
    from ..data import available
    from ..data.registry import fetch, registry
    from ..errors import ConfigError

    if args.name not in available():
        raise ConfigError(f"Unknown data set {args.name!r}; there are {', '.join(available())}.")
    files = registry().get(args.name, {}).get("files", [])
    progress = make_progress(args)
    wanted = files if progress is None else progress(files, f"fetch {args.name}", len(files))
    paths = [str(fetch(args.name, file["name"])) for file in wanted]
    emit(
        args,
        {"name": args.name, "files": paths},
        "\n".join(paths) or f"{args.name} is made on the spot; there is no file.",
    )
    return 0


def _describe(name: str, data: Any) -> dict[str, Any]:
    from ..train.evaluate import is_dataset

    content: dict[str, Any] = {"name": name}
    if is_dataset(data):
        splits = {key: len(index) for key, index in (data.splits or {}).items()} or "folds"
        return content | {
            "graphs": len(data), "task": data.task, "features": data.num_features, "classes": data.num_classes,
            "splits": splits,
        }  # fmt: skip
    masks = {"train": data.train_mask, "val": data.val_mask, "test": data.test_mask}
    return content | {
        "nodes": data.num_nodes, "edges": data.num_edges, "features": data.num_features, "classes": data.num_classes,
        "splits": {key: int(mask.sum()) for key, mask in masks.items() if mask is not None},
    }  # fmt: skip


def _show(value: Any) -> Any:
    if isinstance(value, list):
        return "; ".join(value) or None
    return (", ".join(f"{k} {v:,}" for k, v in value.items()) or None) if isinstance(value, dict) else value
