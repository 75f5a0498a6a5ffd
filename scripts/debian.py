"""Install Debian's packages where that is allowed: as root, with apt."""

import os
import shutil
import subprocess
from collections.abc import Sequence


def install(packages: Sequence[str]) -> None:
    """Try to; whoever needs them looks afterwards whether they are there."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    wanted = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *packages]
    for command in (["apt-get", "update", "--quiet"], wanted):
        subprocess.run(command, env=env, check=False, stdout=subprocess.DEVNULL)
