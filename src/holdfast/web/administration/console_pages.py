"""The pages of the administrator's console: what is known goes in, HTML comes out."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import msgspec

from holdfast.core.model import State
from holdfast.web.account.devices import in_words
from holdfast.web.account.markup import STYLE, Markup, document, facts, instant, proof_field, tag
from holdfast.web.account.pages import when_and_how
from holdfast.web.administration.administrator import Ended, Page
from holdfast.web.administration.aim import YES, Aim, What
from holdfast.web.administration.tree import Node, Tree
from holdfast.web.notice import Notice
from holdfast.web.security import Listed

LOOK: Final = STYLE + Path(__file__).with_name("console.css").read_bytes()
LONGEST_NAME: Final = "1024"
DEEDS: Final[Mapping[What, str]] = {
    "logon": "End this logon",
    "user": "End all logons of {}",
    "application": "End all sessions of {}",
    "all": "End everything",
}
WILL: Final[Mapping[What, str]] = {
    "logon": "This logon ends, and everything that hangs below it, in every application.",
    "user": "Every logon of this person ends, on every device, and everything that hangs below them.",
    "application": "Every session of this application ends, visitors' as well. Logons go on, and so do the other "
    "applications; what was not saved in this one is lost.",
    "all": "Every session ends, in one step: logons, visitors' sessions, and what works without a logon, such as MCP "
    "sessions. Locks that they hold are freed.",
}


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a page says before something is ended.

    Args:
        logons: Those that end, as far as they are shown.
        more: There are more of them, or below the one.
        below: How many sessions hang below the one, by kind.
        stays: Issuers that cannot be told.
        own: The administrator's own logon is among them.
    """

    aim: Aim
    logons: Sequence[Listed] = ()
    more: bool = False
    below: Mapping[str, int] = {}
    stays: Sequence[str] = ()
    own: bool = False


Links = Iterable[tuple[str, str]]  # words, and a path below the root


def logons_page(
    root: str, page: Page, here: str, links: Links = (), *, user: str = "", application: str = ""
) -> Notice:
    """Return a page of logons; `here` is the handle of the administrator's own, `links` lead to other sections."""
    parts = [tag("p", tag("a", words, href=f"{root}{path}")) for words, path in links]
    parts.append(_search(root, user, application))
    if page.logons:
        parts.append(tag("ul", *(_listed(root, one, one.handle == here) for one in page.logons), class_="logons"))
    else:
        parts.append(tag("p", "There are none among those looked at so far." if page.after else "There are none."))
    if page.after:
        after = _address(root, "/logons", user=user, application=application, after=page.after)
        parts.append(tag("p", tag("a", "More", href=after)))
    ends = [Aim("user", user)] * bool(user) + [Aim("application", application)] * bool(application) + [Aim("all", YES)]
    return document("Logons", *parts, _ends(root, ends), root=root)


def logon_page(root: str, one: Listed, tree: Tree, *, here: bool) -> Notice:
    """Return the page of one logon with all that hangs below it."""
    parts = [
        facts([("Person", _person(root, one)), *_facts(root, one), ("Ends", instant(one.ends_at))]),
        tag("h2", "What hangs below it"),
        _tree(tree.nodes, look="tree") if tree.nodes else tag("p", "Nothing."),
    ]
    if tree.after:
        more = _address(root, f"/logons/{one.handle}", after=tree.after)
        parts.append(tag("p", tag("a", "More", href=more)))
    ends = _ends(root, [Aim("logon", one.handle), Aim("user", one.logon.principal)])
    back = tag("p", tag("a", "All logons", href=f"{root}/logons"), tag("span", "yours", class_="here") if here else "")
    return document(_name(one), back, *parts, ends, root=root)


def confirm_page(root: str, asked: Asked, *, proof: str) -> Notice:
    """Return the page that says what will happen, and has the button that does it."""
    aim = asked.aim
    deed = DEEDS[aim.what].format(aim.name)
    parts = [tag("p", WILL[aim.what])]
    if aim.what in ("logon", "user"):
        parts += _about(asked)
    if asked.own:
        parts.append(_warning("Your own logon ends with it: you will have to log on again."))
    form = tag(
        "form",
        proof_field(proof),
        *([] if aim.what == "application" else _issuers(asked)),
        tag("button", deed, class_="danger"),
        method="post",
        action=way_to_end(root, aim),  # a field would lose what a page does not show
    )
    back = f"{root}/logons/{aim.name}" if aim.what == "logon" else f"{root}/logons"
    return document(deed + "?", *parts, form, tag("p", tag("a", "Leave it as it is", href=back)), root=root)


def ended_page(root: str, aim: Aim, ended: Ended, *, own: bool, local: bool) -> Notice:
    """Return the page that says what was ended; `own` says that the administrator was logged off as well."""
    if aim.what == "application":
        said = f"{_many(ended.sessions, 'session')} of {aim.name} ended."
    elif aim.what == "all" and local:
        said = "All sessions ended."  # and nobody has counted them
    elif aim.what == "all":
        said = f"All sessions ended, {_many(ended.logons, 'logon')} among them."
    else:
        said = f"{_many(ended.logons, 'logon')} ended, and all below."
    parts = [tag("p", said)]
    if ended.stays:
        parts.append(_warning(f"They may still be logged on at {', '.join(ended.stays)}."))
    if own:
        parts.append(tag("p", "You are logged off as well."))
    return document("Done", *parts, tag("p", tag("a", "Go on", href=f"{root}/logons")), root=root, narrow=True)


