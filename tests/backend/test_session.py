"""The driver of one logon, against a scripted back end (A2, A13, A21)."""

from collections.abc import Callable

import httpx2
import pytest

from holdfast.backend.session import BackendSession, ContextGone, LogonGone, TokenInvalid
from holdfast.backend.system import Door, System
from holdfast.backend.wire import AnswerLost, Call, Wire
from holdfast.config import SystemSettings
from holdfast.errors import BackendError, BackendUnavailable, ConfigurationError, LogonFailed

Handler = Callable[[httpx2.Request], httpx2.Response]
ICM = {"sap-err-id": "ICMENOSESSION", "content-type": "text/html"}


class Script:
    """Answers requests in the order given and keeps what was asked."""

    def __init__(self, *answers: httpx2.Response | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def reply(
    status: int = 200, headers: dict[str, str] | list[tuple[str, str]] | None = None, text: str = ""
) -> httpx2.Response:
    return httpx2.Response(status, headers=headers or {}, text=text)


def door() -> Door:
    return Door(
        logon=(Call(method="GET", path="/first"), Call(method="GET", path="/second")),
        logoff=Call(method="GET", path="/logoff"),
        token=lambda keeps, route: Call(method="GET", path=f"/token{route}", headers={"keeps": str(keeps)}),
        idle_limit=lambda answer: float(answer.headers.get("idle", 0)) or None,
    )


def session(script: Script, **settings: object) -> BackendSession:
    made = SystemSettings(url="https://sap.example", user="me", password="geheim", **settings)  # type: ignore[arg-type]
    wire = Wire(made.url, httpx2.MockTransport(script))
    return BackendSession.fresh(System("dev", made, wire, door(), clock=lambda: 1000.0), "read")


LOGON = [("set-cookie", "SAP_SESSIONID_X_001=a%2fb==; path=/"), ("x-csrf-token", "T1"), ("idle", "1800")]
GET = Call(method="GET", path="/x")
POST = Call(method="POST", path="/x")


async def test_a_logon_keeps_cookies_and_token_and_sends_credentials_once() -> None:
    # A2, A21
    script = Script(reply(headers=LOGON), reply(), reply())
    backend = session(script)
    await backend.log_on()
    await backend.send(GET)
    await backend.send(POST)
    first, second, third = script.asked
    assert first.headers["authorization"].startswith("Basic ")
    assert (first.url.params["sap-client"], first.headers["x-csrf-token"]) == ("001", "Fetch")
    assert "authorization" not in second.headers
    assert second.headers["cookie"] == "SAP_SESSIONID_X_001=a%2fb=="
    assert "x-csrf-token" not in second.headers
    assert third.headers["x-csrf-token"] == "T1"
    assert (backend.logon.version, backend.logon.idle_limit) == (1, 1800.0)


async def test_a_door_that_is_not_there_is_not_tried_again_and_what_it_set_is_kept() -> None:
    # A22: no session resource on 7.50
    script = Script(reply(404, LOGON[:1]), reply(headers=LOGON[1:]), reply(headers=LOGON))
    backend = session(script)
    await backend.log_on()
    assert [request.url.path for request in script.asked] == ["/first", "/second"]
    assert "authorization" not in script.asked[1].headers
    assert script.asked[1].headers["cookie"] == "SAP_SESSIONID_X_001=a%2fb=="
    await backend.log_on()
    assert script.asked[2].url.path == "/second"
    assert backend.logon.version == 2


async def test_a_token_is_given_as_bearer() -> None:
    script = Script(reply(headers=LOGON))
    await session(script, token="jwt").log_on()
    assert script.asked[0].headers["authorization"] == "Bearer jwt"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (reply(401), "refused the logon of ME"),
        (reply(200, {"content-type": "text/html; charset=utf-8"}), "page for a browser"),
        (reply(302, {"location": "https://idp.example"}), "page for a browser"),
    ],
)
async def test_a_refused_logon_is_said_without_the_password(answer: httpx2.Response, says: str) -> None:
    # A21
    with pytest.raises(LogonFailed, match=says) as error:
        await session(Script(answer)).log_on()
    assert "geheim" not in repr(error.value)


async def test_a_logon_nobody_answers_sensibly_is_an_error() -> None:
    with pytest.raises(BackendError, match="unexpected status"):
        await session(Script(reply(500))).log_on()
    with pytest.raises(BackendError, match="none of the ADT services"):
        await session(Script(reply(404), reply(404))).log_on()


async def test_a_system_without_a_user_is_a_matter_of_configuration() -> None:
    made = SystemSettings(url="https://sap.example")
    system = System("dev", made, Wire(made.url, httpx2.MockTransport(Script())), door())
    with pytest.raises(ConfigurationError, match="has no user"):
        await BackendSession.fresh(system, "read").log_on()


async def on(*answers: httpx2.Response | Exception) -> tuple[BackendSession, Script]:
    script = Script(reply(headers=LOGON), *answers)
    backend = session(script)
    await backend.log_on()
    return backend, script


CONTEXT = [("set-cookie", "sap-contextid=SID%3a1; path=/")]
REQUIRED = {"x-csrf-token": "Required", "content-type": "text/plain"}


async def test_a_refused_token_is_fetched_in_the_same_session_and_the_request_sent_once_more() -> None:
    # A13
    backend, script = await on(reply(403, REQUIRED), reply(headers={"x-csrf-token": "T2"}), reply(201))
    assert (await backend.send(POST)).status == 201
    assert [request.url.path for request in script.asked[1:]] == ["/x", "/token0", "/x"]
    assert script.asked[2].headers["cookie"] == "SAP_SESSIONID_X_001=a%2fb=="
    assert script.asked[3].headers["x-csrf-token"] == "T2"
    assert backend.logon.version == 2


