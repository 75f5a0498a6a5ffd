"""The adapter `as2` against libas2, an AS2 partner that we did not write, in a process of its own (F16)."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from e2e.flows_world import Receiver, started
from e2e.mcp_drivers import NODE
from flows.adapters.as2.served import worker
from flows.adapters.as2.world import OURS, flow, make_files, sent
from holdfast.flows.adapters.as2.compressing import compress
from holdfast.flows.failures import DispositionRefused
from holdfast.flows.runtime import Message, StepFailed

ORDER = "UNA:+.? 'UNB+UNOA:1+ME+YOU'\r\nUNZ+1'"
EDIFACT = Message(body=ORDER, headers={"Content-Type": "application/edifact"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_files(tmp_path_factory.mktemp("as2"))


@pytest.fixture(scope="module")
def process(folder: Path) -> Iterator[Receiver]:
    with started(NODE, Path(__file__).with_name("as2_libas2.mjs"), folder) as receiver:
        yield receiver


@pytest.fixture
def partner(process: Receiver) -> Receiver:
    process.tell("reset")
    return process


def to(partner: Receiver, more: str = "") -> str:
    return f"url: '{partner.url}/as2', auth: {{basic: anna}}, {OURS}{more}"


@pytest.mark.parametrize("encrypt", ["none", "aes128-cbc", "aes192-cbc", "aes256-cbc", "3des, weak: true"])
@pytest.mark.parametrize("sign", ["sha256", "sha384", "sha512"])
async def test_it_decrypts_and_verifies_and_its_signed_receipt_is_verified(
    partner: Receiver, folder: Path, sign: str, encrypt: str
) -> None:
    result = await sent(folder, to(partner, f", sign: {sign}, encrypt: {encrypt}"), EDIFACT)
    [request] = partner.tell()["requests"]
    assert (request["processed"], request["content"].rstrip()) == (True, ORDER)  # it adds an end of line
    assert result.headers["as2-mic"].partition(",")[0] == request["mic"]
    assert result.headers["as2-disposition"].endswith("; processed")


async def test_what_somebody_else_has_signed_it_refuses_and_that_is_told(partner: Receiver, folder: Path) -> None:
    ours = to(partner).replace("key: me.key, certificate: me.pem", "key: other.key, certificate: other.pem")
    with pytest.raises(StepFailed, match="the partner did not process the message: failed/failure") as caught:
        await sent(folder, ours, EDIFACT)
    assert isinstance(caught.value.cause, DispositionRefused)
    assert [one["processed"] for one in partner.tell()["requests"]] == [False]


async def test_its_receipt_comes_later_by_itself(partner: Receiver, folder: Path) -> None:
    async with worker(folder, partner, ", wait: 20") as here:
        result = await here.send("later")
        assert result.headers["as2-disposition"].endswith("; processed")
        assert [one["content"].rstrip() for one in partner.tell()["requests"]] == ["later"]


@pytest.mark.parametrize(("reuse", "sessions"), [("none", 4), ("on_exchange", 2), ("on_integration_flow", 1)])
async def test_it_sees_sessions_as_the_setting_says(partner: Receiver, folder: Path, reuse: str, sessions: int) -> None:
    # F1, F5
    async with flow(folder, to(partner), steps="- send: partner\n- send: partner", reuse=reuse) as running:
        for _ in range(2):
            await running.process(EDIFACT)
    assert (partner.authentications, partner.sessions) == (sessions, sessions)
    assert len(partner.tell()["requests"]) == 4


@pytest.mark.parametrize("content", [b"", b"hello\r\n" * 1000, bytes(range(256))])
def test_another_reader_finds_what_was_compressed(partner: Receiver, content: bytes) -> None:
    # RFC 3274
    assert httpx2.post(f"{partner.url}/compressed", content=compress(content)).content == content
