"""ADT §1 and §2: credentials, cookies, CSRF token, session resource, discovery, content negotiation."""

import re

import pytest
from lxml import etree

from simulator.wire import GRAPH, GREETER, SESSIONS, Build, Caller, System, error_of

REALM = 'Basic realm="SAP NetWeaver Application Server [HFT/001]"'
LOGON_URLS = [GRAPH, "/sap/bc/adt/core/discovery", "/sap/bc/adt/discovery", SESSIONS, f"{GREETER}/source/main"]


# A24, ADT §2.1, §2.2, §2.3
@pytest.mark.parametrize("url", LOGON_URLS)
@pytest.mark.parametrize("word", ["fetch", "Fetch"])
async def test_any_read_is_a_logon_and_a_fetch_gives_the_token(system: System, url: str, word: str) -> None:
    caller = system.stranger()
    answer = await caller.call("GET", url, credentials=True, headers={"x-csrf-token": word})
    assert answer.status_code == 200
    lines = answer.headers.get_list("set-cookie")
    assert any(re.fullmatch(r"SAP_SESSIONID_HFT_001=[\w%]+; path=/; HttpOnly", line) for line in lines)
    assert any(line.startswith("sap-usercontext=sap-client=001&sap-language=EN") for line in lines)
    caller.token = answer.headers["x-csrf-token"]
    assert (await caller.call("POST", "/sap/bc/adt/activation")).status_code != 403


@pytest.mark.parametrize(("path", "status"), [("/sap/bc/adt/no/such", 404), ("/sap/bc/adt/activation", 405)])
async def test_the_token_is_handed_out_on_error_answers_too(caller: Caller, path: str, status: int) -> None:
    answer = await caller.call("GET", path, headers={"x-csrf-token": "fetch"})
    assert (answer.status_code, answer.headers["x-csrf-token"]) == (status, caller.token)


async def test_fetching_again_with_the_cookie_keeps_session_and_token(system: System, caller: Caller) -> None:
    answer = await caller.call("GET", GRAPH, headers={"x-csrf-token": "fetch"})
    assert answer.headers["x-csrf-token"] == caller.token
    assert answer.headers.get_list("set-cookie") == []
    assert len(await system.sm05()) == 1


async def test_fetching_without_the_cookie_opens_a_second_session(system: System, caller: Caller) -> None:
    second = await system.caller()
    assert second.token != caller.token
    assert len(await system.sm05()) == 2
    assert (await system.admin("GET", "/counters"))["logons"] == 2


# A24, ADT §2.2
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("token", ["", "wrong", "fetch"])
async def test_a_wrong_or_missing_token_is_answered_exactly_so(caller: Caller, method: str, token: str) -> None:
    answer = await caller.call(method, GREETER, headers={"x-csrf-token": token})
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-csrf-token"] == "Required"
    assert answer.content == b"CSRF token validation failed"
    assert len(answer.content) == 28


async def test_the_token_of_another_session_does_not_fit(system: System, caller: Caller) -> None:
    caller.token = (await system.caller("ALICE")).token
    assert (await caller.call("POST", f"{GREETER}?_action=LOCK", "stateful")).status_code == 403
    assert await system.sm04() == []


async def test_by_a_switch_a_stale_token_is_401_with_a_logon_page(build: Build) -> None:
    caller = await build(stale_token_status=401).caller()
    answer = await caller.call("POST", GREETER, headers={"x-csrf-token": "stale"})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, REALM)
    assert answer.text.startswith("<!DOCTYPE html>")


# A24, ADT §2.6
@pytest.mark.parametrize(
    "wrong", ["no credentials", "wrong password", "unknown user", "not base64", "another scheme", "another client"]
)
async def test_wrong_credentials_are_401_with_the_realm(system: System, wrong: str) -> None:
    caller = system.stranger("NOBODY" if wrong == "unknown user" else "DEVELOPER")
    if wrong == "wrong password":
        caller = system.stranger(password="nope")
    elif wrong == "not base64":
        caller.credentials = "Basic %%%"
    elif wrong == "another scheme":
        caller.credentials = "Negotiate abc"
    url = GRAPH + ("?sap-client=800" if wrong == "another client" else "")
    answer = await caller.call("GET", url, credentials=wrong != "no credentials")
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, REALM)
    assert "Logon Error Message" in answer.text
    assert answer.headers.get_list("set-cookie") == []
    assert await system.sm05() == []


