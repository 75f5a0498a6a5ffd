"""What applications are told of the life of sessions (S17)."""

import pytest

from holdfast.core.events import Event
from holdfast.core.model import Reason
from holdfast.errors import ConfigurationError
from web.test_middleware import Site, site

__all__ = ["site"]

OCCASIONS = ("created", "attached", "rotated", "expired", "ended")


async def test_the_life_of_sessions_is_told_step_by_step(site: Site) -> None:
    heard: list[tuple[str, str, str, str]] = []
    for occasion in OCCASIONS:

        @site.security.on(occasion)
        def note(event: Event, occasion: str = occasion) -> None:
            heard.append((occasion, event.kind, event.owner, str(event.reason or "")))

    async def new() -> list[tuple[str, str, str, str]]:
        for _ in range(4):
            await site.running.engine.keeper.turn()
        told, heard[:] = list(heard), []
        return told

    async with site.browser() as browser:
        await browser.get("shop", "/put?basket=tea")
        assert await new() == [("created", "http", "", "")]
        await browser.get("shop", "/login/ann")
        assert await new() == [("created", "security", "ann", ""), ("attached", "http", "", "")]
        await browser.get("shop", "/login/ann")
        assert await new() == [("rotated", "security", "ann", ""), ("rotated", "http", "ann", "")]
        await browser.get("shop", "/logout")
        assert await new() == [("ended", "security", "ann", "logout"), ("ended", "http", "ann", "parent")]
        await browser.get("shop", "/put?basket=tea")
        site.clock.now += 2000.0
        await site.running.engine.keeper.sweep()
        assert await new() == [("created", "http", "", ""), ("expired", "http", "", "idle")]


async def test_a_listener_that_fails_harms_nobody(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    @site.security.on("created")
    def fails(event: Event) -> None:
        raise RuntimeError("no")

    async with site.browser() as browser:
        assert (await browser.get("shop", "/put?a=1")).status_code == 200
    assert "a listener failed" in caplog.text
    await site.running.logons.end_all("nobody", Reason.ADMIN)


async def test_an_occasion_that_is_none_is_refused(site: Site) -> None:
    with pytest.raises(ConfigurationError):
        site.security.on("sometimes")(print)  # type: ignore[arg-type]
