"""Images, superpixel graphs, and the cache of them."""

import gzip
import struct
import sys
import tracemalloc

import make_fixtures
import numpy as np
import pytest

import dqnumba.data.superpixel_sets as sets
from dqnumba.data.images import read_cifar10, read_idx
from dqnumba.data.superpixels import superpixel_graph
from dqnumba.errors import ConfigError, DataError, MissingExtraError

MNIST, CIFAR = make_fixtures.FOLDER / "mnist", make_fixtures.FOLDER / "cifar10"


def mnist_arrays():
    return [read_idx(MNIST / f"{part}-{kind}.gz") for part in ("train", "t10k")
            for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")]


def test_idx():
    images, labels, test_images, _ = mnist_arrays()
    expected, classes = make_fixtures.digits(12, 1)
    np.testing.assert_array_equal(images, expected)
    np.testing.assert_array_equal(labels, classes)
    assert test_images.shape == (4, 28, 28)


HEAD = bytes([0, 0, 8, 2])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "starts with"),
        (bytes([0, 0, 9, 1]) + struct.pack(">i", 1) + b"a", "starts with '00 00 09 01'"),
        (bytes([0, 0, 8, 9]) + b"a" * 50, "starts with"),
        (HEAD + b"ab", "ends inside its header"),
        (HEAD + struct.pack(">2i", 2, 2) + b"abc", "announces 4 bytes of data and holds only 3"),
        (HEAD + struct.pack(">2i", 2, 2) + b"abcde", "holds more"),
        (HEAD + struct.pack(">2i", 2**31 - 1, 2**31 - 1), "announces the shape"),
        (HEAD + struct.pack(">2i", -2, -2) + b"abcd", "announces the shape"),
    ],
)
def test_idx_malformed(tmp_path, content, message):
    path = tmp_path / "bad.gz"
    path.write_bytes(gzip.compress(content))
    with pytest.raises(DataError, match=message):
        read_idx(path)


def test_idx_truncated_gzip(tmp_path):
    whole = (MNIST / "train-images-idx3-ubyte.gz").read_bytes()
    for length in (0, 5, 100, len(whole) - 1):
        (tmp_path / "cut.gz").write_bytes(whole[:length])
        with pytest.raises(DataError):
            read_idx(tmp_path / "cut.gz")
    (tmp_path / "plain.gz").write_bytes(b"not gzip at all")
    with pytest.raises(DataError, match="no complete gzip"):
        read_idx(tmp_path / "plain.gz")
    with pytest.raises(DataError, match="no file"):
        read_idx(tmp_path / "nowhere.gz")


