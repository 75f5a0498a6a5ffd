"""SAML: what a message costs to check and to make, whole requests through the routes, attacks, and a storm of logouts.

python bench/saml.py [--storm 10000]        one JSON line per figure; processor time, median of the rounds
"""

import argparse
import gc
import json
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]

from holdfast.identity.saml.bindings import (  # noqa: E402
    RESPONSE,
    from_envelope,
    from_form,
    from_redirect,
    to_envelope,
    to_redirect,
)
from holdfast.identity.saml.logouts import logout_response, read_logout_request  # noqa: E402
from holdfast.identity.saml.refusals import SamlRefused  # noqa: E402
from holdfast.identity.saml.responses import Asked, read_response  # noqa: E402
from identity.saml.hostile import TEXTS  # noqa: E402
from identity.saml.idp import (  # noqa: E402
    NOW,
    SP_URL,
    credentials_of,
    envelope,
    form,
    identity_provider,
    logout_request,
    query,
    service_provider,
    sign,
    signed_response,
)
from identity.saml.wrapping import OF_RESPONSES, WAYS, wrapped  # noqa: E402
from web.saml_site import Site, site  # noqa: E402

ROUNDS = 200


def told(figure: str, **values: float) -> None:
    print(json.dumps({"figure": figure, **{name: round(value, 3) for name, value in values.items()}}), flush=True)


def milliseconds(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Return the median processor time of a call."""
    work()
    spent = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        spent.append(time.process_time() - began)
    return 1000 * statistics.median(spent)


def codec() -> None:
    """Measure single messages."""
    sp, idp = service_provider(), identity_provider()
    soap, front = SP_URL + "/slo/soap", SP_URL + "/slo"
    in_envelope, in_query = envelope(sign(logout_request(to=soap))), query(logout_request())
    response = form(signed_response(sign_response=True))
    asked = Asked(id="_r1", at=NOW)
    answer = lambda: logout_response(sp, soap, "_o1", "_l1", complete=True, now=NOW)  # noqa: E731
    works: dict[str, Callable[[], object]] = {
        "verify a LogoutRequest, SOAP": lambda: read_logout_request(from_envelope(in_envelope), idp, soap, now=NOW),
        "verify a LogoutRequest, Redirect": lambda: read_logout_request(from_redirect(in_query), idp, front, now=NOW),
        "verify a Response and the assertion in it": lambda: read_response(
            from_form(response), idp, sp, asked, now=NOW
        ),
        "sign a LogoutResponse, SOAP": lambda: to_envelope(answer(), credentials_of()),
        "sign a LogoutResponse, Redirect": lambda: to_redirect(answer(), front, credentials_of(), kind=RESPONSE),
    }
    for figure, work in works.items():
        told(figure, ms=milliseconds(work))


def attacks() -> None:
    """Measure how long each attack takes until it is refused, and what memory is left behind."""
    sp, idp, asked = service_provider(), identity_provider(), Asked(id="_r1", at=NOW)
    texts: dict[str, str | bytes] = dict(TEXTS)
    for way in WAYS:
        texts[way] = wrapped(signed_response(sign_response=way in OF_RESPONSES), way)

    def refuse(text: str | bytes) -> None:
        try:
            read_response(from_form(form(text)), idp, sp, asked, now=NOW)
        except SamlRefused:
            return
        raise AssertionError("an attack was believed")

    spent = {name: milliseconds(lambda text=text: refuse(text), 7) for name, text in texts.items()}  # type: ignore[misc]
    before = resident()
    for _ in range(20):
        for text in texts.values():
            refuse(text)
    worst = max(spent, key=lambda name: spent[name])
    told(f"{len(texts)} attacks refused; the slowest: {worst}", ms=spent[worst])
    told(f"memory after {20 * len(texts)} more", mb=(resident() - before) / 2**20)


async def routes() -> None:
    """Measure whole requests, in process: routes, store in memory, sessions."""
    async with site() as made:
        spent = []
        for number in range(ROUNDS):
            browser = made.browser()
            request_id, relay_state, _ = await browser.leave()
            said = {"answers": request_id, "r_answers": request_id, "id": f"_{number}", "name": f"p{number}"}
            text = signed_response(sign_response=True, **said)
            began = time.process_time()
            answer = await browser.come_back(text, relay_state)
            spent.append(time.process_time() - began)
            assert answer.status_code == 303
        told("whole POST to /acs, Response and assertion signed", ms=1000 * statistics.median(spent))
        answered = [await _logged_off(made, number) for number in range(ROUNDS)]
        told("whole POST to /slo/soap that ends a logon", ms=1000 * statistics.median(answered))


async def _logged_off(made: Site, number: int) -> float:
    text = logout_request(id=f"_l{number}", name=f"p{number}", to=SP_URL + "/slo/soap")
    body = envelope(sign(text))
    began = time.process_time()
    answer = await made.browser().post("/saml/slo/soap", content=body)
    spent = time.process_time() - began
    assert answer.status_code == 200
    assert b"status:Success" in answer.content
    return spent


async def storm(count: int) -> None:
    """Send forged requests for a logout as fast as they are taken; who is told to come again does."""
    body = envelope(sign(logout_request(to=SP_URL + "/slo/soap"), "thief"))
    async with site() as made:
        seen: Counter[int] = Counter()
        numbers = iter(range(count))
        browser = made.browser()
        await browser.log_on()

        async def send() -> None:
            for _ in numbers:
                seen[await _status(made, body)] += 1

        before, began = resident(), time.perf_counter()
        worked = time.process_time()
        await _at_once(send, 400)
        took, worked = time.perf_counter() - began, time.process_time() - worked
        assert await browser.who() == "ann"
        told(f"a storm of {count} forged requests", checked=seen[400], told_to_come_again=seen[503], seconds=took)
        told("of that, processor time for each that was checked", ms=1000 * worked / max(seen[400], 1))
        told("memory it left behind", mb=(resident() - before) / 2**20)


async def _status(made: Site, body: bytes) -> int:
    """Post an envelope past any client, which would cost more than what is measured; return the status."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "https",
        "path": "/saml/slo/soap",
        "raw_path": b"/saml/slo/soap",
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"site.example")],
        "client": ("192.0.2.1", 1),
        "server": ("192.0.2.9", 443),
    }
    status = 0

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        nonlocal status
        status = message.get("status", status)

    await made.app(scope, receive, send)
    return status


async def _at_once(work: Callable[[], Awaitable[None]], count: int) -> None:
    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(work)


def resident() -> int:
    """Return how many bytes of memory this process has."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--storm", type=int, default=10_000)
    chosen = options.parse_args()
    codec()
    attacks()
    anyio.run(routes)
    anyio.run(storm, chosen.storm)
