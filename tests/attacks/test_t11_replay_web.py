"""T11: cookies that were copied are sent again after their session has ended or changed its ids (R8, R32 to R34)."""

import shutil
import time
from pathlib import Path

from attacks.web_world import NOBODY, Browser, WebTarget, web_target
from stores.stores import Place


async def victim_of(attacked: WebTarget, who: str = "ann") -> Browser:
    victim = attacked.browser()
    await victim.post(f"/login/{who}")
    await victim.post("/write?mine=1")
    await victim.post("/bank/write?mine=2")
    return victim


async def get_nothing(thief: Browser) -> None:
    """Try the cookies at both applications several times: at every worker."""
    for path in ("/", "/bank/") * 3:
        for name in ("shop", "bank", "holdfast-logon"):
            alone = Browser(thief.target, {name: thief.jar[name]})
            assert await alone.seen(path) == NOBODY
        assert await thief.copy().seen(path) == NOBODY
    assert (await thief.copy().get("/me")).status_code == 401


async def test_old_cookies_get_nothing(each_place: Place, tmp_path: Path) -> None:
    async with web_target(each_place, tmp_path) as attacked:
        victim = await victim_of(attacked)
        thief = victim.copy()
        await victim.post("/logout")
        await get_nothing(thief)

        victim = await victim_of(attacked, "bob")
        thief = victim.copy()
        assert (await attacked.browser().post("/end/bob")).json() == 1
        await get_nothing(thief)

        victim = await victim_of(attacked, "cleo")
        other = await victim_of(attacked, "cleo")
        thief = other.copy()
        assert (await victim.post("/end/cleo?others=1")).json() == 1, "after a change of the password"
        await get_nothing(thief)
        assert (await victim.seen())["who"] == "cleo"


async def test_at_each_change_of_privilege_the_old_ids_are_dead_at_once(
    each_place: Place, tmp_path: Path
) -> None:  # R8
    async with web_target(each_place, tmp_path) as attacked:
        victim = attacked.browser()
        await victim.post("/write?a=1")
        transitions = ("/login/ann", "/login/ann", "/login/ann?level=2", "/login/bob", "/logout", "/login/ann")
        for path in transitions:
            before = victim.copy()
            assert (await victim.post(path)).status_code == 200
            for name in ("shop", "holdfast-logon"):
                assert before.jar.get(name) != victim.jar.get(name), path
            for name in before.jar:
                for place in ("/", "/bank/") * 2:
                    assert (await Browser(attacked, {name: before.jar[name]}).seen(place))["who"] is None, (path, name)
            if "login" in path:
                assert (await victim.seen("/bank/"))["who"] == path.split("/")[2].partition("?")[0]
                await victim.post(f"/bank/write?{path[-1]}=1")


async def test_a_backup_brings_no_logon_back_from_before_the_instant_it_is_told(
    sqlite: Place, tmp_path: Path
) -> None:  # R35: the epoch beats the backup
    file, folders = Path(sqlite.url.removeprefix("sqlite:///")), [tmp_path / name for name in ("before", "restored")]
    for folder in folders:
        folder.mkdir()
    async with web_target(sqlite, folders[0]) as attacked:
        settings = {"KEYS": attacked.key}
        victim = await victim_of(attacked)
    backup = file.with_suffix(".backup")
    shutil.copy(file, backup)
    jar = dict(victim.jar)
    async with web_target(sqlite, folders[0], settings=settings) as attacked:
        victim = attacked.browser(jar)
        assert (await victim.seen())["who"] == "ann", "a restart logs nobody off"
        await victim.post("/logout")
        await get_nothing(attacked.browser(jar))
    for path in file.parent.glob(f"{file.name}*"):
        path.unlink()
    shutil.copy(backup, file)
    async with web_target(sqlite, folders[1], settings={**settings, "NOT_BEFORE": f"{time.time()}"}) as attacked:
        await get_nothing(attacked.browser(jar))
        fresh = await victim_of(attacked)
        assert (await fresh.seen())["who"] == "ann"