async def test_a_token_refused_again_is_invalid() -> None:
    # A13
    backend, _ = await on(reply(403, REQUIRED), reply(headers={"x-csrf-token": "T2"}), reply(403, REQUIRED))
    with pytest.raises(TokenInvalid, match=r"^CSRF token invalid"):
        await backend.send(POST)


async def test_a_missing_token_is_fetched_before_the_first_change() -> None:
    script = Script(reply(headers=LOGON[:1]), reply(headers={"x-csrf-token": "T9"}), reply())
    backend = session(script)
    await backend.log_on()
    await backend.send(POST)
    assert [request.url.path for request in script.asked] == ["/first", "/token0", "/x"]


async def test_a_token_for_a_session_with_a_context_is_fetched_without_ending_it() -> None:
    context = [("set-cookie", "sap-contextid=SID%3a1; path=/")]
    backend, script = await on(
        reply(headers=context), reply(403, REQUIRED), reply(headers={"x-csrf-token": "T2"}), reply()
    )
    await backend.send(GET)
    await backend.send(POST)
    assert script.asked[3].headers["keeps"] == "True"
    assert script.asked[3].headers["sap-contextid"] == "SID%3a1"


async def test_cookies_of_error_answers_count_too() -> None:
    # A21: a client that ignores them presents a dead context for ever (ADT §2.1)
    gone = [*ICM.items(), ("set-cookie", "sap-contextid=0; expires=Thu, 01-Jan-1970 00:00:01 GMT; path=/")]
    backend, script = await on(
        reply(headers=[("set-cookie", "sap-contextid=SID%3a1; path=/")]), reply(400, gone), reply()
    )
    await backend.send(GET)
    assert backend.logon.context == "SID%3a1"
    with pytest.raises(ContextGone, match=r"^Session expired"):
        await backend.send(GET)
    assert backend.logon.context == ""
    await backend.send(GET)
    assert "sap-contextid" not in script.asked[-1].headers["cookie"]
    assert "sap-contextid" not in script.asked[-1].headers


@pytest.mark.parametrize(
    "answer",
    [
        reply(400, ICM),
        reply(400, {"content-type": "text/html"}, "<html>Session no longer exists</html>"),
        reply(400, {"content-type": "text/html"}, "<h1>400 Session Timed Out</h1>"),
    ],
)
async def test_every_way_to_say_that_a_context_is_gone_is_understood(answer: httpx2.Response) -> None:
    # ADT §5.2
    backend, _ = await on(answer)
    with pytest.raises(ContextGone):
        await backend.send(GET)


async def test_an_adt_error_that_mentions_a_session_is_not_taken_for_a_lost_one() -> None:
    backend, _ = await on(reply(400, {"content-type": "application/xml"}, "<x>session not found</x>"))
    assert (await backend.send(GET)).status == 400


@pytest.mark.parametrize("answer", [reply(401), reply(200, {"content-type": "text/html"}), reply(302)])
async def test_a_logon_that_is_gone_is_said_and_used_no_more(answer: httpx2.Response) -> None:
    # A13, A21
    backend, script = await on(answer)
    with pytest.raises(LogonGone, match=r"^Session expired") as gone:
        await backend.send(GET)
    assert gone.value.refused
    with pytest.raises(LogonGone):
        await backend.send(GET)
    assert len(script.asked) == 2


async def test_a_new_security_session_is_not_ours() -> None:
    # A13
    backend, _ = await on(reply(headers=[("set-cookie", "SAP_SESSIONID_X_001=other; path=/")]))
    with pytest.raises(LogonGone, match="new security session") as gone:
        await backend.send(GET)
    assert not gone.value.refused


async def test_what_was_never_sent_is_told_from_what_may_have_arrived() -> None:
    # A6
    backend, _ = await on(
        httpx2.ConnectError("no"), httpx2.ReadError("cut"), httpx2.RemoteProtocolError("cut"), ConnectionResetError()
    )
    with pytest.raises(BackendUnavailable) as never:
        await backend.send(GET)
    assert not isinstance(never.value, AnswerLost)
    for _ in range(3):
        with pytest.raises(AnswerLost):
            await backend.send(GET)


async def test_overload_is_no_loss() -> None:
    page = reply(400, {"content-type": "text/html"}, "<h1>Service cannot be reached</h1>")
    backend, _ = await on(reply(503), page, reply())
    for _ in range(2):
        with pytest.raises(BackendUnavailable, match="no free work process"):
            await backend.send(GET)
    assert (await backend.send(GET)).status == 200


async def test_logging_off_a_session_that_is_gone_is_fine_and_silence_is_not() -> None:
    # A4
    backend, _ = await on(reply(401))
    await backend.log_off()
    assert backend.logon.broken
    backend, _ = await on(reply(503))
    with pytest.raises(BackendUnavailable):
        await backend.log_off()


async def test_a_session_is_plain_values_and_back() -> None:
    backend, script = await on(reply(headers=CONTEXT), reply())
    await backend.send(GET)
    again = BackendSession(backend.system, type(backend.logon).load(backend.dump()))
    await again.send(GET)
    assert script.asked[-1].headers["cookie"] == "SAP_SESSIONID_X_001=a%2fb==; sap-contextid=SID%3a1"
    assert not again.changed


async def test_no_representation_shows_a_secret() -> None:
    backend, _ = await on(reply())
    answer = await backend.send(GET)
    shown = repr((backend, backend.logon, backend.system, answer, backend.system.settings))
    assert not [secret for secret in ("geheim", "a%2fb", "T1") if secret in shown]
