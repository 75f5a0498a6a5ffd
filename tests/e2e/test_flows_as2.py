"""`holdfast serve` takes receipts: at another server than the one that sent the message, which was killed."""

from collections.abc import Iterator
from pathlib import Path

import anyio
import anyio.to_thread
import httpx2
import pytest

from e2e.flows_world import Receiver
from e2e.test_flows_serve import KNOWN, PATIENCE_S, at, servers
from flows.adapters.as2.world import make_files, running_partner

FLOW = """\
flow: partner
sender: {{{{adapter: http, path: /orders, forward: [as2-disposition, as2-message-id]}}}}
receivers:
  partner:
    adapter: as2
    url: '{{url}}/as2'
    auth: {{{{basic: erp-user}}}}
    from: me
    to: you
    key: {folder}/me.p12
    passphrase: key
    partner_certificate: {folder}/partner.pem
    message_id: ${{{{headers['x-id']}}}}
    receipt_url: https://here.example/flows/as2/receipts
steps:
- call: partner
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    keys = tmp_path / "keys"
    keys.mkdir()
    return make_files(keys)


@pytest.fixture
def partner(folder: Path) -> Iterator[Receiver]:
    with running_partner(folder) as receiver:
        yield receiver


async def test_a_receipt_is_taken_when_the_server_that_sent_the_message_is_dead(
    tmp_path: Path, partner: Receiver, folder: Path
) -> None:
    # F16, F17: and the message is not sent again
    text = FLOW.format(folder=folder)
    secret = {"flow_credential_key_secret": "open sesame"}
    async with (
        servers(tmp_path, partner, {"partner.yaml": text}, **secret) as workers,
        httpx2.AsyncClient(timeout=PATIENCE_S) as client,
    ):
        with anyio.fail_after(2 * PATIENCE_S):
            sent = await client.post(at(workers, 0, "/flows/orders"), headers={**KNOWN, "x-id": "7"}, content=b"order")
            assert sent.status_code == 200, sent.text
            assert "as2-disposition" not in sent.headers
            await workers.kill(0)
            url = at(workers, 1, "/flows/as2/receipts")
            told = await anyio.to_thread.run_sync(partner.tell, "deliver", {"number": 0, "url": url})
            assert told == {"status": 200}
            again = await client.post(at(workers, 1, "/flows/orders"), headers={**KNOWN, "x-id": "7"}, content=b"order")
            assert again.headers["as2-disposition"].endswith("; processed")
            assert again.headers["as2-message-id"] == sent.headers["as2-message-id"]
            forged = await client.post(url, content=b"nothing", headers={"content-type": "multipart/report"})
            assert (forged.status_code, forged.json()["code"]) == (400, "bad_input")
            assert "open sesame" not in sent.text + forged.text
    assert len(partner.tell()["requests"]) == 1
