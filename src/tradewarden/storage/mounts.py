"""Which file system a directory is on: SQLite's locks and shared memory hold on a local one only.

Pure functions over the mount table's text (Linux, `proc_pid_mountinfo(5)`).
"""

from __future__ import annotations

import re
from pathlib import Path

from tradewarden.errors import ConfigurationError

_SHARED = re.compile(
    r"nfs4?|cifs|smb[23]?|smbfs|ncpfs|afs|coda|9p|ceph|glusterfs|lustre|gpfs|beegfs|orangefs|pvfs2"
    r"|gfs2?|ocfs2|davfs"
    r"|fuse\.(sshfs|nfs|ceph|ceph-fuse|glusterfs|s3fs|s3ql|goofys|rclone|gcsfuse|mount-s3|davfs2?"
    r"|blobfuse2?|juicefs|moosefs|mfs|seaweedfs|curlftpfs|smbnetfs|osxfs|grpcfuse)"
)
_OCTAL = re.compile(r"\\([0-7]{3})")
_MOUNT_TABLE = Path("/proc/self/mountinfo")


def refuse_shared(path: Path) -> None:
    """Raise `ConfigurationError` when `path` lies on a file system that several hosts may share."""
    try:
        table = _MOUNT_TABLE.read_text("utf-8", "surrogateescape")
    except OSError:
        return  # no Linux: nothing to read, nothing to say
    shared = shared_file_system(table, path.resolve())
    if shared:
        raise ConfigurationError(
            f"{path} is on a network file system ({shared}), where SQLite loses data; use a local "
            "directory, or set TRADEWARDEN_DATABASE_URL to a PostgreSQL database"
        )


def shared_file_system(table: str, path: Path) -> str:
    """Return the type of the file system under `path` when hosts may share it, else ""."""
    kind = file_system(table, path)
    return kind if _SHARED.fullmatch(kind) else ""


def file_system(table: str, path: Path) -> str:
    """Return the type of the file system that `path` (absolute, without links) is on."""
    longest, found = -1, ""
    for line in table.splitlines():
        left, _, right = line.partition(" - ")
        fields, kind = left.split(" "), right.split(" ", 1)[0]
        if len(fields) > 4 and kind:  # noqa: PLR2004  (field 5 is the mount point)
            point = Path(_OCTAL.sub(lambda code: chr(int(code[1], 8)), fields[4]))
            if len(point.parts) >= longest and path.is_relative_to(point):
                longest, found = len(point.parts), kind
    return found
