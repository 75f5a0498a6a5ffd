"""An identity provider on liblasso, in C: single logout by signed SOAP, to any process, and from an administrator."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx2
import pytest
from scripts.saml_peers import lasso

from e2e.cluster import free_port
from peers.administrator import logons
from peers.saml.peers import HERE, PATIENCE, Person, Sites, addresses, der_of, person, running, sites, write_key

METADATA = """<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="{url}/metadata">
<md:IDPSSODescriptor WantAuthnRequestsSigned="true" protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
<md:KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data>
<ds:X509Certificate>{certificate}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>
<md:SingleLogoutService Binding="urn:oasis:names:tc:SAML:2.0:bindings:SOAP" Location="{url}/slo"/>
<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="{url}/sso"/>
</md:IDPSSODescriptor></md:EntityDescriptor>"""


@asynccontextmanager
async def world(folder: Path, *, subject: str = "") -> AsyncIterator[tuple[str, Sites, Person]]:
    """Run the identity provider and two sites; give its address, them, and somebody logged on to both."""
    python = lasso()
    if python is None:
        pytest.skip("liblasso is not installed, and `make setup` may not install it")
    port, urls = free_port(), addresses(2)
    url = f"http://127.0.0.1:{port}"
    write_key(folder, "idp")
    (folder / "idp.xml").write_text(METADATA.format(url=url, certificate=der_of("idp")))
    with anyio.fail_after(PATIENCE):
        async with (
            sites(folder, urls, metadata=str(folder / "idp.xml"), subject=subject) as made,
            httpx2.AsyncClient() as client,
        ):
            for number, one in enumerate(urls):
                (folder / f"sp{number}.xml").write_bytes((await client.get(one + "/saml/metadata")).content)
            command = [python, str(HERE / "lasso_idp.py"), str(port), str(folder)]
            async with running(command, url + "/session", {}, folder / "idp.log"), person() as carol:
                for one in urls:
                    answer = await carol.go(one + "/saml/logon")
                    assert answer.status_code == 200, (carol.way, answer.text)
                    assert answer.json()["who"], (carol.way, answer.text)
                yield url, made, carol


@pytest.mark.parametrize("subject", ["", "uid"])
async def test_a_signed_request_over_the_back_channel_logs_off_at_every_site(
    tmp_path: Path, subject: str
) -> None:  # S8, R42 to R44, R47
    async with world(tmp_path, subject=subject) as (idp, both, carol):
        if subject:
            assert (await carol.seen(both.urls[0]))["who"] == "carol"
        told = (await carol.client.get(idp + "/logout")).json()
        assert sorted(told) == sorted([f"{url}/saml/metadata", "Success", True] for url in both.urls)
        assert [(await carol.seen(url))["who"] for url in both.urls] == [None, None]


async def test_an_administrators_command_ends_the_session_at_the_identity_provider_too(tmp_path: Path) -> None:  # S19
    async with world(tmp_path, subject="uid") as (idp, both, carol):
        shop, bank = both.urls
        carols = f"{idp}/metadata|carol|"

        async def there() -> int:
            return int((await carol.client.get(idp + "/session")).json())

        began = await there()
        [listed] = await logons(tmp_path, "list", "--user", carols, server=shop + "/admin")
        ended = await logons(tmp_path, "end", listed["handle"], server=shop + "/admin")
        partly = [f"systems that {idp}/metadata could not log off"]  # the bank
        assert ended == {"logons": 1, "sessions": 0, "stays": partly}
        assert [(await carol.seen(shop))["who"] for _ in range(6)] == [None] * 6  # at either process
        assert 0 < await there() < began
        assert (await carol.seen(bank))["who"] == "carol"  # this identity provider tells no others of it
        last = await logons(tmp_path, "end", "--user", carols, server=bank + "/admin")
        assert last == {"logons": 1, "sessions": 0, "stays": []}  # nothing is left anywhere
        assert await there() == 0


async def test_an_administrators_command_leaves_the_identity_provider_alone_if_it_is_told_to(
    tmp_path: Path,
) -> None:  # S19
    async with world(tmp_path, subject="uid") as (idp, both, carol):
        shop, bank = both.urls
        began = (await carol.client.get(idp + "/session")).json()
        ended = await logons(tmp_path, "end", "--user", f"{idp}/metadata|carol|", "--local", server=shop + "/admin")
        assert ended == {"logons": 1, "sessions": 0, "stays": []}
        assert [(await carol.seen(url))["who"] for url in (shop, bank)] == [None, "carol"]
        assert (await carol.client.get(idp + "/session")).json() == began


@pytest.mark.parametrize("local", [False, True])
async def test_with_the_store_alone_the_identity_provider_of_the_settings_is_told(
    tmp_path: Path, local: bool
) -> None:  # S19
    async with world(tmp_path, subject="uid") as (idp, both, carol):
        there = (await carol.client.get(idp + "/session")).json()
        bank = {name: value for name, value in both.envs[1].items() if name.startswith("HOLDFAST_")}
        options = ["--local"] if local else []
        ended = await logons(tmp_path, "end", "--user", f"{idp}/metadata|carol|", *options, **bank)
        partly = [f"systems that {idp}/metadata could not log off"]  # the shop
        assert ended == {"logons": 1, "sessions": 0, "stays": [] if local else partly}
        assert [(await carol.seen(url))["who"] for url in both.urls] == ["carol", None]
        now = (await carol.client.get(idp + "/session")).json()
        assert now == there if local else now < there


async def test_a_person_who_logs_off_tells_the_identity_provider_by_soap(tmp_path: Path) -> None:  # S8, R45
    async with world(tmp_path, subject="uid") as (idp, both, carol):
        there = (await carol.client.get(idp + "/session")).json()
        told = await carol.go(both.urls[0] + "/saml/logout", "POST")
        assert "logged out" in told.text, told.text
        assert (await carol.seen(both.urls[0]))["who"] is None
        assert (await carol.client.get(idp + "/session")).json() < there
