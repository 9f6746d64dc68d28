"""Eight models on Cora whole, whatever the processor: the hashes that are committed with the models.

GCN, GAT, GIN and GraphSAGE, INT8 and INT4 (``tests/infer/golden``), by the reference, the loops and the vector kernels,
each compiled for: generic x86-64, AVX2, AVX-VNNI, AVX-512 without and with VNNI, this machine as it is, and two AArch64
processors under emulation (``tests/aarch64/python.sh``). What the machine cannot run is recorded as not run. Each
entry of the record is kept until it is run again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dqnumba as dq
from dqnumba.graph import save_npz

from . import record

__all__ = ["CPUS", "Cpu", "compare", "main"]

NAME = "cpus"
ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "infer" / "golden"


@dataclass(frozen=True)
class Cpu:
    """A processor to compile for: Numba's name and features of it, what the host must have, the kernels it must get."""

    name: str = ""
    features: str = ""
    needs: tuple[str, ...] = ()
    isa: str | None = None
    emulated: bool = False

    @property
    def variables(self) -> dict[str, str]:
        """Environment that makes Numba compile for it."""
        return {"NUMBA_CPU_NAME": self.name, "NUMBA_CPU_FEATURES": self.features} if self.name else {}


_AVX512 = "+avx2,+fma,+avx512f,+avx512bw,+avx512vl,+avx512dq"
CPUS = {
    "native": Cpu(),
    "x86-64 generic": Cpu("generic", "", ("sse2",), "portable"),
    "x86-64 AVX2 by name": Cpu("haswell", "", ("avx2", "fma", "bmi2"), "portable"),
    "x86-64 AVX2": Cpu("haswell", "+avx2,+fma", ("avx2", "fma", "bmi2"), "avx2"),
    "x86-64 AVX-VNNI": Cpu("alderlake", "+avx2,+fma,+avxvnni", ("avxvnni", "gfni", "vaes"), "avxvnni"),
    "x86-64 AVX-512": Cpu("skylake-avx512", _AVX512, ("avx512f", "avx512bw", "avx512vl", "avx512dq"), "avx2"),
    "x86-64 AVX-512 VNNI": Cpu("cascadelake", f"{_AVX512},+avx512vnni", ("avx512vnni", "avx512vl"), "avx512vnni"),
    "AArch64 Cortex-A76": Cpu("cortex-a76", "", (), "sdot", emulated=True),
    "AArch64 Cortex-A72": Cpu("cortex-a72", "", (), "portable", emulated=True),
}


def why_not(cpu: Cpu) -> str:
    """Why this machine cannot run it; empty if it can."""
    if cpu.emulated:
        return "" if shutil.which("qemu-aarch64-static") else "qemu-user-static is not installed"
    from llvmlite import binding

    have = {name for name, on in binding.get_host_cpu_features().items() if on}
    missing = sorted(set(cpu.needs) - have)
    return f"this machine lacks {', '.join(missing)}" if missing else ""


def compare(found: dict[str, Any], golden: dict[str, dict[str, str]], cpu: Cpu) -> list[str]:
    """What is not as committed, in words."""
    wrong = [] if cpu.isa in (None, found["isa"]) else [f"kernels {found['isa']}, expected {cpu.isa}"]
    for model, hashes in golden.items():
        got = found["models"].get(model, {})
        wrong += [f"{model}: logits by {b}: {got.get(b)}" for b in ("reference", "numba", "dot")
                  if got.get(b) != hashes["logits"]]  # fmt: skip
        if got.get("codes") != hashes["codes"]:
            wrong.append(f"{model}: codes {got.get('codes')}")
    return wrong


def start(cpu: Cpu, arguments: list[str], cache: Path) -> dict[str, Any]:
    """Run the probe in a process that compiles for ``cpu``; what it printed."""
    kept = {k: v for k, v in os.environ.items() if k not in ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "DQNUMBA_ISA")}
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "bench.reliability.cpu_probe", *arguments]
    if cpu.emulated:
        command[:1] = [str(ROOT / "tests" / "aarch64" / "python.sh"), cpu.name, str(cache)]
    done = subprocess.run(
        command, env=kept | {"PYTHONPATH": path} | cpu.variables, cwd=ROOT, stdout=subprocess.PIPE, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"the probe ended with status {done.returncode}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=f"python -m bench.reliability {NAME}", description=__doc__.splitlines()[0])
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dqnumba-aarch64"
    parser.add_argument("--only", nargs="+", choices=CPUS, metavar="CPU", help=f"some of: {', '.join(CPUS)}")
    parser.add_argument("--cache", type=Path, default=cache, metavar="DIR", help="of the emulated system")
    args = parser.parse_args(argv)
    golden = json.loads((GOLDEN / "cora.json").read_text(encoding="utf-8"))
    names, begun = args.only or list(CPUS), time.monotonic()
    entries = record.read(NAME).get("cpus", {})
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "cora.npz"
        save_npz(dq.data.load("cora"), graph)
        try:
            for name in names:
                entries[name] = entry = _entry(CPUS[name], graph, golden, args.cache)
                print(f"{name}: {entry.get('not_run') or entry}", file=sys.stderr)
        finally:
            ran = [entry for entry in entries.values() if "not_run" not in entry]
            differing = sum(len(entry["differing"]) for entry in ran)
            content = {"graph": "Cora whole", "ran": len(ran), "differing": differing, "cpus": entries}
            sitting = {"cpus": names, "seconds": round(time.monotonic() - begun, 1)}
            record.extend(NAME, content | {"golden": golden}, sitting)
    return 1 if differing else 0


def _entry(cpu: Cpu, graph: Path, golden: dict[str, dict[str, str]], cache: Path) -> dict[str, Any]:
    """What is recorded of one processor."""
    reason, started = why_not(cpu), time.monotonic()
    if reason:
        return {"not_run": reason}
    found = start(cpu, [str(graph), *(str(GOLDEN / f"{name}.safetensors") for name in golden)], cache)
    return {
        "target": found["target"], "compiled_for": found["cpu"], "features": cpu.features, "isa": found["isa"],
        "models": len(found["models"]), "differing": compare(found, golden, cpu),
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "seconds": round(time.monotonic() - started, 1),
    }  # fmt: skip
