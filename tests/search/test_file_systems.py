from pathlib import Path

import pytest

from topo_search.search.storage.file_systems import network_file_system

MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:5 / /dev/shm rw - tmpfs tmpfs rw
41 22 0:40 / {root}/home rw shared:7 master:2 - nfs4 server:/home rw,vers=4.2
42 41 0:41 / {root}/home/local rw - ext4 /dev/vdb rw
43 22 0:42 / {root}/scratch\\040disk rw - lustre mds@tcp:/scratch rw
44 22 0:43 / {root}/ssh rw - fuse.sshfs host:/ rw
45 22 0:44 / {root}/gluster rw - fuse.glusterfs host:/v rw
46 22 0:45 / {root}/box rw - fuse.squashfuse box rw
47 22 0:46 / {root}/share rw - cifs //host/share rw
48 22 0:47 / {root}/twice rw - nfs host:/old rw
49 22 0:48 / {root}/twice rw - xfs /dev/vdc rw
50 22 0:49 / {root}/guest rw - 9p guest rw
a line that is none
"""


@pytest.fixture
def mounts(tmp_path):
    path = tmp_path / "mountinfo"
    path.write_text(MOUNTS.format(root=tmp_path))
    return path


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("home/me/run/study.db", "nfs4"),
        ("home", "nfs4"),
        ("homely/run", None),
        ("home/local/run", None),
        ("home/../elsewhere", None),
        ("scratch disk/run", "lustre"),
        ("ssh/run", "fuse.sshfs"),
        ("gluster", "fuse.glusterfs"),
        ("box/x", None),
        ("share/x", "cifs"),
        ("twice/x", None),
        ("guest", "9p"),
    ],
)
def test_the_longest_mount_point_decides(mounts, tmp_path, place, expected):
    assert network_file_system(tmp_path / place, mounts=mounts) == expected


def test_a_link_is_followed(mounts, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "home")
    assert network_file_system(tmp_path / "link" / "run", mounts=mounts) == "nfs4"


def test_without_the_kernels_list_nothing_is_claimed(tmp_path):
    assert network_file_system(tmp_path, mounts=tmp_path / "nowhere") is None


def test_a_relative_path_counts_from_the_working_folder(mounts, tmp_path, monkeypatch):
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "home")
    assert network_file_system(Path("run"), mounts=mounts) == "nfs4"


def test_sqlite_is_refused_there_and_a_journal_is_warned_of(monkeypatch, tmp_path):
    from topo_search.errors import InputError
    from topo_search.search import storage
    from topo_search.search.storage import opening

    monkeypatch.setattr(opening, "network_file_system", lambda path: "nfs4")
    with pytest.raises(InputError, match=r"network file system \(nfs4\), where SQLite loses data"):
        storage.open_storage(f"sqlite:///{tmp_path}/study.db")
    assert list(tmp_path.iterdir()) == []
    notice = storage.storage_notice(tmp_path / "study.journal")
    assert notice is not None
    assert "nfs4" in notice
    assert "\n" not in notice
    assert storage.storage_notice("postgresql://host/name") is None
    monkeypatch.setattr(opening, "network_file_system", lambda path: None)
    assert storage.storage_notice(tmp_path / "study.journal") is None
    assert not storage.has_study(storage.open_storage(f"sqlite:///{tmp_path}/study.db"), "run")
