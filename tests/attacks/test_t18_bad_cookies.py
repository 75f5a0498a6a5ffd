"""T18: cookie headers that are too long, too many or not allowed at all, as bytes over a socket (R4, R17)."""

import time
from pathlib import Path

import pytest

from attacks.web_world import Browser, web_target
from attacks.world import head, statuses
from holdfast.errors import BadInput
from holdfast.web.cookies import Cookie, TwoCookies
from stores.stores import Place

JUNK = {
    "quotes": 'shop="; shop2="a',
    "no sign": "shop",
    "only signs": "=;=;=",
    "latin-1": "shop=\xe9\xff",
    "nothing": "",
    "spaces": " ;; shop = a ; ",
    "a tab": "shop=\ta",
    "sixty-four kB": "shop=" + "a" * 60_000,
    "ten thousand": "; ".join(f"c{number}=1" for number in range(6_000)),
    "dots": "$Version=1; shop=../../etc; $Path=/",
}


async def test_any_cookie_header_is_answered_and_makes_nobody_of_somebody(sqlite: Place, tmp_path: Path) -> None:
    async with web_target(sqlite, tmp_path) as attacked:
        victim = attacked.browser()
        await victim.post("/login/ann")
        for name, junk in JUNK.items():
            for worker in (0, 1):
                raw = head(f"Cookie: {junk}", "Connection: close", method="GET", target="/")
                answer = await attacked.raw(raw, worker=worker)
                assert statuses(answer)[:1] in ([200], [400], [431]), (name, answer[:200])
                assert b'"ann"' not in answer
        for bad in (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: shop=\0a\r\nConnection: close\r\n\r\n",):
            assert statuses(await attacked.raw(bad, worker=0))[:1] in ([400], [200])
        mine = "; ".join(f"{name}={value}" for name, value in victim.jar.items())
        many = "; ".join(f"c{number}=1" for number in range(1_000))
        assert (await Browser(attacked).get("/", cookie=f"{many}; {mine}; {many}")).json()["who"] == "ann"
        assert len(await attacked.records("security")) == 1


@pytest.mark.parametrize("header", [b"shop=a;" * 1 + b"x=1; " * 13_000, b";" * 65_536, b"shop" * 16_384, b" " * 65_536])
def test_sixty_four_kilobytes_are_read_in_five_milliseconds(header: bytes) -> None:
    cookie = Cookie("shop")
    scope = {
        "scheme": "http",
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 1),
        "headers": [(b"host", b"127.0.0.1"), (b"cookie", header)],
    }

    def once() -> float:
        began = time.process_time()
        cookie.read(scope)
        return time.process_time() - began

    assert min(once() for _ in range(20)) < 0.005


def test_a_cookie_that_browsers_would_drop_is_not_set() -> None:  # R17
    scope = {"scheme": "https", "client": ("192.0.2.1", 1), "headers": []}
    with pytest.raises(BadInput):
        Cookie("shop").put(scope, "a" * 4096)
    twice = {**scope, "headers": [(b"cookie", b"__Host-shop=a"), (b"cookie", b"__Host-shop=b")]}
    with pytest.raises(TwoCookies):
        Cookie("shop").read(twice)
