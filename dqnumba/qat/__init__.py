"""Quantization-aware training: configuration, the table of sites, observers, fake quantizers, the degree mask."""

from .bias_correction import correct_biases
from .calibrate import calibrate
from .config import METHODS, QuantConfig
from .degree_mask import draw_mask, protection_probability
from .exact import ExactModel
from .fake_quantizer import ActivationQuantizer, BiasRounder, GridRounder, WeightQuantizer
from .observers import Observer
from .post_training import quantize_trained
from .prepare import QuantizedModel, prepare
from .search_observer import SearchObserver, least_error_range
from .sites import Site, choose_plan, layer_sites
from .weight_search import search_weight_ranges

__all__ = [
    "METHODS",
    "ActivationQuantizer",
    "BiasRounder",
    "ExactModel",
    "GridRounder",
    "Observer",
    "QuantConfig",
    "QuantizedModel",
    "SearchObserver",
    "Site",
    "WeightQuantizer",
    "calibrate",
    "choose_plan",
    "correct_biases",
    "draw_mask",
    "layer_sites",
    "least_error_range",
    "prepare",
    "protection_probability",
    "quantize_trained",
    "search_weight_ranges",
]
