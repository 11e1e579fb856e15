"""A directory on a network file system is seen in the mount table."""

from __future__ import annotations

from pathlib import Path

import pytest

from tradewarden.errors import ConfigurationError
from tradewarden.storage import mounts

TABLE = r"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:21 / /proc rw - proc proc rw
24 22 0:40 / /srv/nfs rw,relatime - nfs4 server:/export rw,vers=4.2
25 24 8:2 / /srv/nfs/local rw shared:2 master:3 - xfs /dev/sdb rw
26 22 0:41 / /mnt/my\040share rw - cifs //server/share rw
27 22 0:42 / /home/me/remote rw - fuse.sshfs me@server: rw
28 22 0:43 / /over rw - ext4 /dev/sdc rw
29 28 0:44 / /over rw - 9p host rw
30 22 0:45 / /fuse rw - fuse.fuse-overlayfs fuse-overlayfs rw
31 22 0:46 / /gone
nonsense
"""


@pytest.mark.parametrize(
    ("path", "shared"),
    [
        ("/", ""),
        ("/var/lib/tradewarden", ""),
        ("/srv/nfs", "nfs4"),
        ("/srv/nfs/data", "nfs4"),
        ("/srv/nfsdata", ""),
        ("/srv/nfs/local/data", ""),
        ("/mnt/my share/data", "cifs"),
        ("/home/me/remote/x", "fuse.sshfs"),
        ("/over/data", "9p"),
        ("/fuse/data", ""),
        ("/gone/data", ""),
    ],
)
def test_the_innermost_mount_decides(path: str, shared: str) -> None:
    """The longest mount point above a path counts, the later one of two at the same point."""
    assert mounts.shared_file_system(TABLE, Path(path)) == shared


def test_the_refusal_names_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who keeps the database on a share is told which variable to set."""
    table = tmp_path / "mountinfo"
    table.write_text(f"1 1 0:1 / / rw - ext4 x rw\n2 1 0:2 / {tmp_path} rw - nfs x rw\n")
    monkeypatch.setattr(mounts, "_MOUNT_TABLE", table)
    with pytest.raises(ConfigurationError, match=r"\(nfs\).*TRADEWARDEN_DATABASE_URL"):
        mounts.refuse_shared(tmp_path / "secrets")
    mounts.refuse_shared(Path("/"))


def test_without_a_mount_table_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a system that has no such table the check stays silent."""
    monkeypatch.setattr(mounts, "_MOUNT_TABLE", tmp_path / "none")
    mounts.refuse_shared(tmp_path)
