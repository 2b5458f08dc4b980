import pytest

from topo_search.api import execution
from topo_search.executors.control_group import Limits, control_group_limits

# Control groups: (files below the root, text of /proc/self/cgroup, cores, bytes, bytes in use).
GROUPS = {
    "none": ({}, "", None, None, None),
    "version 2, at the container's own root": (
        {"cpu.max": "150000 100000\n", "memory.max": "2000000000\n", "memory.current": "500000000\n"},
        "0::/\n",
        1.5,
        2_000_000_000,
        500_000_000,
    ),
    "version 2, a limit of the group above": (
        {"a/cpu.max": "400000 100000\n", "a/b/cpu.max": "max 100000\n", "a/b/memory.max": "max\n"},
        "0::/a/b\n",
        4.0,
        None,
        None,
    ),
    "version 1": (
        {
            "cpu,cpuacct/job/cpu.cfs_quota_us": "200000\n",
            "cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
            "memory/job/memory.limit_in_bytes": "3000000000\n",
            "memory/job/memory.usage_in_bytes": "1000000000\n",
            "memory/memory.limit_in_bytes": "9223372036854771712\n",
        },
        "5:memory:/job\n4:cpu,cpuacct:/job\n1:name=systemd:/\n",
        2.0,
        3_000_000_000,
        1_000_000_000,
    ),
    "version 1 without limits": (
        {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
        "4:cpu:/\n",
        None,
        None,
        None,
    ),
    "garbage": ({"cpu.max": "many\n", "memory.max": "\n"}, "0::/\nnonsense\n", None, None, None),
}


@pytest.mark.parametrize("case", GROUPS)
def test_limits_of_control_groups(tmp_path, case):
    files, membership, *expected = GROUPS[case]
    for name, text in files.items():
        file = tmp_path / "root" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (tmp_path / "cgroup").write_text(membership)
    assert control_group_limits(membership=tmp_path / "cgroup", root=tmp_path / "root") == Limits(*expected)
    assert control_group_limits(membership=tmp_path / "absent", root=tmp_path) == Limits(None, None, None)


def test_the_cores_of_a_container_are_its_quota(monkeypatch):
    monkeypatch.setattr(execution, "control_group_limits", lambda: Limits(1.5, None, None))
    monkeypatch.setattr(execution.os, "sched_getaffinity", lambda _: range(64), raising=False)
    assert execution._available_cores() == 1
