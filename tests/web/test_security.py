"""Logons and what hangs below them: begun, attached, listed, ended by their owner, an administrator or their issuer."""

from dataclasses import dataclass

import pytest

from holdfast.core.keeper import Keeper
from holdfast.core.manager import Manager
from holdfast.core.model import Reason
from holdfast.core.sealing import KeyRing, new_key_text
from holdfast.core.session import Session
from holdfast.errors import SessionEnded, SessionNotFound
from holdfast.identity.facts import Identity, InvalidToken
from holdfast.stores.memory import memory_store
from holdfast.testing.clock import Clock
from holdfast.web.kinds import KINDS
from holdfast.web.security import Logon, Logons, logon_of

IDP, OTHER_IDP = "https://idp.example", "https://other.example"
ANN = Logon(subject="ann", method="password", at=1000.0, address="192.0.2.1", device="Firefox", roles=("clerk",))


@dataclass
class World:
    clock: Clock
    manager: Manager
    keeper: Keeper
    logons: Logons

    async def settle(self) -> None:
        for _ in range(3):
            await self.keeper.turn()

    async def is_live(self, session: Session) -> bool:
        try:
            await self.manager.get(session.ref)
        except SessionNotFound:
            return False
        return True


@pytest.fixture
def world() -> World:
    clock = Clock(1000.0)
    manager = Manager(memory_store(), KeyRing.parse(new_key_text()), KINDS, worker="one", clock=clock)
    return World(clock, manager, Keeper(manager), Logons(manager))


def at_idp(subject: str, sid: str, issuer: str = IDP) -> Logon:
    return Logon(issuer=issuer, subject=subject, method="oidc", at=1000.0, sid=sid)


async def test_one_logon_serves_several_applications_each_with_data_of_its_own(world: World) -> None:  # S1, S2
    security = await world.logons.begin(ANN)
    shop, bank = [await world.logons.open_http(app, below=security) for app in ("shop", "bank")]
    assert shop.id is not None
    assert logon_of(await world.logons.load_http(shop.id, "shop")) == ANN
    with pytest.raises(SessionNotFound):
        await world.logons.load_http(shop.id, "bank")
    assert shop.above == bank.above == (security.key,)


async def test_a_visitors_session_is_attached_under_a_new_id_and_keeps_what_it_marked(world: World) -> None:  # S3, T2
    http = await world.logons.open_http("shop", client="192.0.2.1")
    planted = str(http.id)
    assert logon_of(http) is None
    await world.manager.merge(http, {"basket": ["tea"], "draft": "x"})
    security = await world.logons.begin(ANN)
    await world.logons.attach(http, security, keeps=lambda name: name != "draft")
    assert http.id != planted
    with pytest.raises(SessionNotFound):
        await world.logons.load_http(planted, "shop")
    fresh = await world.logons.load_http(str(http.id), "shop")
    assert (fresh.content.get("basket"), fresh.content.get("draft")) == (["tea"], None)
    assert logon_of(fresh) == ANN
    assert fresh.above == (security.key,)


async def test_ending_a_logon_ends_all_below_it_at_once(world: World) -> None:  # S4
    security = await world.logons.begin(ANN)
    below = [await world.logons.open_http(app, below=security) for app in ("shop", "bank")]
    assert await world.logons.end(security)
    assert not await world.logons.end(security)
    assert [await world.is_live(session) for session in (security, *below)] == [False] * 3
    with pytest.raises(SessionEnded):
        await world.logons.open_http("mail", below=security)


async def test_a_logon_ends_with_the_last_session_below_it(world: World) -> None:  # S4, S21
    security = await world.logons.begin(ANN)
    shop = await world.logons.open_http("shop", below=security)
    world.clock.now += 20.0
    await world.settle()
    await world.manager.end(shop, Reason.CLIENT)
    world.clock.now += 20.0
    await world.settle()
    assert not await world.is_live(security)


async def test_a_logon_that_nothing_came_of_ends_after_its_linger(world: World) -> None:  # S21
    security = await world.logons.begin(ANN)
    for _ in range(3):
        world.clock.now += 15.0
        await world.settle()
        assert await world.is_live(security)
    world.clock.now += 15.0
    await world.settle()
    assert not await world.is_live(security)


async def test_a_logon_and_all_below_it_end_when_the_issuer_says_even_if_the_policy_says_later(
    world: World,
) -> None:  # R28
    security = await world.logons.begin(ANN, ends_at=1600.0)
    shop = await world.logons.open_http("shop", below=security)
    world.clock.now = 1599.9
    assert await world.is_live(shop)
    world.clock.now = 1600.0
    assert not await world.is_live(shop)


