"""Whatever partners and senders do in whatever order: the first authentic receipt decides, and nothing else does."""

from functools import partial
from typing import Final

import anyio
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.adapters.as2.world import certified
from holdfast.engine import open_engine
from holdfast.errors import SessionNotFound
from holdfast.flows import flow_kinds
from holdfast.flows.adapters.as2.awaited import Awaited
from holdfast.flows.adapters.as2.receipts import Expected, Receipt, Signed
from holdfast.flows.adapters.as2.signing import sign
from holdfast.flows.failures import BadReceipt

KEY = rsa.generate_private_key(65537, 2048)
CERTIFICATE = certified(KEY, "partner")
ID: Final = "<1@me>"
EXPECTED = Expected(message_id=ID, mics=("abc=, sha-256",), certificate=CERTIFICATE.public_bytes(Encoding.DER))
SIGNED = Signed(b"a", sign(b"a", KEY, CERTIFICATE, digest="sha256", pss=False, now=1_800_000_000.0))
RECEIPTS = {
    "processed": Receipt(ID, "a/b; processed", "abc=, sha-256", signed=SIGNED),
    "refused": Receipt(ID, "a/b; failed/failure: no space", "", signed=SIGNED),
    "other content": Receipt(ID, "a/b; processed", "def=, sha-256", signed=SIGNED),
    "forged": Receipt(ID, "a/b; processed", "abc=, sha-256", signed=Signed(b"b", SIGNED.signature)),
    "unsigned": Receipt(ID, "a/b; processed", "abc=, sha-256"),
}
FALSE: Final = ("forged", "unsigned")


async def told(awaited: Awaited, what: str) -> str:
    """Do something; return what came of it."""
    try:
        if what == "send":
            before = await awaited.begin("partner", EXPECTED, 60.0)
            return "sent" if before is None else f"processed before: {before.disposition}"
        if what == "forget":
            await awaited.forget()
            return "forgotten"
        stored = (await awaited.take(RECEIPTS[what])).receipt
        assert stored is not None
        return stored.disposition
    except SessionNotFound:
        return "not expected"
    except BadReceipt:
        return "false"


class Model:
    """What has to come of it. `receipt` is empty while none is there, None while none is expected."""

    def __init__(self) -> None:
        self.receipt: str | None = None

    def told(self, what: str) -> str:
        if what == "forget":
            self.receipt = None
            return "forgotten"
        if what == "send":
            if self.receipt == "processed":
                return f"processed before: {RECEIPTS['processed'].disposition}"
            self.receipt = ""
            return "sent"
        if self.receipt is None:
            return "not expected"
        if what in FALSE:
            return "false"
        self.receipt = self.receipt or what
        return RECEIPTS[self.receipt].disposition


async def compare(done: list[str]) -> None:
    model = Model()
    with anyio.fail_after(60):
        async with open_engine("memory://", kinds=flow_kinds()) as engine:
            for what in done:
                assert await told(Awaited(engine.manager, ID), what) == model.told(what), what


async def test_of_receipts_that_come_at_once_to_several_workers_one_decides() -> None:
    results: list[str] = []

    async def take(awaited: Awaited, what: str) -> None:
        results.append(await told(awaited, what))

    async with open_engine("memory://", kinds=flow_kinds()) as engine:
        await told(Awaited(engine.manager, ID), "send")
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                for what in ("processed", "refused", "other content") * 4:
                    tasks.start_soon(take, Awaited(engine.manager, ID), what)
    assert len(results) == 12
    assert len(set(results)) == 1


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(["send", "forget", *RECEIPTS]), max_size=12))
def test_the_first_authentic_receipt_decides(done: list[str]) -> None:
    anyio.run(partial(compare, done))