async def test_by_a_switch_missing_credentials_get_a_logon_page_with_200(build: Build) -> None:
    answer = await build(html_logon_page=True).stranger().call("GET", GRAPH)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")


@pytest.mark.parametrize("language", ["DE", "EN\r\nX-Evil: 1", "ü", "ENGLISH"])
async def test_the_language_is_taken_over_only_if_it_is_one(system: System, language: str) -> None:
    answer = await system.stranger().call("GET", GRAPH, credentials=True, params={"sap-language": language})
    told = "DE" if language == "DE" else "EN"
    assert f"sap-usercontext=sap-client=001&sap-language={told}; path=/" in answer.headers.get_list("set-cookie")


# A24, ADT §2.4
async def test_the_session_resource_tells_links_and_idle_time(build: Build) -> None:
    system = build(context_timeout_s=900)
    caller = await system.caller()
    answer = await caller.call("GET", SESSIONS)
    assert answer.headers["content-type"].startswith("application/vnd.sap.adt.core.http.session.v3+xml")
    root = etree.fromstring(answer.content)
    names = {"http": "http://www.sap.com/adt/http", "atom": "http://www.w3.org/2005/Atom"}
    hrefs = root.xpath("atom:link/@href", namespaces=names)
    assert re.fullmatch(r"/sap/bc/adt/core/http/sessions/[0-9A-F]{32}", str(hrefs[0]))
    assert hrefs[1:] == ["/sap/public/bc/icf/logoff", "/sap/bc/adt/core/http/systeminformation"]
    assert root.xpath("//http:property[@name='inactivityTimeout']/text()", namespaces=names) == ["900"]


async def test_the_announced_idle_time_may_be_wrong(build: Build) -> None:
    caller = await build(context_timeout_s=60, announced_timeout_s=3600).caller()
    assert '"inactivityTimeout">3600<' in (await caller.call("GET", SESSIONS)).text


async def test_an_older_media_type_of_the_session_is_answered_in_kind(caller: Caller) -> None:
    wanted = "application/vnd.sap.adt.core.http.session.v1+xml"
    answer = await caller.call("GET", SESSIONS, headers={"accept": wanted})
    assert answer.headers["content-type"].startswith(wanted)


# A24, ADT §2.5
async def test_system_information_names_system_user_and_client(caller: Caller) -> None:
    found = (await caller.call("GET", "/sap/bc/adt/core/http/systeminformation")).json()
    assert found["systemID"] == "HFT"
    assert found["userName"] == "DEVELOPER"
    assert (found["client"], found["language"]) == ("001", "EN")


# ADT §2.3, §22.3
async def test_discovery_lists_the_media_types_of_each_collection(caller: Caller) -> None:
    answer = await caller.call("GET", "/sap/bc/adt/discovery", headers={"accept": "application/atomsvc+xml"})
    root = etree.fromstring(answer.content)
    app = "{http://www.w3.org/2007/app}"
    collections = {found.get("href"): found for found in root.iter(f"{app}collection")}
    accepted = {href: [a.text for a in found.iter(f"{app}accept")] for href, found in collections.items()}
    assert "application/vnd.sap.adt.oo.classes.v4+xml" in accepted["/sap/bc/adt/oo/classes"]
    assert "application/vnd.sap.adt.programs.programs.v2+xml" in accepted["/sap/bc/adt/programs/programs"]
    assert "/sap/bc/adt/checkruns" in accepted


# ADT §1
@pytest.mark.parametrize("accept", ["*/*", "application/*", "application/xml;q=0.1, text/html"])
async def test_wild_accept_headers_are_satisfied(caller: Caller, accept: str) -> None:
    assert (await caller.call("GET", GREETER, headers={"accept": accept})).status_code == 200


async def test_an_accept_header_nobody_can_satisfy_is_406(caller: Caller) -> None:
    answer = await caller.call("GET", GREETER, headers={"accept": "image/png"})
    assert error_of(answer) == (406, "ExceptionResourceNotAcceptable", "SADT_RESOURCE/044")
    assert "application/vnd.sap.adt.oo.classes.v4+xml" in answer.text


async def test_cookies_are_taken_byte_for_byte(system: System, caller: Caller) -> None:
    caller.cookies["SAP_SESSIONID_HFT_001"] = caller.cookies["SAP_SESSIONID_HFT_001"].replace("%3D", "=")
    assert (await caller.call("GET", GRAPH)).status_code == 401