def way_to_end(root: str, aim: Aim) -> str:
    """Return the address of the page that asks whether something is to be ended."""
    return _address(root, "/end", **{aim.what: aim.name})


# -- inside


def _address(root: str, path: str, **query: str) -> str:
    said = urlencode({name: value for name, value in query.items() if value})
    return f"{root}{path}" + (f"?{said}" if said else "")


def _search(root: str, user: str, application: str) -> Markup:
    fields = [
        tag(
            "div",
            tag("label", text, for_=name),
            tag(
                "input",
                id=name,
                name=name,
                value=value,
                maxlength=LONGEST_NAME,
                autocapitalize="none",
                spellcheck="false",
                autocomplete="off",
            ),
        )
        for name, text, value in (("user", "Person", user), ("application", "Application", application))
    ]
    return tag("form", *fields, tag("button", "Find"), method="get", action=f"{root}/logons", class_="search")


def _listed(root: str, one: Listed, here: bool) -> Markup:
    about = f"about-{one.handle}"
    this = tag("span", "yours", class_="here") if here else Markup()
    named = tag("a", _name(one), href=f"{root}/logons/{one.handle}")
    said = tag("div", tag("h2", named, this, id=about), facts([("Person", _person(root, one)), *_facts(root, one)]))
    end = tag("a", "End …", href=way_to_end(root, Aim("logon", one.handle)), class_="deed", aria_describedby=about)
    return tag("li", said, end)


def _facts(root: str, one: Listed) -> list[tuple[str, str]]:
    names = [tag("a", name, href=_address(root, "/logons", application=name)) for name in one.applications]
    separated = [part for name in names for part in (Markup(", "), name)][1:]
    return [
        ("Device", f"{in_words(one.logon.device)}, from {one.logon.address or 'an unknown address'}"),
        *when_and_how(one),
        ("Applications", Markup("".join(separated)) if separated else "none"),
    ]


def _person(root: str, one: Listed) -> Markup:
    return tag("a", one.logon.principal, href=_address(root, "/logons", user=one.logon.principal))


def _name(one: Listed) -> str:
    return one.logon.name or one.logon.subject


def _tree(nodes: Sequence[Node], *, look: str = "") -> Markup:
    below = (tag("li", *_node(node), _tree(node.below) if node.below else Markup()) for node in nodes)
    return tag("ul", *below, class_=look or False)


def _node(node: Node) -> list[Markup]:
    said = [tag("strong", node.kind), *([Markup(" "), tag("span", node.label)] if node.label else [])]
    if node.state != State.LIVE:
        said.append(tag("span", node.state, class_="here"))
    return [
        tag("div", *said),
        tag(
            "div", node.mark, ", since ", instant(node.created_at), ", last use ", instant(node.used_at), class_="soft"
        ),
    ]


def _ends(root: str, aims: Sequence[Aim]) -> Markup:
    """Return the links to what can be ended from here."""
    links = [tag("a", DEEDS[aim.what].format(aim.name) + " …", href=way_to_end(root, aim)) for aim in aims]
    return tag("nav", tag("ul", *(tag("li", link) for link in links)), aria_label="End")


def _about(asked: Asked) -> list[Markup]:
    """Return which logons end, and with what."""
    ending = [
        f"{_name(one)} ({one.logon.principal}), {in_words(one.logon.device)}, from "
        f"{one.logon.address or 'an unknown address'}"
        for one in asked.logons
    ]
    if asked.more and asked.aim.what == "user":
        ending.append("and more")
    below = [f"{kind} ({count})" for kind, count in asked.below.items()]
    said = [tag("ul", *(tag("li", one) for one in ending))]
    if below:
        said.append(tag("p", f"Below it{', among others' if asked.more else ''}: {', '.join(below)}."))
    return said


def _issuers(asked: Asked) -> list[Markup]:
    """Return what happens where logons came from, and the choice to leave that alone."""
    issuers = {one.logon.issuer for one in asked.logons} - {""}
    told = sorted(issuers - set(asked.stays))
    more = asked.more and asked.aim.what != "logon"
    if not issuers and not more:
        return []
    said = []
    if told:
        said.append(tag("p", f"{', '.join(told)} will be told, and what stays logged on there is said then."))
    if more:
        said.append(tag("p", "Other providers are told where they can be, and what stays logged on is said then."))
    if asked.stays:
        said.append(_warning(f"They stay logged on at {', '.join(asked.stays)}, which cannot be told from here."))
    box = tag("input", id="local", name="local", type="checkbox", value=YES)
    return [*said, tag("p", box, tag("label", "Leave the providers alone", for_="local"), class_="choice")]


def _many(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")


def _warning(words: str) -> Markup:
    return tag("p", words, class_="wrong", role="alert")
