"""SimpleSAMLphp as identity provider: SSO, and single logout over two sites of two processes each, from either side."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

import anyio
import pytest
from scripts.saml_peers import simplesamlphp

from e2e.cluster import free_port
from peers.administrator import logons
from peers.saml.peers import HERE, PATIENCE, Sites, addresses, der_of, person, running, sites, write_key

BINDINGS = "urn:oasis:names:tc:SAML:2.0:bindings:"
REMOTE = """$metadata['{url}/saml/metadata'] = [
 'AssertionConsumerService' => [['index' => 0, 'Binding' => '{bindings}HTTP-POST', 'Location' => '{url}/saml/acs']],
 'SingleLogoutService' => [['Binding' => '{bindings}{logout}', 'Location' => '{url}/saml/slo']],
 'NameIDFormat' => 'urn:oasis:names:tc:SAML:2.0:nameid-format:transient', 'simplesaml.nameidattribute' => 'uid',
 'keys' => [{keys}], 'assertion.encryption' => {encrypts},
 'saml20.sign.assertion' => true, 'saml20.sign.response' => {sign_response},
 'sign.logout' => true, 'validate.logout' => true, 'validate.authnrequest' => true,
];
"""
KEY = "['type' => 'X509Certificate', 'signing' => {0}, 'encryption' => !{0}, 'X509Certificate' => '{1}'],"


def keys_of(number: int, *, cipher: str) -> str:
    """Return a site's keys as the identity provider's configuration has them."""
    return KEY.format("true", der_of(f"sp{number}")) + (KEY.format("false", der_of("spe")) if cipher else "")


@asynccontextmanager
async def world(
    folder: Path, *, logout: str = "HTTP-Redirect", sign_response: bool = True, cipher: str = "", **saml: str
) -> AsyncIterator[tuple[str, Sites]]:
    """Run the identity provider and two sites; give its address and them.

    With a `cipher`, `cbc` or `gcm`, it encrypts what it asserts; `saml` are more settings of the sites.
    """
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
            keys=keys_of(number, cipher=cipher),
            encrypts="true" if cipher else "false",
            sign_response="true" if sign_response else "false",
        )
        for number, one in enumerate(urls)
    ]
    (folder / "saml20-sp-remote.php").write_text("<?php\n" + "".join(described))
    env = {
        "PEER": str(folder),
        "PEER_URL": url,
        "PEER_LOGOUT": BINDINGS + logout,
        "PEER_LIBRARY": str(pages.parent / "vendor" / "simplesamlphp"),
        "PHP_CLI_SERVER_WORKERS": "3",
        "SIMPLESAMLPHP_CONFIG_DIR": str(folder),
        "PEER_HOSTS": " ".join(urlsplit(one).netloc for one in [url, *urls]),
    }
    prepend = ["-d", f"auto_prepend_file={folder}/gcm.php"] if cipher == "gcm" else []
    sessions = ["-d", f"session.save_path={folder}/sessions"]
    command = [php, *sessions, *prepend, "-S", url.removeprefix("http://"), "-t", str(pages)]
    with anyio.fail_after(PATIENCE):
        if cipher:
            key, certificate = write_key(folder, "spe")
            saml = {**saml, "encryption_key": str(key), "encryption_certificate": str(certificate)}
        saml = {**saml, "metadata": url + "/saml2/idp/metadata.php", "issuer": url + "/idp", "subject": "uid"}
        async with running(command, url, env, folder / "php.log"), sites(folder, urls, **saml) as made:
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


@pytest.mark.parametrize(("cipher", "who"), [("gcm", "ann"), ("cbc", None)])
async def test_what_it_encrypts_by_gcm_is_opened_and_what_by_cbc_is_not(
    tmp_path: Path, cipher: str, who: str | None
) -> None:  # S7, R40
    async with world(tmp_path, cipher=cipher) as (_, both), person() as ann:
        answer = await ann.go(both.urls[0] + "/saml/logon")
        assert (await ann.seen(both.urls[0]))["who"] == who, (ann.way, answer.text)
        assert ("saml_encrypted" in answer.text) == (cipher == "cbc")


@pytest.mark.parametrize("taken", [True, False])
async def test_who_begins_there_is_logged_on_here_only_where_that_may_be(tmp_path: Path, taken: bool) -> None:  # R41
    async with world(tmp_path, unsolicited="true" if taken else "false") as (idp, both), person() as ann:
        shop = both.urls[0]
        begin = f"{idp}/saml2/idp/SSOService.php?spentityid={quote(shop + '/saml/metadata', safe='')}"
        answer = await ann.go(f"{begin}&RelayState={quote('/app/?a=1', safe='')}")
        assert ("saml_unsolicited" in answer.text) == (not taken), (ann.way, answer.text)
        assert str(answer.url).endswith("/app/?a=1") == taken, ann.way
        assert (await ann.seen(shop))["who"] == ("ann" if taken else None)


async def test_an_administrators_command_names_it_where_it_takes_no_soap(tmp_path: Path) -> None:  # S19
    async with world(tmp_path) as (idp, both), person() as ann:
        shop, bank = both.urls
        for url in both.urls:
            await ann.go(url + "/saml/logon")
        ended = await logons(tmp_path, "end", "--user", f"{idp}/idp|ann|", server=shop + "/admin")
        assert ended == {"logons": 1, "sessions": 0, "stays": [f"{idp}/idp"]}
        assert [(await ann.seen(url))["who"] for url in both.urls] == [None, "ann"]
        ended = await logons(tmp_path, "end", "--user", f"{idp}/idp|ann|", "--local", server=bank + "/admin")
        assert ended == {"logons": 1, "sessions": 0, "stays": []}
