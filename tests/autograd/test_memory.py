"""Memory of dead arrays is used again, and never that of an array that somebody can still see."""

import copy
import gc

import numpy as np
import pytest

from dqnumba import autograd as ag
from dqnumba.autograd import memory

BIG = (1000, 100)


def address(array):
    return array.__array_interface__["data"][0]


def test_outside_of_a_block_nothing_is_special():
    assert memory.empty(BIG, np.float32).base is None
    assert memory.empty((0, 7), np.uint8).shape == (0, 7)


def test_memory_of_a_dead_array_is_used_again():
    with ag.reuse_memory():
        first = memory.empty(BIG, np.float32)
        place = address(first)
        assert place % 64 == 0 and first.flags.c_contiguous and first.flags.writeable
        second = memory.empty(BIG, np.float32)
        assert address(second) != place
        del first
        gc.collect()
        third = memory.empty((999, 100), np.float32)
        assert address(third) == place and third.shape == (999, 100)


@pytest.mark.parametrize("view", [lambda a: a[3:7], lambda a: a.T, lambda a: a.reshape(-1)[::2], np.asarray])
def test_a_view_keeps_its_memory(view):
    with ag.reuse_memory():
        array = memory.empty(BIG, np.float32)
        array[:] = 1
        seen, place = view(array), address(array)
        del array
        others = [memory.empty(BIG, np.float32) for _ in range(3)]
        for other in others:
            other[:] = 2
        assert place not in map(address, others) and (seen == 1).all()


def test_an_array_outlives_the_block():
    with ag.reuse_memory():
        array = memory.empty(BIG, np.float64)
        array[:] = 3
    with ag.reuse_memory():
        other = memory.empty(BIG, np.float64)
        other[:] = 4
    assert (array == 3).all() and (copy.deepcopy(array) == 3).all()


def test_an_inner_block_uses_the_memory_of_the_outer_one():
    with ag.reuse_memory():
        with ag.reuse_memory():
            place = address(memory.empty(BIG, np.float32))
        assert address(memory.empty(BIG, np.float32)) == place


def test_growing_batches_do_not_collect_memory():
    with ag.reuse_memory():
        pool = memory._current.get()
        for rows in range(1000, 3000, 50):
            kept = [memory.empty((rows, 100), np.float32) for _ in range(5)]
            del kept
        held = sum(block.size for blocks in pool._free.values() for block in blocks)
    assert held <= 2 * 5 * 3000 * 100 * 4


@pytest.mark.parametrize("size", [1 << 16, (1 << 16) + 1, 70_001, 14_080_000, (1 << 30) - 1, 1 << 30])
def test_size_classes(size):
    kind = memory._size_class(size)
    assert memory._class_bytes(kind - 1) < size <= memory._class_bytes(kind) <= size * 1.125 + 1
    assert memory._size_class(memory._class_bytes(kind)) == kind


def test_a_training_step_is_the_same_within():
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((4000, 32), dtype=np.float32), rng.standard_normal((32, 32), dtype=np.float32)

    def gradients():
        weight = ag.Tensor(w, requires_grad=True)
        for _ in range(3):
            y = ag.relu(ag.linear(ag.Tensor(x), weight), in_place=True)
            (ag.linear(y, weight, relu=True) + y).mean().backward()
        return weight.grad

    alone = gradients()
    with ag.reuse_memory():
        assert np.array_equal(gradients(), alone)
