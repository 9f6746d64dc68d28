"""What ``bench.kernels`` times: each function makes one case, with every contender checked for its result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dqnumba.infer import choose_backend
from dqnumba.quant import QParams, QuantSpec

from . import dot_prepared, machine
from .float_program import FloatProgram
from .float_stages import Product, Sum

__all__ = ["Case", "attention_case", "product_case", "requantize_case", "sum_case"]

Run = Callable[[], Any]


class Case:
    """Contenders by name: what to run, or why it cannot be run; and the failures of checks."""

    def __init__(self, name: str, **facts: Any) -> None:
        self.name, self.facts = name, facts
        self.runs: dict[str, Run] = {}
        self.absent: dict[str, str] = {}
        self.failures: list[str] = []

    def add(
        self, name: str, make: Callable[[], Run], out: Any = None, expected: Any = None, error: float = 0.0
    ) -> None:
        """A contender: ``make()`` gives what is timed; after one run ``out()`` has to be ``expected``."""
        try:
            run = make()
            run()
        except (ImportError, AttributeError, TypeError, NotImplementedError, RuntimeError) as reason:
            self.absent[name] = f"{type(reason).__name__}: {str(reason).splitlines()[0][:140] if str(reason) else ''}"
            return
        if expected is not None:
            found = np.asarray(out())
            if error == 0.0:
                right = np.array_equal(found, expected)
            else:
                right = float(np.abs(found - expected).max()) <= error * float(np.abs(expected).max())
            if not right:
                self.failures.append(f"{self.name}: {name} gives a wrong result")
                return
        self.runs[name] = run


def _filled(shape: tuple[int, ...], dtype: Any, values: Callable[[], Any]) -> Any:
    """An array in huge pages, as the machine's limits are measured with."""
    array = machine.room(shape, dtype)
    array[...] = values()
    return array


def _torch_tensor(array: Any) -> Any:
    torch = machine.torch_or_none()
    if torch is None:
        raise ImportError(machine.absent("torch")["absent"])
    return torch.from_numpy(array)


def product_case(rows: int, inner: int, columns: int, backend: str) -> Case:
    """int8 (rows, inner) times int8 (inner, columns) into int32, and the same in float32."""
    rng = np.random.default_rng(0)
    x = _filled((rows, inner), np.int8, lambda: rng.integers(-128, 128, (rows, inner), dtype=np.int8))
    w = rng.integers(-127, 128, (inner, columns), dtype=np.int8)
    xf, wf = _filled((rows, inner), np.float32, lambda: x), w.astype(np.float32)
    some = np.unique(np.r_[0 : min(rows, 64), rng.integers(0, rows, 64), rows - 1])
    expected = (x[some].astype(np.float64) @ w.astype(np.float64)).astype(np.int64)
    ours, floats = machine.room((rows, columns), np.int32), machine.room((rows, columns), np.float32)
    bias = np.zeros(columns, np.int32)
    case = Case(
        f"{rows}x{inner}x{columns}", rows=rows, inner=inner, columns=columns, operations=2 * rows * inner * columns,
        bytes=rows * inner + inner * columns + 4 * rows * columns,
    )  # fmt: skip
    if backend == "dot":
        case.add("int8", lambda: dot_prepared.matmul(x, w, bias, ours), lambda: ours[some], expected)
    if "int8" not in case.runs:
        kernels = choose_backend("numba")
        case.add("int8", lambda: lambda: kernels.matmul(x, w, bias, 0, ours), lambda: ours[some], expected)
        case.facts["backend"] = "numba"
    results: dict[str, Any] = {}

    def int_mm(columns_first: bool) -> Run:
        torch = machine.torch_or_none()
        a, b = _torch_tensor(x), _torch_tensor(w)
        if columns_first:
            b = b.t().contiguous().t()
        out = torch.empty((rows, columns), dtype=torch.int32)
        results[str(columns_first)] = out
        try:
            torch._int_mm(a, b, out=out)
        except RuntimeError:  # where it insists on a multiple of 8
            pad = -inner % 8
            a = torch.nn.functional.pad(a, (0, pad))
            b = torch.nn.functional.pad(b, (0, 0, 0, pad))
            b = b.t().contiguous().t() if columns_first else b.contiguous()
        return lambda: torch._int_mm(a, b, out=out)

    for name, first in (("torch._int_mm", False), ("torch._int_mm, columns first", True)):
        case.add(name, lambda f=first: int_mm(f), lambda f=first: results[str(f)].numpy()[some], expected)
    case.add("numpy float32", lambda: lambda: np.matmul(xf, wf, out=floats), lambda: floats[some], expected, 1e-5)

    def torch_float() -> Run:
        torch = machine.torch_or_none()
        a, b, out = _torch_tensor(xf), _torch_tensor(wf), _torch_tensor(floats)
        return lambda: torch.mm(a, b, out=out)

    case.add("torch float32", torch_float, lambda: floats[some], expected, 1e-5)
    program = FloatProgram([Product(columns=columns, weight=wf)], xf, (rows, columns))
    case.add("own float32 tile", lambda: lambda: program(floats), lambda: floats[some], expected, 1e-5)
    return case


