"""Float layers and models; one file an operator, the field's names."""

from .batch_norm import BatchNorm
from .edge_blocks import EdgeBlocks
from .gat_conv import GATConv
from .gcn_conv import GCNConv
from .gin_conv import GINConv
from .linear import Linear
from .models import GAT, GCN, GIN, GNN, GraphSAGE, build_model
from .module import Context, Module
from .pooling import Pool, Residual
from .sage_conv import SAGEConv

__all__ = [
    "GAT",
    "GCN",
    "GIN",
    "GNN",
    "BatchNorm",
    "Context",
    "EdgeBlocks",
    "GATConv",
    "GCNConv",
    "GINConv",
    "GraphSAGE",
    "Linear",
    "Module",
    "Pool",
    "Residual",
    "SAGEConv",
    "build_model",
]
