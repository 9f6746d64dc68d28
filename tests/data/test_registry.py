import re
import sys
from pathlib import Path

import pytest

import dqnumba.data
from dqnumba.data import registry
from dqnumba.errors import ConfigError, DataError, MissingExtraError


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("DQNUMBA_DATA", raising=False)
    monkeypatch.setenv("DQNUMBA_CACHE_DIR", str(tmp_path / "cache"))


def test_registry_is_complete():
    for name, entry in registry.registry().items():
        assert {"title", "format", "licence", "homepage", "files"} <= set(entry), name
        for file in entry["files"]:
            assert set(file) <= {"name", "url", "bytes", "sha256", "member", "first_bytes"}
            assert ("sha256" in file) == ("bytes" in file) == (name != "pubmed"), file["name"]
            if "sha256" in file:
                assert re.fullmatch("[0-9a-f]{64}", file["sha256"])
            assert ("url" in file) == (name != "zinc12k")
            assert file.get("url", "https://").startswith("https://")


def test_addresses_stand_in_the_registry_only():
    package = Path(registry.__file__).parents[1]
    for path in [*package.glob("data/*.py"), *package.glob("graph/*.py")]:
        assert "https://" not in path.read_text(encoding="utf-8"), path


def test_wrong_checksum_names_file_both_sums_and_the_remedy(tmp_path):
    path = tmp_path / "mutag" / "raw" / "MUTAG.zip"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not the file")
    with pytest.raises(DataError) as caught:
        registry.fetch("mutag", "MUTAG.zip", root=tmp_path)
    lines = str(caught.value).splitlines()
    assert len(lines) <= 3 and str(path) in lines[0]
    text = " ".join(lines)
    assert "20f52db82d6d85d5f67d2fa42c3fb705d05934be44329314ab17b05d0c012f7e" in text  # expected
    assert "b28f6e3c" not in text and len(re.findall("[0-9a-f]{64}", text)) == 2 and "verify=False" in text
    assert registry.fetch("mutag", "MUTAG.zip", root=tmp_path, verify=False) == path


def test_a_file_is_hashed_once_unless_it_changes(tmp_path, monkeypatch):
    import hashlib

    path = tmp_path / "file"
    path.write_bytes(b"good")
    entry = {"sha256": hashlib.sha256(b"good").hexdigest(), "bytes": 4}
    calls = []
    real = hashlib.file_digest
    monkeypatch.setattr(registry.hashlib, "file_digest", lambda *a: calls.append(1) or real(*a))
    registry.verify_file(path, entry)
    registry.verify_file(path, entry)
    assert len(calls) == 1
    path.write_bytes(b"evil!")
    with pytest.raises(DataError, match="SHA-256"):
        registry.verify_file(path, entry)


@pytest.mark.parametrize("name", ["cora", "zinc12k", "mnist"])
def test_missing_file_in_a_folder_of_the_user(tmp_path, monkeypatch, name):
    monkeypatch.setenv("DQNUMBA_DATA", str(tmp_path))
    with pytest.raises(DataError, match="no file") as caught:
        dqnumba.data.load(name)
    assert "DQNUMBA_DATA" in str(caught.value) and len(str(caught.value).splitlines()) <= 3
    assert not list(tmp_path.iterdir())  # nothing was made there
    with pytest.raises(DataError, match="given by root"):
        dqnumba.data.load(name, root=tmp_path)


def test_missing_file_without_an_address():
    with pytest.raises(DataError, match="no public address"):
        dqnumba.data.load("zinc12k")


def test_missing_pooch(monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(MissingExtraError, match=r'pip install "dqnumba\[data\]"'):
        dqnumba.data.load("cora")


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("corra", {}, "no data set 'corra'.*cora"),
        ("cora", {"split": "best"}, "split is 'best'"),
        ("cora", {"limit": 0}, "limit is 0"),
        ("cora", {"features": "degree"}, "takes no option 'features'"),
        ("synthetic", {"colour": 1}, "takes no option 'colour'"),
    ],
)
def test_wrong_use_of_load(name, arguments, message):
    with pytest.raises(ConfigError, match=message):
        dqnumba.data.load(name, **arguments)


def test_available_names():
    assert {"synthetic", "cora", "citeseer", "pubmed", "reddit_binary", "imdb_binary", "mutag", "ptc_mr", "zinc12k",
            "mnist", "cifar10"} == set(dqnumba.data.available())
