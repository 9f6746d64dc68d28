"""Containers of bytes that strangers wrote: JSON, npy, zip, tar, safetensors.

What a file announces is held against its size, and against a limit, before memory is taken for it. Nothing here knows
graphs or models. Whatever is wrong with a file is a :class:`Malformed`, of which its reader makes a documented error of
its own with the name of the file and a remedy.
"""

from .npy import read_npy
from .regular import Malformed, open_regular, read_bytes, size_of
from .strict_json import parse_json
from .tar import read_tar_member
from .tensors import read_metadata, read_tensors
from .zips import open_zip

__all__ = [
    "Malformed",
    "open_regular",
    "open_zip",
    "parse_json",
    "read_bytes",
    "read_metadata",
    "read_npy",
    "read_tar_member",
    "read_tensors",
    "size_of",
]
