"""The tape: tensors, operations with their gradients, and a check of them. Forward and backward stand side by side."""

from __future__ import annotations

from .activations import dropout, leaky_relu, log_softmax, relu
from .arithmetic import concat, exp, linear, log, matmul
from .gradcheck import GradientError, gradcheck
from .losses import cross_entropy, l1_loss
from .memory import reuse_memory
from .message_passing import (
    edge_softmax,
    edge_sum,
    embedding,
    gather_rows,
    gather_source,
    gather_target,
    neighbor_sum,
    scale_rows,
    self_and_neighbor_sum,
    sparse_matmul,
    sparse_neighbor_sum,
    weighted_neighbor_sum,
)
from .normalization import affine_columns, batch_norm
from .quantize import fake_quantize, fake_quantize_learned
from .recording import is_recording, no_grad
from .segments import segment_max, segment_mean, segment_sum
from .tensor import Tensor, as_tensor, record

__all__ = [
    "GradientError",
    "Tensor",
    "affine_columns",
    "as_tensor",
    "batch_norm",
    "concat",
    "cross_entropy",
    "dropout",
    "edge_softmax",
    "edge_sum",
    "embedding",
    "exp",
    "fake_quantize",
    "fake_quantize_learned",
    "gather_rows",
    "gather_source",
    "gather_target",
    "gradcheck",
    "is_recording",
    "l1_loss",
    "leaky_relu",
    "linear",
    "log",
    "log_softmax",
    "matmul",
    "neighbor_sum",
    "no_grad",
    "record",
    "relu",
    "reuse_memory",
    "scale_rows",
    "segment_max",
    "segment_mean",
    "segment_sum",
    "self_and_neighbor_sum",
    "sparse_matmul",
    "sparse_neighbor_sum",
    "weighted_neighbor_sum",
]
