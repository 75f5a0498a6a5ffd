"""Change properties of one entity of a sticky OData service, SAP's or any other's that says so in its $metadata.

    python examples/odata_client.py http://127.0.0.1:8000/svc "Orders('1')" Note=changed

ODATA_USER and ODATA_PASSWORD log on. Nothing stays locked: whatever goes wrong, the changes are discarded.
"""

import os
import sys

import anyio

from holdfast.errors import HoldfastError
from holdfast.odata.client import EntityChanged, Loss, ServiceError, StickyClient


def told(loss: Loss) -> None:
    """Say what has become of a session that is lost."""
    print(f"lost: {', '.join(loss.unsaved)}: {loss.why}", file=sys.stderr)
    if loss.locked_until is not None:
        print(f"locks may stay until {loss.locked_until:.0f}", file=sys.stderr)


async def change(url: str, path: str, changes: dict[str, str]) -> None:
    """Edit the entity, set the properties, save."""
    user = os.environ.get("ODATA_USER")
    auth = (user, os.environ.get("ODATA_PASSWORD", "")) if user else None
    async with StickyClient(url, auth=auth, on_loss=told) as client:
        async with client.edit(path) as entity:
            for name, value in changes.items():
                print(f"{name}: {entity.get(name)!r} -> {value!r}")
                entity[name] = value
        print(f"{path} is saved.")


def main() -> int:
    """Read the arguments, change, and say what was wrong if something was."""
    url, path, *pairs = sys.argv[1:]
    changes = dict(pair.split("=", 1) for pair in pairs)
    try:
        anyio.run(change, url, path, changes)
    except EntityChanged:
        print("somebody else has changed it meanwhile; nothing was saved", file=sys.stderr)
    except ServiceError as refused:
        print(refused, file=sys.stderr)
        for detail in refused.details:
            print(f"  {detail.target}: {detail.message}", file=sys.stderr)
    except HoldfastError as exc:
        print(f"{exc}\n{exc.hint}", file=sys.stderr)
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
