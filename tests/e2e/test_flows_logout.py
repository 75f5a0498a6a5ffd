"""A message that a person sends ends with their logon: its session at the receiver is logged off."""

import time
from pathlib import Path

import anyio
import httpx2

from e2e.flows_world import Receiver, until
from e2e.test_abap_logout import worlds
from holdfast.web.security import Logon

FLOW = """
flow: orders
http_session_reuse: on_exchange
sender: {{adapter: http, path: /orders}}
receivers:
  erp: {{adapter: http, url: "{url}/whole/a", auth: {{basic: erp-user}}, log_off: "{url}/logoff"}}
steps:
  - call: erp
  - script: staying:stay
"""
STAYING = """
import anyio


async def stay(message):
    await anyio.sleep(60)
"""


async def test_who_logs_off_ends_the_messages_they_have_sent_and_their_sessions_at_receivers(
    tmp_path: Path, erp: Receiver
) -> None:
    # S6, F1
    (tmp_path / "orders.yaml").write_text(FLOW.format(url=erp.url))
    (tmp_path / "staying.py").write_text(STAYING)
    credentials = {"flow_credential_erp_user_user": "anna", "flow_credential_erp_user_secret": "secret"}
    files = {"flows__files": f'["{tmp_path}/orders.yaml"]'}
    async with worlds(tmp_path, **files, **credentials) as (world, login, logons):
        person = Logon(issuer=login.url, subject="ann", method="oidc", at=time.time(), sid="s1")
        ann = await logons.begin(person)
        answers = {}

        async def send(name: str, sid: str) -> None:
            headers = {"authorization": f"Bearer {login.token(name, sid)}"}
            url = world.url.removesuffix("/mcp") + "/flows/orders"
            answers[name] = await http.post(url, headers=headers)

        async with httpx2.AsyncClient(timeout=60) as http, anyio.create_task_group() as tasks:
            tasks.start_soon(send, "ann", "s1")
            tasks.start_soon(send, "bob", "")
            await until(lambda: len(erp.tell()["values"]) == 2)
            await logons.end(ann)
            await until(lambda: "ann" in answers)
            await until(lambda: len(erp.tell()["values"]) == 1)
            assert "bob" not in answers, "the message of somebody else goes on"
            tasks.cancel_scope.cancel()
    assert (answers["ann"].status_code, answers["ann"].json()["code"]) == (500, "session_ended")
