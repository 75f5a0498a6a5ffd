"""Find Chromium for the tests that need a browser; install it where that is allowed (root, Debian's packages).

Prints its path, or nothing and, on stderr, the reason. Tests that need it are then skipped with that reason.
"""

import shutil
import sys

from scripts.debian import install

NAMES = ("chromium", "chromium-browser", "google-chrome")


def found() -> str | None:
    """Return where a Chromium is."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def main() -> None:
    """Install it unless it is there."""
    if found() is None:
        install(["chromium"])
    path = found()
    if path is None:
        print("no Chromium: tests in a browser will be skipped; install one as `chromium`", file=sys.stderr)
    else:
        print(path)


if __name__ == "__main__":
    main()
