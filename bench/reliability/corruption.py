"""Every byte of small model files changed, one at a time: the file is refused, or it gives the same answer.

The models are tiny ones of each architecture, INT8 and INT4, and a train file. At each position every single bit is
turned, and the byte is set to 0x00 and to 0xff. What loads must give the same logits, bit for bit (a train file: the
same content); any exception but the documented ones counts as a crash. A run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import dqnumba as dq
from dqnumba.infer import load
from dqnumba.train.checkpoint import Checkpoint, read_checkpoint, write_checkpoint

from . import record

__all__ = ["changes", "main", "make_models", "sweep"]

NAME = "corruption"
OUTCOMES = ("refused", "unchanged", "wrong", "crashed")


def changes(byte: int) -> list[int]:
    """Other values of a byte: each bit turned, 0x00 and 0xff."""
    return sorted({*(byte ^ (1 << bit) for bit in range(8)), 0x00, 0xFF} - {byte})


def make_models(folder: Path) -> dict[str, tuple[Path, Callable[[Path], bytes]]]:
    """Name -> (file, what gives the answer of a file as bytes)."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((12, 5)).astype(np.float32)
    graph = dq.Graph.from_edge_index(rng.integers(0, 11, (2, 40)), x=x, y=rng.integers(0, 3, 12), num_nodes=12)
    graph = graph.replace(train_mask=np.ones(12, bool))
    found: dict[str, tuple[Path, Callable[[Path], bytes]]] = {}

    def logits(path: Path) -> bytes:
        return load(path)(graph, backend="reference").tobytes()

    options = {"gcn": {}, "gat": {"heads": 2}, "gin": {"norm": "batch"}, "sage": {"residual": True}}
    for kind, more in options.items():
        net = {"gcn": dq.nn.GCN, "gat": dq.nn.GAT, "gin": dq.nn.GIN, "sage": dq.nn.GraphSAGE}[kind]
        for bits in (8, 4):
            qmodel = dq.prepare(net(5, 4, 3, seed=1, **more), dq.QuantConfig.preset("dq", bits=bits))
            dq.calibrate(qmodel, graph)
            path = folder / f"{kind}_{bits}.safetensors"
            dq.convert(qmodel).save(path)
            found[f"{kind} int{bits}"] = (path, logits)
    qmodel = dq.prepare(dq.nn.GCN(5, 4, 3, seed=1), dq.QuantConfig.degree_quant(bits=8))
    result = dq.fit(qmodel, graph, epochs=2, seed=0)
    path = folder / "gcn.train.safetensors"
    result.state.seconds = [0.0, 0.0]  # the same file in every run
    checkpoint = Checkpoint(
        qmodel.model.config, qmodel.config.to_dict(), dict(qmodel.state_dict()), result.state, {"dataset": "drawn"},
        {"model": {}, "train": {}, "quant": {}},
    )  # fmt: skip
    write_checkpoint(checkpoint, path)
    found["train file"] = (path, _content)
    return found


def _content(path: Path) -> bytes:
    """A train file as it was read: texts and numbers, and every array."""
    read = read_checkpoint(path)
    state = vars(read.state)
    parts = [repr({k: v for k, v in (vars(read) | state).items() if not _arrays(v) and k != "state"})]
    for arrays in (read.model, *(v for _, v in sorted(state.items()) if _arrays(v))):
        parts += [f"{k} {a.dtype} {a.shape} {a.tobytes().hex()}" for k, a in sorted((arrays or {}).items())]
    return "\n".join(parts).encode()


def _arrays(value: Any) -> bool:
    return isinstance(value, dict) and any(isinstance(v, np.ndarray) for v in value.values())


def sweep(path: Path, answer: Callable[[Path], bytes], done: dict[str, Any], *, until: float, stride: int = 1) -> None:
    """Go on with the positions of one file until its end or that moment; counts are added to ``done``."""
    payload, want = path.read_bytes(), answer(path)
    with path.open("r+b", buffering=0) as file:
        while done["next"] < len(payload):
            place = done["next"]
            for value in changes(payload[place]):
                file.seek(place)
                file.write(bytes([value]))
                outcome = _outcome(path, answer, want)
                done[outcome] += 1
                if outcome in ("wrong", "crashed"):
                    done["findings"].append({"place": place, "was": payload[place], "value": value, "what": outcome})
            file.seek(place)
            file.write(payload[place : place + 1])
            done["positions"] += 1
            done["next"] = place + stride
            if time.monotonic() > until:
                break


def _outcome(path: Path, answer: Callable[[Path], bytes], want: bytes) -> str:
    try:
        got = answer(path)
    except dq.ModelFormatError:
        return "refused"
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return "crashed"
    return "unchanged" if got == want else "wrong"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=f"python -m bench.reliability {NAME}", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0, help="stop after so long (default: 30)")
    parser.add_argument("--stride", type=int, default=1, metavar="N", help="every N-th position only (default: all)")
    args = parser.parse_args(argv)
    started, until = time.monotonic(), time.monotonic() + 60 * args.minutes
    content = record.read(NAME)
    files = content.get("files", {}) if content.get("stride") == args.stride else {}
    before = sum(done["positions"] for done in files.values())
    with tempfile.TemporaryDirectory() as folder:
        models = make_models(Path(folder))
        try:
            for name, (path, answer) in models.items():
                files[name] = done = _begun(path.read_bytes(), files.get(name, {}))
                sweep(path, answer, done, until=until, stride=args.stride)
                print(f"{name}: {done['positions']} of {done['bytes']} positions, "
                      + ", ".join(f"{done[key]} {key}" for key in OUTCOMES), file=sys.stderr)  # fmt: skip
                if time.monotonic() > until:
                    break
        finally:
            totals = {key: sum(done[key] for done in files.values()) for key in ("positions", *OUTCOMES)}
            complete = len(files) == len(models) and all(done["next"] >= done["bytes"] for done in files.values())
            content = {"stride": args.stride, "complete": complete, **totals, "files": files}
            new = totals["positions"] - before
            if new:
                record.extend(NAME, content, {"positions": new, "seconds": round(time.monotonic() - started, 1)})
            else:
                print("all positions are in the record; delete it to go through them again", file=sys.stderr)
    return 1 if totals["wrong"] or totals["crashed"] else 0


def _begun(payload: bytes, done: dict[str, Any]) -> dict[str, Any]:
    """The counts of a file so far; from its beginning, if it is another file than the last time."""
    facts = {"bytes": len(payload), "sha256": hashlib.sha256(payload).hexdigest()}
    if {key: done.get(key) for key in facts} == facts:
        return done
    return facts | {"next": 0, "positions": 0} | dict.fromkeys(OUTCOMES, 0) | {"findings": []}
