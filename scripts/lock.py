"""Write `requirements/*.lock`: the newest versions that fit, pinned with hashes, without naming any registry."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FLAGS = "--quiet --upgrade --generate-hashes --strip-extras --allow-unsafe --no-header --no-emit-index-url"
SILENT = "--no-emit-find-links --no-emit-trusted-host"


def compile_lock(source: str, target: str, folder: Path, *extras: str) -> None:
    """Resolve `source` with its `extras` into `target`, both relative to `folder`."""
    command = [sys.executable, "-m", "piptools", "compile", *FLAGS.split(), *SILENT.split()]
    command += [f"--extra={extra}" for extra in extras]
    subprocess.run([*command, "-o", target, source], cwd=folder, check=True)


if __name__ == "__main__":
    compile_lock("pyproject.toml", "requirements/run.lock", ROOT)
    extras = ("redis", "postgres", "metrics", "passwords", "saml", "soap", "sqlalchemy")
    compile_lock("pyproject.toml", "requirements/all.lock", ROOT, *extras)
    compile_lock("dev.in", "dev.lock", ROOT / "requirements")