def sum_case(name: str, indptr: Any, indices: Any, width: int, backend: str, *, packed: bool = False) -> Case:
    """Sums of neighbours' rows of ``width`` int8 codes: int32 in memory or cache, rounded to int8; float32 peers."""
    nodes, edges = len(indptr) - 1, len(indices)
    rng = np.random.default_rng(0)
    x = _filled((nodes, width), np.int8, lambda: rng.integers(-8, 8, (nodes, width), dtype=np.int8))
    xf, zero = _filled((nodes, width), np.float32, lambda: x), 3
    kernels = choose_backend("numba")
    expected, out = np.zeros((nodes, width), np.int32), machine.room((nodes, width), np.int32)
    kernels.neighbor_sum(indptr, indices, x, zero, expected)
    narrow, floats = machine.room((nodes, width), np.int8), machine.room((nodes, width), np.float32)
    case = Case(
        f"{name}, {width} wide", nodes=nodes, edges=edges, width=width, table_bytes=nodes * width,
        lines_a_row=max(1, width // 64), operations=edges * width, bytes=edges * width + 4 * nodes * width,
    )  # fmt: skip
    if backend == "dot":
        case.add("int8", lambda: dot_prepared.neighbor_sum(indptr, indices, x, zero, out), lambda: out, expected)
        case.add("int8, into the cache", lambda: dot_prepared.sum_into_cache(indptr, indices, x, zero, out),
                 lambda: out, expected)  # fmt: skip
        rounded = np.clip((expected.astype(np.int64) + 8) >> 4, -128, 127)
        case.add("int8, rounded to int8", lambda: dot_prepared.fused_sum(indptr, indices, x, zero, 4, narrow),
                 lambda: narrow, rounded)  # fmt: skip
        if packed:
            from dqnumba.quant.packing import pack4

            codes = _filled((nodes, width // 2), np.uint8, lambda: pack4(x))
            four = machine.room((nodes, width), np.int32)
            case.add("int4", lambda: dot_prepared.packed_neighbor_sum(indptr, indices, codes, zero, four),
                     lambda: four, expected)  # fmt: skip
    if "int8" not in case.runs:
        case.add("int8", lambda: lambda: kernels.neighbor_sum(indptr, indices, x, zero, out), lambda: out, expected)
        case.facts["backend"] = "numba"
    plain = expected + zero * np.diff(indptr)[:, None]
    program = FloatProgram([Sum(columns=width, edges=(indptr, indices, None))], xf, (nodes, width))
    case.add("own float32", lambda: lambda: program(floats), lambda: floats, plain, 1e-5)
    keep: dict[str, Any] = {}

    def scipy_sum() -> Run:
        from scipy.sparse import csr_matrix

        matrix = csr_matrix((np.ones(edges, np.float32), indices, indptr), (nodes, nodes))

        def run() -> None:
            keep["scipy"] = matrix @ xf

        return run

    def torch_sum() -> Run:
        torch, features = machine.torch_or_none(), _torch_tensor(xf)
        from .peers import torch_csr

        matrix = torch_csr(indptr, indices, nodes)

        def run() -> None:
            keep["torch"] = torch.sparse.mm(matrix, features)

        return run

    case.add("scipy float32", scipy_sum, lambda: keep["scipy"], plain, 1e-5)
    case.add("torch CSR float32", torch_sum, lambda: keep["torch"].numpy(), plain, 1e-5)
    return case


def requantize_case(rows: int, columns: int, backend: str) -> Case:
    """int32 sums to int8 codes with one multiplier."""
    rng = np.random.default_rng(0)
    acc = _filled((rows, columns), np.int32, lambda: rng.integers(-(1 << 20), 1 << 20, (rows, columns), dtype=np.int32))
    stages = [(np.array([[1_500_000_000]]), np.array([[44]]), np.array([[5]]))]
    arguments = ([s[0] for s in stages], [s[1] for s in stages], [s[2] for s in stages])
    expected, out = np.zeros((rows, columns), np.int8), machine.room((rows, columns), np.int8)
    kernels = choose_backend("numba")
    kernels.requantize(acc, 0, *arguments, -3, -128, 127, expected)
    case = Case(f"{rows}x{columns}", rows=rows, columns=columns, operations=rows * columns, bytes=5 * rows * columns)
    if backend == "dot":
        case.add("int8", lambda: dot_prepared.requantize(acc, stages, -3, -128, 127, out), lambda: out, expected)
    case.add("numba backend", lambda: lambda: kernels.requantize(acc, 0, *arguments, -3, -128, 127, out),
             lambda: out, expected)  # fmt: skip
    return case


def attention_case(name: str, indptr: Any, indices: Any, heads: int, channels: int, backend: str) -> Case:
    """GAT behind its product: logits, softmax and weighted sum, against the four kernels one after the other."""
    from dqnumba.convert.softmax_table import exponential_table

    nodes, edges, width = len(indptr) - 1, len(indices), heads * channels
    rng = np.random.default_rng(0)
    scores = [rng.integers(-4000, 4000, (nodes, heads), dtype=np.int32) for _ in range(2)]
    x = rng.integers(-128, 128, (nodes, width), dtype=np.int8)
    mantissa, exponent = exponential_table(QParams(float(np.float32(0.05)), 0, QuantSpec(bits=8)), 0.2)
    numbers = {"multiplier": 1 << 20, "shift": 26, "zero_point": 0, "low": -128, "high": 127, "code_low": -128,
               "bits": 15, "zero": 2}  # fmt: skip
    kernels = choose_backend("numba")
    logits, coefficients = np.zeros((edges, heads), np.int32), np.zeros((edges, heads), np.int32)
    codes, expected = np.zeros((edges, heads), np.int8), np.zeros((nodes, width), np.int32)
    stage = ((np.array([[1 << 20]]),), (np.array([[26]]),), (np.array([[0]]),))

    def four_kernels() -> None:
        kernels.edge_logits(indptr, indices, *scores, logits)
        kernels.requantize(logits, 0, *stage, 0, -128, 127, codes)
        kernels.edge_softmax(indptr, codes, mantissa, exponent, -128, 15, coefficients)
        kernels.weighted_neighbor_sum(indptr, indices, coefficients, 0, x, 2, expected)

    case = Case(f"{name}, {heads}x{channels}", nodes=nodes, edges=edges, width=width, table_bytes=nodes * width,
                lines_a_row=max(1, width // 64), operations=2 * edges * width,
                bytes=edges * (width + 4 * heads) + 4 * nodes * width)  # fmt: skip
    case.add("numba backend", lambda: four_kernels)
    wanted = expected.copy()
    if backend == "dot":
        arguments = numbers | {"indptr": indptr, "indices": indices, "target": scores[0], "source": scores[1], "x": x,
                               "mantissa": mantissa, "exponent": exponent}  # fmt: skip
        out = machine.room((nodes, width), np.int32)
        case.add("int8", lambda: dot_prepared.attention(arguments, out), lambda: out, wanted)
    return case
