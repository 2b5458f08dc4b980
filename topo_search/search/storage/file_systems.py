"""Whether a path lies on a network file system, where locks and a database's guarantees may not reach other hosts."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["file_system", "network_file_system"]

MOUNTS = Path("/proc/self/mountinfo")
NETWORK = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "afs", "coda", "ncpfs", "9p", "lustre", "gpfs", "beegfs"),
        *("ceph", "glusterfs", "orangefs", "pvfs2", "panfs", "wekafs", "davfs", "ocfs2", "gfs2", "s3fs", "sshfs"),
        # Folders of a virtual machine's host, where its locks end.
        *("virtiofs", "vboxsf", "vmhgfs", "prl_fs"),
        "daos",
    }
)
# File systems in user space tell their kind after the dot.
NETWORK_FUSE = frozenset(
    {
        *("sshfs", "glusterfs", "ceph", "ceph-fuse", "s3fs", "gcsfuse", "rclone", "davfs", "juicefs", "mfs", "moosefs"),
        *("beegfs", "cvmfs2", "goofys", "blobfuse", "blobfuse2", "smbnetfs", "curlftpfs"),
        *("mount-s3", "nfs", "gpfs", "seaweedfs", "alluxio-fuse", "dfuse", "grpcfuse", "vmhgfs-fuse"),
    }
)


def network_file_system(path: str | Path, *, mounts: Path = MOUNTS) -> str | None:
    """The type of the network file system that a path lies on, such as ``nfs4``.

    Args:
        path: need not exist; its nearest folder that exists counts.
        mounts: the kernel's list of mounts, as ``/proc/self/mountinfo``.

    Returns:
        ``None`` for a local file system, and where it cannot be told: systems without that list.
    """
    kind = file_system(path, mounts=mounts)
    return kind if kind is not None and _is_network(kind) else None


def file_system(path: str | Path, *, mounts: Path = MOUNTS) -> str | None:
    """The type of the file system that a path lies on, such as ``ext4``; arguments as above.

    Returns:
        ``None`` where it cannot be told.
    """
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        target = Path(path).resolve()
    except (OSError, RuntimeError):
        return None
    best = -1
    found: str | None = None
    for line in lines:
        point, kind = _mount(line)
        # Of two mounts on one point the later one hides the earlier.
        if point is not None and len(point.parts) >= best and target.is_relative_to(point):
            best, found = len(point.parts), kind
    return found


def _mount(line: str) -> tuple[Path | None, str]:
    """Mount point and type of a line: ``36 35 98:0 /root /point options [optional fields] - type source options``."""
    before, separator, after = line.partition(" - ")
    fields, kinds = before.split(" "), after.split(" ")
    if not separator or len(fields) < 5 or not kinds[0]:
        return None, ""
    # Blanks, tabs, newlines and backslashes in a path are written as octal numbers.
    point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[4])
    return Path(point), kinds[0]


def _is_network(kind: str) -> bool:
    family, _, own = kind.partition(".")
    return kind in NETWORK or (family in ("fuse", "fuseblk") and own in NETWORK_FUSE)
