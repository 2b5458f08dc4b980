"""A script: what a driver on this machine sees of the Ray cluster at HOST:PORT, as one line of JSON."""

from __future__ import annotations

import json
import sys


def main(address: str) -> None:
    """Attach as a driver would, print nodes, CPUs and GPUs, leave."""
    import logging

    import ray

    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL, configure_logging=False)
        # Ray gives neither of these types.
        alive = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
        resources = ray.cluster_resources()  # type: ignore[no-untyped-call]
    except Exception as error:
        # Whatever Ray raises is what the user has to know.
        print(json.dumps({"error": " ".join(str(error).split())[:300] or type(error).__name__}))
        return
    print("\n" + json.dumps({"nodes": len(alive), "cpus": resources.get("CPU", 0), "gpus": resources.get("GPU", 0)}))


if __name__ == "__main__":
    main(sys.argv[1])
