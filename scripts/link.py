"""Put this checkout on its virtual environment's path and write the `holdfast` command, without a build back end.

What `pip install --editable .` would do, with nothing but the standard library: `make run` needs no build tools.
"""

import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMMAND = "#!{python}\nimport sys\n\nfrom holdfast.__main__ import main\n\nsys.exit(main())\n"


def link() -> None:
    """Write the path file and the command."""
    Path(sysconfig.get_path("purelib"), "holdfast.pth").write_text(f"{ROOT / 'src'}\n")
    command = Path(sysconfig.get_path("scripts"), "holdfast")
    command.write_text(COMMAND.format(python=sys.executable))
    command.chmod(0o755)


if __name__ == "__main__":
    link()
