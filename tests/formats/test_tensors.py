"""Our reading of safetensors against the package, and its limits."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors import SafetensorError
from safetensors.numpy import load as package_load
from safetensors.numpy import save as package_save

from dqnumba.formats import Malformed, read_metadata, read_tensors

LIMITS = {"most_bytes": 1 << 20, "most_tensors": 8, "most_header": 1 << 14, "most_values": 1 << 10}
TYPES = ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?")
arrays = st.sampled_from(TYPES).flatmap(
    lambda kind: hnp.arrays(np.dtype(kind), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
)
# Of no tensors and empty metadata the package writes what is no JSON.
metadata = st.dictionaries(st.text(max_size=4), st.text(max_size=9), min_size=1)
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8).filter(lambda name: name != "__metadata__")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("tensors") / "t.safetensors"


@given(st.dictionaries(names, arrays, max_size=5), st.none() | metadata)
def test_what_the_package_writes_is_read_as_the_package_reads_it(place, tensors, metadata):
    content = package_save(tensors, metadata)
    place.write_bytes(content)
    found, read = read_tensors(place, **LIMITS)
    assert found == (metadata or {})
    assert set(read) == set(tensors)
    for name, array in package_load(content).items():
        assert read[name].dtype == array.dtype and read[name].shape == array.shape
        assert read[name].tobytes() == array.tobytes() == tensors[name].tobytes()
        assert read[name].flags.writeable and read[name].flags.c_contiguous and read[name].flags.aligned
    assert read_metadata(place, most_bytes=1 << 20, most_header=1 << 14, most_values=1 << 10) == found


@given(st.data())
def test_what_is_taken_after_damage_the_package_takes_too_and_reads_the_same(place, data):
    """Ours is the stricter of the two; where both read, they read the same."""
    whole = package_save({"a": np.arange(4, dtype=np.int16), "b": np.ones((2, 1), np.float32)}, {"k": "v"})
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(whole) - 1))] = data.draw(
            st.integers(0, 255) | st.sampled_from(b'{}[]",:0129')
        )
    place.write_bytes(damaged)
    try:
        _, read = read_tensors(place, **LIMITS)
    except (Malformed, UnicodeDecodeError):
        return
    expected = package_load(bytes(damaged))
    assert {n: (a.dtype, a.shape, a.tobytes()) for n, a in read.items()} == {
        n: (a.dtype, a.shape, a.tobytes()) for n, a in expected.items()
    }


@pytest.mark.parametrize(
    ("limit", "most", "message"),
    [
        ("most_bytes", 100, "bytes, and at most 100 are read"),
        ("most_tensors", 1, "holds 2 tensors, and at most 1"),
        ("most_header", 50, "header has .* bytes, and at most 50"),
        ("most_values", 5, "values, and at most 5"),
    ],
)
def test_limits(place, limit, most, message):
    place.write_bytes(package_save({"a": np.ones(3), "b": np.ones(3)}))
    with pytest.raises(Malformed, match=message):
        read_tensors(place, **LIMITS | {limit: most})


def test_gaps_and_orders_that_the_package_refuses_too(place):
    entry = {"dtype": "I8", "shape": [1]}
    for first, second in (([0, 1], [2, 3]), ([1, 2], [1, 2]), ([0, 1], [0, 1])):
        header = json.dumps({"a": entry | {"data_offsets": first}, "b": entry | {"data_offsets": second}}).encode()
        content = len(header).to_bytes(8, "little") + header + bytes(3)
        place.write_bytes(content)
        with pytest.raises(Malformed, match=r"begins at|its tensors end"):
            read_tensors(place, **LIMITS)
        with pytest.raises(SafetensorError):
            package_load(content)


def test_a_file_that_shrinks_while_it_is_read_is_an_error_and_not_the_end_of_the_process(place, monkeypatch):
    place.write_bytes(package_save({"a": np.ones(100_000, np.float32)}))
    import dqnumba.formats.tensors as module

    def cut(*args):
        os.truncate(place, 5000)
        return real(*args)

    real = module._tensor
    monkeypatch.setattr(module, "_tensor", cut)
    with pytest.raises(Malformed, match="cut short"):
        read_tensors(place, **LIMITS)
