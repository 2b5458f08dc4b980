"""Networks on disk as far as a search looks at them."""

from __future__ import annotations

import json
from pathlib import Path

from topo_search.files import sha256


def leave_network(folder: str | Path, content: str = "") -> None:
    """Leave what ``save_network`` leaves, with any words for weights, the certificate last as there."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("graph.json", "graph.graphml", "model.safetensors"):
        (folder / name).write_text(content)
    (folder / "certificate.json").write_text(json.dumps({"model_sha256": sha256(content.encode())}))
