"""Write the recorded state dicts and outputs of PyG that the import is held against.

Run ``python tests/convert/golden/make_golden.py`` where torch, torch_geometric and safetensors are installed. Beside
this file it writes one ``NAME.safetensors`` a model, as a user would save it, and ``golden.npz`` with the graph, the
outputs (``out/NAME``) and what made them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
import torch_geometric
from safetensors.torch import save_file

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import pyg_models  # noqa: E402


def main() -> None:
    arrays = pyg_models.graph_arrays()
    x = torch.from_numpy(arrays["x"])
    batch = torch.from_numpy(np.repeat([0, 1], np.diff(arrays["graph_ptr"])))
    content, options = dict(arrays), {}
    for name in pyg_models.NAMES:
        model, options[name] = pyg_models.build(name)
        pyg_models.settle(model)
        edges = torch.from_numpy(pyg_models.edges_for(name, arrays["edge_index"]))
        with torch.no_grad():
            content[f"out/{name}"] = model(x, edges, batch).numpy()
        state = {key: tensor.contiguous() for key, tensor in model.state_dict().items()}
        save_file(state, HERE / f"{name}.safetensors")
    made = {"torch_geometric": torch_geometric.__version__, "torch": torch.__version__, "options": options}
    np.savez_compressed(HERE / "golden.npz", made=np.array(json.dumps(made)), **content)


if __name__ == "__main__":
    main()
