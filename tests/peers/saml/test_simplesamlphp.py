"""SimpleSAMLphp as identity provider: SSO, and single logout over two sites of two processes each, from either side."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

import anyio
import httpx2
import pytest
from scripts.saml_peers import simplesamlphp

from e2e.cluster import free_port
from peers.saml.peers import HERE, PATIENCE, Sites, addresses, der_of, person, running, sites, write_key

BINDINGS = "urn:oasis:names:tc:SAML:2.0:bindings:"
REMOTE = """$metadata['{url}/saml/metadata'] = [
 'AssertionConsumerService' => [['index' => 0, 'Binding' => '{bindings}HTTP-POST', 'Location' => '{url}/saml/acs']],
 'SingleLogoutService' => [['Binding' => '{bindings}{logout}', 'Location' => '{url}/saml/slo']],
 'NameIDFormat' => 'urn:oasis:names:tc:SAML:2.0:nameid-format:transient', 'simplesaml.nameidattribute' => 'uid',
 'certData' => '{certificate}', 'saml20.sign.assertion' => true, 'saml20.sign.response' => {sign_response},
 'sign.logout' => true, 'validate.logout' => true, 'validate.authnrequest' => true,
];
"""


@asynccontextmanager
async def world(
    folder: Path, *, logout: str = "HTTP-Redirect", sign_response: bool = True
) -> AsyncIterator[tuple[str, Sites]]:
    """Run the identity provider and two sites; give its address and them."""
    found = simplesamlphp()
    if found is None:
        pytest.skip("SimpleSAMLphp is not installed, and `make setup` may not install it")
    php, pages = found
    url, urls = f"http://127.0.0.1:{free_port()}", addresses(2)
    for name in ("tmp", "sessions"):
        (folder / name).mkdir()
    for config in (HERE / "simplesamlphp").glob("*.php"):
        (folder / config.name).write_text(config.read_text())
    write_key(folder, "idp")
    described = [
        REMOTE.format(
            url=one,
            bindings=BINDINGS,
            logout=logout,
            certificate=der_of(f"sp{number}"),
            sign_response="true" if sign_response else "false",
        )
        for number, one in enumerate(urls)
    ]
    (folder / "saml20-sp-remote.php").write_text("<?php\n" + "".join(described))
    env = {
        "PEER": str(folder),
        "PEER_URL": url,
        "PEER_LOGOUT": BINDINGS + logout,
        "PHP_CLI_SERVER_WORKERS": "3",
        "SIMPLESAMLPHP_CONFIG_DIR": str(folder),
        "PEER_HOSTS": " ".join(urlsplit(one).netloc for one in [url, *urls]),
    }
    command = [php, "-d", f"session.save_path={folder}/sessions", "-S", url.removeprefix("http://"), "-t", str(pages)]
    with anyio.fail_after(PATIENCE):
        async with running(command, url, env, folder / "php.log"), httpx2.AsyncClient(timeout=30.0) as client:
            metadata = await client.get(url + "/saml2/idp/metadata.php")
            assert metadata.status_code == 200, metadata.text
            (folder / "idp.xml").write_bytes(metadata.content)
            async with sites(folder, urls, folder / "idp.xml", subject="uid") as made:
                yield url, made


@pytest.mark.parametrize(("logout", "sign_response"), [("HTTP-Redirect", True), ("HTTP-POST", False)])
async def test_one_logon_for_two_sites_and_one_logout_from_either_side(
    tmp_path: Path, logout: str, sign_response: bool
) -> None:  # S7, S8, S18, R43 to R45
    async with world(tmp_path, logout=logout, sign_response=sign_response) as (idp, both), person() as ann:
        shop, bank = both.urls

        async def log_on() -> None:
            for url in both.urls:
                answer = await ann.go(url + "/saml/logon")
                assert answer.json()["who"] == "ann", (ann.way, answer.text)

        await log_on()
        assert sum("loginuserpass" in step and step.startswith("POST") for step in ann.way) == 1  # S7: once for both
        said = await ann.seen(shop)
        assert said["roles"] == ["clerks", "all"]
        assert said["sid"]
        workers = {(await ann.seen(shop))["by"] for _ in range(20)}
        assert len(workers) == 2  # S18

        ann.way.clear()
        told = await ann.go(shop + "/saml/logout", "POST")  # from the shop
        assert "You are logged out." in told.text, (ann.way, told.text)
        assert any(step.startswith(("GET", "POST")) and f"{bank}/saml/slo" in step for step in ann.way), ann.way
        assert [(await ann.seen(url))["who"] for url in both.urls] == [None, None]

        await log_on()
        ann.way.clear()
        there = quote(f"{idp}/saml2/idp/metadata.php", safe="")  # from the identity provider
        await ann.go(f"{idp}/saml2/idp/initSLO.php?RelayState={there}")
        assert {url for url in both.urls if any(f"{url}/saml/slo" in step for step in ann.way)} == set(both.urls), (
            ann.way
        )
        assert [(await ann.seen(url))["who"] for url in both.urls] == [None, None]
        assert os.getpid() not in both.pids()