async def test_an_issuers_logout_ends_its_session_or_all_of_a_person_and_never_another_issuers(
    world: World,
) -> None:  # R43, R46, R47
    async def opened(*logons: Logon) -> list[Session]:
        return [await world.logons.begin(logon) for logon in logons]

    first, second, other, namesake = await opened(
        at_idp("ann", "s1"), at_idp("ann", "s2"), at_idp("bob", "s3"), at_idp("ann", "s1", OTHER_IDP)
    )
    assert await world.logons.end_at_issuer(IDP, subject="bob", sid="s1") == 0
    assert await world.logons.end_at_issuer(IDP, sid="s1") == 1
    assert [await world.is_live(one) for one in (first, second, other, namesake)] == [False, True, True, True]
    assert await world.logons.end_at_issuer(IDP, subject="ann") == 1
    assert [await world.is_live(one) for one in (second, other, namesake)] == [False, True, True]
    assert await world.logons.end_at_issuer(IDP, subject="ann", sid="s1") == 0


async def test_people_see_their_logons_and_end_any_of_them_by_a_handle_that_opens_nothing(
    world: World,
) -> None:  # R7, R36, S13
    here = await world.logons.begin(ANN)
    await world.logons.open_http("shop", below=here)
    world.clock.now += 5.0
    there = await world.logons.begin(Logon(subject="ann", method="password", at=1005.0, device="Phone"))
    bobs = await world.logons.begin(Logon(subject="bob", method="password", at=1005.0))
    listed = await world.logons.listed("ann")
    assert [(one.logon.device, one.applications) for one in listed] == [("Phone", ()), ("Firefox", ("shop",))]
    with pytest.raises(SessionNotFound):
        await world.logons.load(listed[0].handle)
    assert not await world.logons.end_listed("ann", bobs.key.hex())
    assert await world.logons.end_listed("ann", listed[0].handle)
    assert [await world.is_live(one) for one in (here, there, bobs)] == [True, False, True]


async def test_all_other_logons_of_a_person_or_all_of_them_can_be_ended(world: World) -> None:  # R33, R34
    mine, *others = [await world.logons.begin(ANN) for _ in range(4)]
    assert await world.logons.end_others(mine) == 3
    assert await world.is_live(mine)
    assert await world.logons.end_all("ann") == 1
    assert not any([await world.is_live(one) for one in (mine, *others)])


async def test_one_call_ends_five_hundred_sessions_of_a_person(world: World) -> None:  # R33
    others = await world.logons.begin(Logon(subject="bob", method="password", at=1000.0))
    for _ in range(50):
        security = await world.logons.begin(ANN)
        for app in range(9):
            await world.logons.open_http(f"app {app}", below=security)
    manager = world.manager
    assert len([record async for record in manager.each("owner", "ann")]) == 500
    assert await world.logons.end_all("ann") == 50
    now = world.clock.now
    for record in [record async for record in manager.each("owner", "ann")]:
        assert await manager.store.sessions.load(record.ref, now=now) is None
    keeper = Keeper(manager)
    while await keeper.turn():
        pass
    assert [record async for record in manager.each("owner", "ann")] == []
    assert await world.logons.load(str(others.id)) is not None


async def test_who_proves_more_goes_on_under_a_new_id_and_nobody_becomes_somebody_else(world: World) -> None:  # S14, R8
    security = await world.logons.begin(ANN)
    shop = await world.logons.open_http("shop", below=security)
    before = str(security.id)
    world.clock.now += 100.0
    stronger = Logon(subject="ann", method="oidc", at=1100.0, level=2)
    after = await world.logons.renew(security, stronger)
    with pytest.raises(SessionNotFound):
        await world.logons.load(before)
    assert logon_of(await world.logons.load(after)) == stronger
    assert await world.is_live(shop)
    with pytest.raises(SessionNotFound, match="another person"):
        await world.logons.renew(security, Logon(subject="bob", method="password", at=1100.0))


async def test_the_logon_that_is_one_too_many_takes_the_place_of_another(world: World) -> None:  # S13, R74
    for _ in range(101):
        await world.logons.begin(ANN)
        world.clock.now += 0.01
    listed = await world.logons.listed("ann")
    assert len(listed) == 100
    assert min(one.created_at for one in listed) > 1000.0


async def test_an_issuers_names_of_person_and_session_are_found_however_the_person_is_called_here(
    world: World,
) -> None:  # R43, S8
    def named(subject: str, name_id: str, sid: str, issuer: str = IDP) -> Logon:
        return Logon(issuer=issuer, subject=subject, method="saml", at=1000.0, sid=sid, name_id=name_id)

    logons = [
        named("ann", "_x", "1"),
        named("ann", "_x", "2"),
        named("ann", "_y", "1"),
        named("ann", "_x", "1", "other"),
    ]
    first, second, another, foreign = [await world.logons.begin(logon) for logon in logons]
    assert await world.logons.end_at_issuer(IDP, name_id="_x", sid="3") == 0
    assert await world.logons.end_at_issuer(IDP, name_id="_x", sid="1") == 1
    assert [await world.is_live(one) for one in (first, second, another, foreign)] == [False, True, True, True]
    assert await world.logons.end_at_issuer(IDP, name_id="_x") == 1
    assert [await world.is_live(one) for one in (second, another, foreign)] == [False, True, True]


