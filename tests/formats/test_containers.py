"""JSON, npy, zip and tar of strangers; what is refused of each is in ``tests/attacks`` too."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dqnumba.formats import Malformed, open_regular, open_zip, parse_json, read_bytes, read_npy, read_tar_member

numbers = st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(st.characters(codec="utf-8")),
    lambda parts: (
        st.lists(parts, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), parts, max_size=4)
    ),
    max_leaves=12,
)
KINDS = ("f8", ">f4", "f2", "i8", ">i4", "i1", "u2", "u8", "?", "S3", "U2")
arrays = st.sampled_from(KINDS).flatmap(
    lambda kind: hnp.arrays(
        np.dtype(kind), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
        elements=st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=2) if kind == "U2" else None,
    )
)  # fmt: skip


@given(values, st.booleans())
def test_json_is_read_as_python_reads_it(value, ascii_only):
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert parse_json(text, most_values=1000) == json.loads(text)


@pytest.mark.parametrize(
    "text", ["NaN", "[-Infinity]", "1e400", '{"a": 1, "a": 1}', "[" * 100_000, '"\\ud83d"', "", "{"]
)
def test_json_that_is_refused(text):
    with pytest.raises(Malformed):
        parse_json(text, most_values=1_000_000)
    assert parse_json('["\\ud83d\\ude00"]', most_values=9) == ["\U0001f600"]


def test_json_of_our_own_may_hold_what_training_gave():
    found = parse_json('{"loss": [NaN, Infinity]}', most_values=9, constants=True)
    assert np.isnan(found["loss"][0]) and found["loss"][1] == float("inf")
    with pytest.raises(Malformed, match="about 3 values, and at most 2"):
        parse_json("[1, 2, 3]", most_values=2)


@given(arrays, st.booleans())
def test_arrays_are_read_as_numpy_reads_them(array, fortran):
    stream = io.BytesIO()
    np.save(stream, np.array(array, order="F" if fortran else "C"))
    content = stream.getvalue()
    read = read_npy(io.BytesIO(content), len(content))
    assert read.dtype == array.dtype and read.shape == array.shape
    assert np.ascontiguousarray(read).tobytes() == np.ascontiguousarray(array).tobytes()
    with pytest.raises((Malformed, ValueError)):
        read_npy(io.BytesIO(content + b"\0"), len(content) + 1)


def test_a_pipe_is_not_waited_for(tmp_path):
    import os

    os.mkfifo(tmp_path / "pipe")
    for path, message in (
        (tmp_path / "pipe", "no regular file"),
        (tmp_path, "folder"),
        ("/dev/zero", "no regular file"),
    ):
        with pytest.raises(Malformed, match=message):
            read_bytes(path, 100)
    with pytest.raises(Malformed, match="null"):
        read_bytes("a\0b", 100)
    (tmp_path / "file").write_bytes(b"12345")
    assert read_bytes(tmp_path / "file", 5) == b"12345"
    with pytest.raises(Malformed, match="has 5 bytes, and at most 4"):
        read_bytes(tmp_path / "file", 4)


def test_zips(tmp_path, monkeypatch):
    path = tmp_path / "z.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = b"a comment, as git archive writes one"
        archive.writestr("a", bytes(1000))
        archive.writestr("b", b"123")
    with open_zip(path, 2000) as (archive, members):
        assert [info.filename for info in members] == ["a", "b"] and archive.read("b") == b"123"
    with open_zip(path, 10, lambda name: name == "b") as (_, members):
        assert [info.filename for info in members] == ["b"]
    with pytest.raises(Malformed, match="unpack to 1003 bytes"), open_zip(path, 1000):
        pass
    monkeypatch.setattr("dqnumba.formats.zips._FREE", 10)
    monkeypatch.setattr("dqnumba.formats.zips._RATIO", 2)
    with pytest.raises(Malformed, match=f"of an archive of {path.stat().st_size} bytes"), open_zip(path, 2000):
        pass
    with open_zip(path, None) as (_, members):
        assert len(members) == 2
    monkeypatch.setattr("dqnumba.formats.zips._DIRECTORY", 90)
    with pytest.raises(Malformed, match="its directory has 94 bytes"), open_zip(path, None):
        pass


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tars_are_read_as_tarfile_reads_them(tmp_path, packed, kind):
    rng = np.random.default_rng(0)
    contents = {f"set/{'long/' * 12}{k}.bin": rng.bytes(int(n)) for k, n in enumerate([0, 1, 511, 512, 513, 70_000])}
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=kind) as archive:
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    path = tmp_path / "t"
    path.write_bytes(gzip.compress(stream.getvalue()) if packed else stream.getvalue())

    def member(wanted, most=1 << 20, most_unpacked=1 << 20):
        with open_regular(path, 1 << 20) as file:
            return read_tar_member(file, lambda name: name == wanted, most, most_unpacked)

    for name, content in contents.items():
        assert member(name) == content
        assert member(name, most=100) == content[:100]
    assert member("nothing") is None
    with pytest.raises(Malformed, match="unpacks to more"):
        member("nothing", most_unpacked=50_000)
