"""Machine code for processors that are not at hand: cross-compiled, and searched for the instruction that matters."""

from __future__ import annotations

import re

import pytest
from llvmlite import binding, ir

from dqnumba.kernels.dot import amx
from dqnumba.kernels.dot.dot_codegen import TILES, emit_tile

X86, ARM = "x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"
_I64 = ir.IntType(64)


def module_of(emit, arguments):
    """IR of ``void f(int64, ...)`` whose body ``emit(builder, args)`` writes."""
    module = ir.Module("cross")
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [_I64] * arguments), "f")
    builder = ir.IRBuilder(function.append_basic_block())
    emit(builder, list(function.args))
    builder.ret_void()
    return str(module)


def assembly(text, triple, processor, features=""):
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    machine = binding.Target.from_triple(triple).create_target_machine(cpu=processor, features=features, opt=3)
    module = binding.parse_assembly(text)
    module.triple = triple
    module.verify()
    options = binding.create_pipeline_tuning_options(speed_level=3)
    passes = binding.create_pass_builder(machine, options)
    passes.getModulePassManager().run(module, passes)
    return machine.emit_assembly(module)


def tile(isa, bits=8, segments=1, rows=None, vectors=None):
    vectors = vectors or max(TILES[isa].rows)
    rows = rows or TILES[isa].rows[vectors]

    def emit(builder, args):
        inputs = [tuple(args[4 + 3 * s : 7 + 3 * s]) for s in range(segments)]
        emit_tile(builder, isa, rows, vectors, bits, inputs, *args[:4])

    return module_of(emit, 4 + 3 * segments)


def loop_of(text, instruction):
    """The loop, from its label to the jump back there, that holds an instruction."""
    for found in re.finditer(r"^(\.LBB\w+):.*?^\s+(?:j|b\.|cb)\w*\s.*\1$", text, re.MULTILINE | re.DOTALL):
        if instruction in found.group():
            return found.group()
    raise AssertionError(f"no loop with {instruction}")


@pytest.mark.parametrize(
    ("isa", "triple", "processor", "instruction"),
    [
        ("avx512vnni", X86, "cascadelake", r"vpdpbusd\s.*%zmm"),
        ("avx512vnni", X86, "icelake-server", r"vpdpbusd\s.*%zmm"),
        ("avx512vnni", X86, "znver5", r"vpdpbusd\s.*%zmm"),
        ("avxvnni", X86, "alderlake", r"\{vex\}\s+vpdpbusd\s.*%ymm"),
        ("avx2", X86, "haswell", r"vpmaddwd\s.*%ymm"),
        ("avx2", X86, "znver1", r"vpmaddwd\s.*%ymm"),
        ("sdot", ARM, "cortex-a76", r"\bsdot\s"),
        ("sdot", ARM, "neoverse-v1", r"\bsdot\s"),
        ("portable", ARM, "cortex-a72", r"\bsmlal2?\s"),
        ("portable", X86, "x86-64", r"pmul|pmadd"),
    ],
)
@pytest.mark.parametrize("bits", [8, 4])
def test_the_instruction_is_there(isa, triple, processor, instruction, bits):
    for segments in (1, 2):
        text = assembly(tile(isa, bits, segments), triple, processor)
        assert re.search(instruction, text), f"{isa} for {processor} without {instruction}"


@pytest.mark.parametrize(
    ("isa", "triple", "processor", "instruction", "stores"),
    [
        ("avx512vnni", X86, "icelake-server", "vpdpbusd", r"vmov\S+\s+%zmm\d+, .*\("),
        ("avxvnni", X86, "alderlake", "vpdpbusd", r"vmov\S+\s+%ymm\d+, .*\("),
        ("avx2", X86, "haswell", "vpmaddwd", r"vmov\S+\s+%ymm\d+, .*\("),
        ("sdot", ARM, "cortex-a76", "sdot", r"\bst[rp]\s+q"),
    ],
)
def test_sums_stay_in_registers(isa, triple, processor, instruction, stores):
    """Within the loop over the inner dimension nothing is stored, and every product is one instruction."""
    loop = loop_of(assembly(tile(isa), triple, processor), instruction)
    spec = TILES[isa]
    vectors = max(spec.rows)
    products = spec.rows[vectors] * vectors * 16 // spec.lanes * (2 if isa == "avx2" else 1)
    assert len(re.findall(rf"\b{instruction}\b", loop)) % products == 0
    assert not re.search(stores, loop)


def test_processors_without_the_dot_product_still_get_code():
    """The portable tile compiles for anything that LLVM knows, with no instruction that the processor lacks."""
    for triple, processor in [(ARM, "cortex-a72"), (ARM, "generic"), (X86, "x86-64"), (X86, "haswell")]:
        text = assembly(tile("portable", rows=1), triple, processor)
        assert not re.search(r"\bsdot\b|vpdpbusd|tdpbssd", text)


def test_tiles_of_sapphire_rapids():
    def emit(builder, args):
        amx.emit_configure(builder, args[0])
        amx.emit_tile(builder, "tileloadd64", (4,), args[1], args[2])
        amx.emit_tile(builder, "tileloadd64", (6,), args[3], args[2])
        amx.emit_tile(builder, "tdpbssd", (0, 4, 6))
        amx.emit_tile(builder, "tilestored64", (0,), args[1], args[2])

    text = assembly(module_of(emit, 4), X86, "sapphirerapids")
    for instruction in ("sttilecfg", "ldtilecfg", "tileloadd", "tdpbssd", "tilestored"):
        assert re.search(rf"\b{instruction}\b", text)
    assert re.search(r"tdpbssd\s+%tmm6, %tmm4, %tmm0", text)


def test_configurations_describe_whole_tiles():
    for step, table in amx.configurations.items():
        assert table.shape == (16, 64) and table.ctypes.data % 64 == 0
        for count, line in enumerate(table, start=1):
            row_bytes, rows = line[16:32].copy().view("uint16").tolist(), line[48:56].tolist()
            assert line[0] == 1 and rows == [count] * 6 + [step // 4] * 2
            assert row_bytes == [64] * 4 + [step] * 2 + [64] * 2
            assert not line[56:].any() and not line[1:16].any() and not line[32:48].any()
