"""A worker process that is going to be killed: it gets as far as it is told, says so on stdout, and waits.

Usage: victim.py STORE URL STAGE HOLD_LIMIT, with STAGE `locked` or `writing`.
"""

import json
import sys

import anyio

from holdfast.adt.desk import Caller
from holdfast.adt.embedded import open_embedded
from holdfast.config import Settings, SystemSettings

NAME = "ZCL_VICTIM"
TEXT = """CLASS zcl_victim DEFINITION PUBLIC. "nonce killed
ENDCLASS.
CLASS zcl_victim IMPLEMENTATION.
ENDCLASS."""


def settings(store: str, url: str, hold_limit: float) -> Settings:
    """Return the settings both workers use."""
    system = SystemSettings(url=url, user="DEVELOPER", password="Holdfast1")
    return Settings(
        store=f"sqlite:///{store}",
        systems={"dev": system},
        default_system="dev",
        lease_ttl=1.5,
        lock_hold_limit=hold_limit,
    )


async def main(store: str, url: str, stage: str, hold_limit: str) -> None:
    """Lock, and write if told to; then wait for the end."""
    me = Caller("me")
    async with open_embedded(settings(store, url, float(hold_limit))) as opened:
        abap = opened.abap
        session_id = (await abap.get_session(me))["session_id"]
        await abap.create(me, "class", NAME, session_id=session_id)
        handle = (await abap.lock(me, "class", NAME, session_id=session_id))["lock_handle"]
        print(json.dumps({"session_id": session_id, "lock_handle": handle}), flush=True)
        if stage == "writing":
            await abap.update(me, "class", NAME, TEXT, lock_handle=handle, session_id=session_id)
        await anyio.sleep_forever()


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:])
