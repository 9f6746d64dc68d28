"""``dqnumba data``: which data sets there are, what is in one or in a graph file, and fetching it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .common import emit, make_meter, make_progress, table
from .options import add_output_options, add_verb

HELP = "List the data sets, describe one or a graph file, or download one."
EXAMPLES = ("dqnumba data list", "dqnumba data info g.npz", "dqnumba data fetch cora")


class _List:
    HELP = "List the data sets: where their files are, how large, of which licence and source."
    EXAMPLES = ("dqnumba data list", "dqnumba data list --json")


class _Info:
    HELP = "Load a data set, or the graph at a path, and print its sizes."
    EXAMPLES = ("dqnumba data info cora", "dqnumba data info g.npz")


class _Fetch:
    HELP = "Make all files of a data set present, and compare them with their SHA-256."
    MORE = "A download that was interrupted goes on where it stopped."
    EXAMPLES = ("dqnumba data fetch cora",)


def configure(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", dest="action", required=True, metavar="ACTION")
    for name, action, metavar, text in (
        ("list", _List, None, None),
        ("info", _Info, "NAME|PATH", "a name that `dqnumba data list` shows, or the path of a graph"),
        ("fetch", _Fetch, "NAME", "a name that `dqnumba data list` shows"),
    ):
        subparser = add_verb(actions, name, action)
        if metavar is not None:
            subparser.add_argument("name", metavar=metavar, help=text)
        add_output_options(subparser)


def run(args: argparse.Namespace) -> int:
    return {"list": _list, "info": _info, "fetch": _fetch}[args.action](args)


def _list(args: argparse.Namespace) -> int:
    from ..data import available

    sets = [_entry(name) for name in available()]
    emit(args, {"datasets": sets}, lambda: _listing(sets))
    return 0


def _entry(name: str) -> dict[str, Any]:
    """What the registry and the disk say of a set, as JSON types."""
    from ..data.registry import raw_folder, registry

    entry = registry().get(name)
    if entry is None:
        return {"name": name, "title": "made on the spot, no file", "present": True, "folder": None, "bytes": 0,
                "licence": None, "homepage": None, "files": []}  # fmt: skip
    folder, _ = raw_folder(name)
    files = []
    for file in entry["files"]:
        known = {key: file.get(key) for key in ("name", "bytes", "sha256", "url")}
        files.append(known | {"present": (folder / file["name"]).is_file()})
    sizes = [file["bytes"] for file in files]
    return {
        "name": name, "title": entry["title"], "present": all(file["present"] for file in files),
        "folder": str(folder), "bytes": None if None in sizes else sum(sizes), "licence": entry["licence"],
        "homepage": entry["homepage"], "files": files,
    }  # fmt: skip


def _listing(sets: list[dict[str, Any]]) -> str:
    rows = [["name", "files", "MB", "title, licence, source"]]
    for known in sets:
        count = sum(file["present"] for file in known["files"])
        state = "yes" if known["present"] else f"{count} of {len(known['files'])}" if count else "no"
        if not known["present"] and not all(file["url"] for file in known["files"]):
            state += ", no address"
        size = "?" if known["bytes"] is None else f"{known['bytes'] / 1e6:.2f}" if known["bytes"] else ""
        rows.append([known["name"], state, size, known["title"]])
        rows += [["", "", "", known[key]] for key in ("licence", "homepage") if known[key]]
    folder = next(known["folder"] for known in sets if known["folder"])
    return table(rows, left=4) + f"\n\nfiles are in {Path(folder).parents[1]}, in a folder NAME/raw each"


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
    before = {file["name"]: file["present"] for file in _entry(args.name)["files"]}
    files = []
    for file in registry().get(args.name, {}).get("files", []):
        path = fetch(args.name, file["name"], meter=make_meter(args))
        files.append({
            "name": file["name"], "path": str(path), "bytes": path.stat().st_size,
            "downloaded": not before[file["name"]], "checked": "sha256" in file,
        })  # fmt: skip
    emit(args, {"name": args.name, "files": files}, lambda: _fetched(args.name, files))
    return 0


def _fetched(name: str, files: list[dict[str, Any]]) -> str:
    if not files:
        return f"{name} is made on the spot; there is no file."
    rows: list[list[Any]] = [["file", "", "SHA-256", "bytes"]]
    for file in files:
        state = "downloaded" if file["downloaded"] else "was there"
        rows.append([file["path"], state, "right" if file["checked"] else "none known", f"{file['bytes']:,}"])
    return table(rows, left=3)


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