def test_idx_bomb_is_unpacked_only_as_far_as_announced(tmp_path):
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(HEAD + struct.pack(">2i", 2, 2) + bytes(50 << 20)))
    tracemalloc.start()
    with pytest.raises(DataError, match="holds more"):
        read_idx(path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_cifar_records(tmp_path):
    images, labels = read_cifar10(CIFAR / "train.bin")
    raw = np.frombuffer(make_fixtures.cifar(5, 3), np.uint8).reshape(5, 3073)
    np.testing.assert_array_equal(labels, [0, 1, 2, 3, 4])
    assert images.shape == (5, 32, 32, 3)
    assert images[2, 3, 5, 1] == raw[2, 1 + 1024 + 3 * 32 + 5]  # row 3, column 5, green
    for content, message in ((b"", "0 bytes"), (bytes(3072), "3072 bytes"), (b"\x0a" + bytes(3072), "label 10")):
        (tmp_path / "bad.bin").write_bytes(content)
        with pytest.raises(DataError, match=message):
            read_cifar10(tmp_path / "bad.bin")
    with pytest.raises(DataError, match="no file"):
        read_cifar10(tmp_path / "nowhere.bin")


@pytest.mark.parametrize(("image", "most"), [
    (make_fixtures.digits(3, 5)[0][2], 75),
    (np.random.RandomState(0).randint(0, 256, (32, 32, 3)).astype(np.uint8), 150),
    (np.zeros((28, 28), np.uint8), 75),
    (make_fixtures.digits(1, 5)[0][0], 20),
    (make_fixtures.digits(1, 5)[0][0], 3),
    (make_fixtures.digits(1, 5)[0][0], 1),
])
def test_superpixel_graph(image, most):
    graph = superpixel_graph(image, max_superpixels=most, compactness=0.25)
    count = int(graph.size[0])
    assert 1 <= count <= most
    channels = 1 if image.ndim == 2 else 3
    assert graph.x.shape == (count, channels + 2) and graph.x.dtype == np.float32
    assert (graph.x >= 0).all() and (graph.x <= 1).all()
    # Each node is the source of an edge to its nearest 8; rows are targets.
    sources, targets = graph.source, np.repeat(np.arange(count), graph.in_degree)
    np.testing.assert_array_equal(np.bincount(sources, minlength=count), min(8, count - 1))
    assert (sources != targets).all()
    centre = graph.x[:, -2:].astype(np.float64)
    distance = np.linalg.norm(centre[:, None] - centre, axis=2)
    np.fill_diagonal(distance, np.inf)
    for i in range(count):
        chosen = targets[sources == i]
        if len(chosen):
            others = np.setdiff1d(np.arange(count), [*chosen, i])
            assert not len(others) or distance[i, chosen].max() <= distance[i, others].min()


def test_superpixels_average_colours_and_coordinates():
    """Area-weighted, the means over superpixels are the means over the image, whatever the segments are."""
    image = make_fixtures.digits(1, 9)[0][0]
    one = superpixel_graph(image, max_superpixels=1, compactness=1.0)
    np.testing.assert_allclose(one.x, [[image.mean() / 255, 0.5, 0.5]], rtol=1e-6)


def test_in_degrees_differ():
    graph = superpixel_graph(make_fixtures.digits(8, 5)[0][7], max_superpixels=75, compactness=0.25)
    assert len(np.unique(graph.in_degree)) > 2


def test_too_many_superpixels_for_a_byte():
    with pytest.raises(ConfigError, match=r"1\.\.255"):
        superpixel_graph(np.zeros((28, 28), np.uint8), max_superpixels=256, compactness=1.0)


@pytest.fixture
def small_runs(monkeypatch, tmp_path):
    monkeypatch.setattr(sets, "_RUN", 3)
    monkeypatch.setenv("DQNUMBA_CACHE_DIR", str(tmp_path))
    return tmp_path / "superpixels"


def test_data_set_splits_and_cache(small_runs, monkeypatch):
    steps = []

    def progress(items, *, desc, total):
        items = list(items)
        steps.append((desc, total, len(items)))
        return items

    arrays = mnist_arrays()
    limited = sets.make_dataset("mnist", *arrays, num_val=4, limit=2, progress=progress)
    assert [len(limited.splits[part]) for part in ("train", "val", "test")] == [2, 4, 4]
    assert len(limited) == 3 + 4 + 4  # one run of training images, then all others
    assert steps == [("mnist superpixels", 5, 5)]
    whole = sets.make_dataset("mnist", *arrays, num_val=4, progress=progress)
    assert steps[1:] == [("mnist superpixels", 2, 2)]  # the others came from the cache
    assert [len(whole.splits[part]) for part in ("train", "val", "test")] == [8, 4, 4]
    np.testing.assert_array_equal(whole.y, np.concatenate([arrays[1], arrays[3]]))
    for part in ("train", "val", "test"):
        a, b = limited.splits[part], whole.splits[part][: len(limited.splits[part])]
        for k, m in zip(a, b, strict=True):
            np.testing.assert_array_equal(limited[k].x, whole[m].x)
            np.testing.assert_array_equal(limited[k].indices, whole[m].indices)
    # What is put together without checks passes them.
    checked = whole.union.replace()
    np.testing.assert_array_equal(checked.indices, whole.union.indices)
    assert (whole.num_features, whole.num_classes, whole.task) == (3, 10, "classification")
    monkeypatch.setattr(sets, "build_graphs", None)
    sets.make_dataset("mnist", *arrays, num_val=4)


def test_a_damaged_cache_file_is_built_again(small_runs, caplog):
    arrays = mnist_arrays()
    before = sets.make_dataset("mnist", *arrays, num_val=4)
    paths = sorted(small_runs.iterdir())
    paths[0].write_bytes(paths[0].read_bytes()[:100])
    np.savez(paths[1], size=np.array([200], np.uint8), x=1, in_degree=2, source=3)
    after = sets.make_dataset("mnist", *arrays, num_val=4)
    np.testing.assert_array_equal(before.union.x, after.union.x)
    assert sum("built again" in message for message in caplog.messages) == 2
    assert not [p for p in small_runs.iterdir() if p.suffix != ".npz"]


def test_a_cache_that_cannot_be_written_is_no_obstacle(monkeypatch, tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("DQNUMBA_CACHE_DIR", str(tmp_path / "file"))
    assert len(sets.make_dataset("mnist", *mnist_arrays(), num_val=4)) == 16
    assert "DQNUMBA_CACHE_DIR" in caplog.text


def test_colour_images(small_runs):
    images, labels = read_cifar10(CIFAR / "train.bin")
    dataset = sets.make_dataset("cifar10", images, labels, *read_cifar10(CIFAR / "test.bin"), num_val=1)
    assert dataset.num_features == 5 and [len(v) for v in dataset.splits.values()] == [4, 1, 2]


def test_files_that_do_not_fit(small_runs):
    images, labels, test_images, test_labels = mnist_arrays()
    with pytest.raises(DataError, match="do not fit together"):
        sets.make_dataset("mnist", images, labels[:5], test_images, test_labels, num_val=4)
    with pytest.raises(DataError, match="too few"):
        sets.make_dataset("mnist", images, labels, test_images, test_labels, num_val=12)


def test_missing_scikit_image(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "skimage.segmentation", None)
    with pytest.raises(MissingExtraError, match=r'pip install "dqnumba\[superpixels\]"'):
        superpixel_graph(np.zeros((28, 28), np.uint8), max_superpixels=75, compactness=1.0)
