"""Find Chromium for the tests that need a browser; install it where that is allowed (root, Debian's packages).

Prints its path, or nothing and, on stderr, the reason. Tests that need it are then skipped with that reason.
"""

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome")
INSTALL = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", "chromium"]


def found() -> str | None:
    """Return where a Chromium is."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def main() -> None:
    """Install it unless it is there."""
    if found() is None and os.geteuid() == 0 and shutil.which("apt-get"):
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["apt-get", "update", "--quiet"], INSTALL):
            subprocess.run(command, env=env, check=False, stdout=subprocess.DEVNULL)
    path = found()
    if path is None:
        print("no Chromium: tests in a browser will be skipped; install one as `chromium`", file=sys.stderr)
    else:
        print(path)


if __name__ == "__main__":
    main()
