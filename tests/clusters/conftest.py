"""A cluster of several nodes on this machine, and a server that pretends to have a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

MEMORY = 100 << 20
# A node that is gone is found out in a few seconds, instead of in half a minute.
HEALTH = {"health_check_initial_delay_ms": 2000, "health_check_period_ms": 1000, "health_check_failure_threshold": 3}


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    """A head that does no work, and two nodes that do."""
    pytest.importorskip("ray.data")
    import ray
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "object_store_memory": MEMORY, "include_dashboard": False, "_system_config": HEALTH}
    made = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(2):
            made.add_node(num_cpus=1, object_store_memory=MEMORY)
        made.wait_for_nodes()
        yield made
    finally:
        ray.shutdown()
        made.shutdown()


@pytest.fixture
def server() -> Iterator[str]:
    """The URL of a server that answers by prompt and seed, slowly enough that something can happen meanwhile."""
    from clusters import kit
    from clusters.pretended import gpu_server

    with gpu_server.running(**kit.SERVER, pace=5) as url:
        yield url
