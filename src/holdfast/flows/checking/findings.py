"""`holdfast flow check`: what the re-use of sessions does not do as the flow's author may think (F12).

| code | what was found |
|---|---|
| `shared_state` | messages would see each other's state: `on_integration_flow` with a stateful receiver |
| `second_user`, `dynamic_user` | one user's session would be used for others |
| `branches` | parallel branches open a session each |
| `no_state`, `reuse_wanted` | `none`, and a receiver that needs a session |
| `ignored`, `never_reused` | the setting means nothing to these adapters |
| `no_mapping`, `idle_mapping` | a host that looks like a virtual one, a mapping of no receiver's |

`strict` refuses a flow for those of the first two lines.
"""

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from holdfast.backend.cookies import domain_matches
from holdfast.flows.adapters import ADAPTERS, Make
from holdfast.flows.checking.shape import LoneBranches, different_users
from holdfast.flows.checking.uses import Use, Uses, uses_of
from holdfast.flows.model import Definition, Flow
from holdfast.flows.sessions import scopes
from holdfast.flows.sessions.scopes import USERS_REMEDY, Finding, Reuse

PRIVATE: Final = frozenset({"corp", "home", "internal", "intranet", "lan", "local", "private", "virtual"})
# RFC 6762 appendix G, and `virtual`, the example of SAP's documentation of the Cloud Connector


def findings(definition: Definition, adapters: Mapping[type, Make] = ADAPTERS) -> list[Finding]:
    """Return what a flow's author should know before it runs, in the order of the file; nothing of it is run.

    Raises WrongFlow: adapters cannot work with their settings.
    """
    uses = uses_of(definition, adapters)
    source = definition.source
    found = sorted(_placed(definition.flow, uses), key=lambda one: source.line(one[0]) or 0)
    return [msgspec.structs.replace(finding, place=source.place(path)) for path, finding in found]


def _placed(flow: Flow, uses: Uses) -> Iterator[tuple[str, Finding]]:
    """Return findings with the paths of what they are about."""
    reuse = Reuse(flow.http_session_reuse)
    channels = {f"receivers.{name}": use.channel for name, use in uses.receivers.items()}
    channels |= {"sender": uses.sender} if uses.sender else {}
    paths = {channel.name: path for path, channel in channels.items()}
    for finding in scopes.of_channels(reuse, channels.values()):
        yield paths[finding.about[0]] if finding.about else "http_session_reuse", finding
    if reuse is Reuse.NONE:
        return
    keeping = [use for use in uses.calls.values() if use.channel.reuses]
    yield from _users(keeping)
    yield from _hosts(flow, keeping)
    if reuse is Reuse.EXCHANGE:
        walk = LoneBranches(uses)
        walk.walk(flow.steps)
        yield from ((path, _branches(path, receiver)) for path, receiver in walk.found)


def _users(uses: list[Use]) -> Iterator[tuple[str, Finding]]:
    told: set[tuple[str, str, str]] = set()
    for first, other in different_users(uses):
        pair = first.channel.name, other.channel.name, other.user
        if pair not in told:
            told.add(pair)
            who = f"{first.user!r} of {first.channel.name!r}"
            text = f"{other.channel.name!r} would call {other.receiver} as {other.user!r}, but if {who} opens the"
            text += " session, that user is used for both"
            yield f"{other.defined}.auth", Finding("second_user", text, USERS_REMEDY, pair[:2])


def _branches(path: str, receiver: str) -> Finding:
    text = f"parallel branches call {receiver}, and no call before them has surely opened a session: each opens one"
    return Finding("branches", text, f"Call {receiver} once before the split.", (receiver, path))


def _hosts(flow: Flow, uses: list[Use]) -> Iterator[tuple[str, Finding]]:
    """Tell of hosts that may be virtual and are not mapped, and of mappings for hosts that are not called (F9)."""
    hosts = {use.host: use for use in reversed(uses) if use.host}
    for host, use in hosts.items():
        if _looks_virtual(host) and not any(domain_matches(host, _name(m.virtual)) for m in flow.domain_mappings):
            text = f"{host} looks like a virtual host; if it is one, cookies for the receiver's own name never match it"
            remedy = f"Map it: domain_mappings: [{{virtual: {host}, internal: …}}]; to itself if it is its own name."
            yield f"{use.defined}.url", Finding("no_mapping", text, remedy, (host,))
    varying = any(not use.receiver for use in uses)
    for number, mapping in enumerate(flow.domain_mappings):
        if not varying and not any(domain_matches(host, _name(mapping.virtual)) for host in hosts):
            text = f"no receiver is called at {mapping.virtual} or below it"
            finding = Finding("idle_mapping", text, "Correct the mapping, or leave it out.", (mapping.virtual,))
            yield f"domain_mappings[{number}]", finding


def _name(domain: str) -> str:
    return domain.removeprefix(".").lower()


def _looks_virtual(host: str) -> bool:
    """Say whether no public name server can know the host: one word, or below a domain for private use."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        last = host.rpartition(".")[2].lower()
        return host.lower() != "localhost" and (last == host.lower() or last in PRIVATE)
    return False
