"""T32: a request over plain HTTP with live cookies, and who says falsely that it came over TLS (R21, R51)."""

from pathlib import Path

from attacks.web_world import NOBODY, web_target
from attacks.world import head
from holdfast.web.address import Proxies
from holdfast.web.cookies import Cookie
from stores.stores import Place

PUBLIC = {"host": "site.example"}


async def test_over_plain_http_no_cookie_goes_out_or_counts_but_on_this_machine(sqlite: Place, tmp_path: Path) -> None:
    async with web_target(sqlite, tmp_path) as attacked:
        victim = attacked.browser()
        await victim.post("/login/ann")
        for _ in range(4):
            far = victim.copy()
            assert (await far.get("/", **PUBLIC)).json() == NOBODY, "by a public name it is not this machine alone"
            answer = await attacked.browser().post("/login/bob", **PUBLIC)
            assert "set-cookie" not in answer.headers
            prefixed = {f"__Host-{name}": value for name, value in victim.jar.items()}
            assert await attacked.browser(prefixed).seen() == NOBODY
        assert b"is not set over plain HTTP" in attacked.log()
        cookie = "; ".join(f"{name}={value}" for name, value in victim.jar.items())
        lines = (f"Cookie: {cookie}", "X-Forwarded-Proto: https", "Connection: close")
        for worker in (0, 1):
            answer = await attacked.raw(head(*lines, method="GET", target="/", host="site.example"), worker=worker)
            assert b'"who":null' in answer
            assert b"set-cookie" not in answer.lower()


async def test_a_trusted_proxy_alone_says_that_a_connection_is_safe(sqlite: Place, tmp_path: Path) -> None:
    settings = {"TRUSTED_PROXIES": '["127.0.0.1"]'}
    async with web_target(sqlite, tmp_path, settings=settings) as attacked:
        behind = {"x_forwarded_proto": "https", "x_forwarded_for": "192.0.2.1", **PUBLIC}
        answer = await attacked.browser().post("/login/ann", **behind)
        lines = answer.headers.get_list("set-cookie")
        assert len(lines) == 2
        assert all(line.startswith("__Host-") and line.endswith("; Secure") for line in lines)
        plain = {**behind, "x_forwarded_proto": "https, http"}
        assert "set-cookie" not in (await attacked.browser().post("/login/ann", **plain)).headers


def test_a_stranger_is_not_believed() -> None:
    headers = [(b"host", b"site.example"), (b"x-forwarded-proto", b"https")]
    stranger = {"scheme": "http", "client": ("203.0.113.9", 1), "server": ("10.0.0.1", 80), "headers": headers}
    assert Cookie("shop", proxies=Proxies(["10.0.0.0/8"])).put(stranger, "a") is None
