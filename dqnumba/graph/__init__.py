"""Graphs as CSR whose rows are targets: checked once, then frozen."""

from __future__ import annotations

from .adjacency import Adjacency
from .batch import batch, unbatch
from .dataset import GraphDataset
from .file import load_npz, save_npz
from .found import GraphFile
from .graph import Graph
from .read import load_graph, read_graph
from .sparse import SparseFeatures
from .splits import planetoid_split, random_split, stratified_folds
from .tables import read_tables

__all__ = [
    "Adjacency",
    "Graph",
    "GraphDataset",
    "GraphFile",
    "SparseFeatures",
    "batch",
    "load_graph",
    "load_npz",
    "planetoid_split",
    "random_split",
    "read_graph",
    "read_tables",
    "save_npz",
    "stratified_folds",
    "unbatch",
]