async def test_a_renewed_logon_is_found_by_the_issuers_new_names_and_ends_no_later(world: World) -> None:  # S14, R28
    old = Logon(issuer=IDP, subject="ann", method="saml", at=1000.0, sid="1", name_id="_x")
    security = await world.logons.begin(old, ends_at=1600.0)
    await world.logons.renew(
        security, Logon(issuer=IDP, subject="ann", method="saml", at=1010.0, sid="2", name_id="_y")
    )
    assert await world.logons.end_at_issuer(IDP, name_id="_x") == 0
    await world.logons.renew(
        security,
        Logon(issuer=IDP, subject="ann", method="saml", at=1020.0, sid="3", name_id="_z"),
        ends_at=1100.0,
    )
    assert security.record.ends_at == 1100.0
    assert await world.logons.end_at_issuer(IDP, name_id="_z", sid="3") == 1


def token(subject: str, *, sid: str = "", at: float = 1000.0) -> Identity:
    claims = {"iat": at, **({"sid": sid} if sid else {})}
    return Identity(issuer=IDP, subject=subject, client="agent", claims=claims)


async def test_an_agent_works_below_the_logon_of_its_person(world: World) -> None:  # S6, M6
    first = await world.logons.begin(at_idp("ann", "s1"))
    world.clock.now += 1.0
    second = await world.logons.begin(at_idp("ann", "s2"))
    for identity, expected in (
        (token("ann", sid="s1"), first),
        (token("ann", sid="s2"), second),
        (token("ann"), second),
    ):
        found = await world.logons.of_bearer(identity)
        assert found is not None
        assert found.key == expected.key


async def test_a_token_without_a_logon_is_one_of_its_own_and_goes_with_its_issuers_session(world: World) -> None:  # S6
    own = await world.logons.of_bearer(token("ann", sid="s9"))
    assert own is not None
    logon = logon_of(own)
    assert logon is not None
    assert (logon.method, logon.sid) == ("bearer", "s9")
    again = await world.logons.of_bearer(token("ann", sid="s9"))
    assert again is not None
    assert again.key == own.key
    assert await world.logons.end_at_issuer(IDP, sid="s9") == 1
    assert not await world.is_live(own)


async def test_a_token_of_nobody_has_no_logon(world: World) -> None:
    assert await world.logons.of_bearer(Identity()) is None
    assert await world.logons.of_bearer(Identity(subject="a1b2c3d4")) is None


@pytest.mark.parametrize("sid", ["", "s1"])
async def test_a_token_from_before_the_logout_begins_nothing_and_a_fresh_one_does(world: World, sid: str) -> None:
    # S6, T11
    security = await world.logons.begin(at_idp("ann", sid))
    world.clock.now = 1100.0
    await world.logons.end(security)
    world.clock.now = 1101.0
    with pytest.raises(InvalidToken, match="before its person logged off"):
        await world.logons.of_bearer(token("ann", sid=sid, at=1099.0))
    assert await world.logons.of_bearer(token("ann", sid=sid, at=1101.0)) is not None
    assert await world.logons.of_bearer(token("bob", sid="s3", at=1000.0)) is not None


async def test_a_logon_that_is_renewed_at_one_application_is_renewed_at_the_others_for_who_brings_its_id(
    world: World,
) -> None:  # S14, R8
    security = await world.logons.begin(ANN)
    shop = await world.logons.open_http("shop", below=security, logon_id=str(security.id))
    old, again = str(shop.id), Logon(subject="ann", method="password", at=1500.0, level=2)
    logon_id = await world.logons.renew(security, again)
    with pytest.raises(SessionNotFound):
        await world.logons.load_http(old, "shop")
    assert await world.logons.follow(shop, security, logon_id=logon_id)
    assert not await world.logons.follow(shop, security, logon_id=logon_id)
    assert shop.id != old
    assert logon_of(await world.logons.load_http(str(shop.id), "shop")) == again


async def test_visitors_of_one_network_count_as_one_client(world: World) -> None:  # T19
    for number in range(1, 4):
        await world.logons.open_http("shop", client=f"2001:db8::{number}")
    await world.logons.open_http("shop", client="192.0.2.1")
    clients = [record.client async for record in world.manager.each("kind", "http")]
    assert sorted(clients) == ["192.0.2.1", *["2001:db8::/64"] * 3]
