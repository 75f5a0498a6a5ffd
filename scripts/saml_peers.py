"""Find the identity providers that SAML is tested against; install them where allowed (root, Debian's packages).

SimpleSAMLphp, in PHP, for the front channel; liblasso, in C, for the back channel. Both stay outside of the package.
Prints what is there, and on stderr what is not. Tests that need it are then skipped with that reason.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from scripts.debian import install

SIMPLESAMLPHP = Path("/usr/share/simplesamlphp/www")
DEBIANS_PYTHON = ("/usr/bin/python3.11", "/usr/bin/python3")
PACKAGES = [
    *("simplesamlphp", "php-cli", "php-sqlite3", "php-xml", "php-mbstring", "php-curl", "php-zip"),
    "python3-lasso",
]


def simplesamlphp() -> tuple[str, Path] | None:
    """Return PHP and the folder of SimpleSAMLphp's pages."""
    php = shutil.which("php")
    return (php, SIMPLESAMLPHP) if php is not None and SIMPLESAMLPHP.is_dir() else None


def lasso() -> str | None:
    """Return a Python that has liblasso."""
    for python in DEBIANS_PYTHON:
        if Path(python).exists():
            tried = subprocess.run([python, "-c", "import lasso"], check=False, capture_output=True)
            if tried.returncode == 0:
                return python
    return None


def main() -> None:
    """Install them unless they are there."""
    if not (simplesamlphp() and lasso()):
        install(PACKAGES)
    for name, there in (("SimpleSAMLphp", simplesamlphp()), ("liblasso", lasso())):
        if there is None:
            print(f"no {name}: tests against it will be skipped; install {' '.join(PACKAGES)}", file=sys.stderr)
        else:
            print(name)


if __name__ == "__main__":
    main()
