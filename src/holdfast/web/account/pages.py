"""The pages themselves: what is known goes in, HTML comes out."""

from collections.abc import Iterable, Sequence
from typing import Final

from holdfast.web.account.devices import in_words
from holdfast.web.account.elsewhere import Elsewhere
from holdfast.web.account.markup import Markup, document, facts, hidden, instant, post_button, proof_field, tag
from holdfast.web.notice import Notice
from holdfast.web.security import Listed, Logon

NAME_AT_MOST: Final = "256"
OWN_PAGES: Final = "holdfast-"  # applications that are pages like these


def logon_page(
    root: str,
    *,
    to: str,
    level: int = 1,
    name: str = "",
    again: bool = False,
    wrong: str = "",
    status: int = 200,
    elsewhere: Sequence[Elsewhere] = (),
    passwords: bool = True,
    proof: str = "",
) -> Notice:
    """Return the page on which people log on.

    Args:
        to: Where they go then.
        level: How strong the logon must be.
        name: What stands in the field already.
        again: They have logged on, and are to prove once more who they are.
        wrong: Why the last try failed.
        passwords: There is a password to be typed.
        proof: The session's token for forms, if there is a session.
    """
    parts = [tag("p", wrong, class_="wrong", role="alert")] if wrong else []
    if again:
        parts.append(tag("p", "What you want to do asks for a fresh proof that it is you."))
    if passwords:
        parts.append(_password_form(root, to, name, proof))
    elif not elsewhere:
        parts.append(tag("p", "There is no way to log on as strongly as that asks for."))
    links = [
        tag("li", tag("a", f"Log on with {one.title}", href=one.way(to, level=level, anew=again))) for one in elsewhere
    ]
    if links:
        parts.append(tag("ul", *links, class_="others" if passwords else "logons"))
    return document("Confirm that it is you" if again else "Log on", *parts, root=root, status=status, narrow=True)


def logout_page(root: str, logon: Logon, *, action: str, home: str, proof: str = "") -> Notice:
    """Return the page that asks whether somebody wants to log out."""
    return document(
        "Log out",
        tag("p", "You are logged on as ", tag("strong", logon.name or logon.subject), "."),
        tag("p", "Everything that works in your name is ended with it, in every application.", class_="soft"),
        post_button("Log out", action, proof_field(proof)),
        tag("p", tag("a", "Stay logged on", href=home)),
        root=root,
        narrow=True,
        forms_here=action.startswith(root + "/"),
    )


def left_page(root: str, *, home: str, stays: Iterable[str] = ()) -> Notice:
    """Return what is shown to who is not logged on (any more); `stays` are systems that still know them."""
    named = list(stays)
    parts = [tag("p", "You are logged out here."), *_staying(named)]
    if named:
        parts.append(tag("p", "Close your browser if others can use it."))
    parts.append(tag("p", tag("a", "Go on", href=home)))
    return document("Logged out", *parts, root=root, narrow=True)


def logons_page(
    root: str,
    logon: Logon,
    logons: Sequence[Listed],
    here: str,
    *,
    proof: str = "",
    password: bool = False,
    stays: Iterable[str] = (),
) -> Notice:
    """Return the page of somebody's logons.

    Args:
        here: The handle of the one that asks.
        password: It has one.
        stays: Systems that still know somebody whose logon was just ended.
    """
    others = [one for one in logons if one.handle != here]
    parts = [
        *_staying(list(stays)),
        tag("p", "Where you are logged on as ", tag("strong", logon.name or logon.subject), "."),
        tag("ul", *(_listed(root, one, one.handle == here, proof) for one in logons), class_="logons"),
    ]
    if others:
        fields = (hidden("others", "1"), proof_field(proof))
        parts.append(post_button("Log out everywhere else", f"{root}/sessions", *fields))
    links: list[str] = [tag("a", "Log out here", href=f"{root}/logout")]
    if password:
        links += [" · ", tag("a", "Change your password", href=f"{root}/password")]
    parts.append(tag("nav", *links, aria_label="More"))
    return document("Your sessions", *parts, root=root)


def password_page(root: str, *, wrong: str = "", status: int = 200, proof: str = "") -> Notice:
    """Return the page on which people change their password."""
    form = tag(
        "form",
        proof_field(proof),
        *_password_field("password", "Password", "current-password"),
        *_password_field("fresh", "New password", "new-password"),
        *_password_field("again", "New password, once more", "new-password"),
        tag("p", "All your other sessions end.", class_="soft"),
        tag("button", "Change it"),
        method="post",
        action=f"{root}/password",
    )
    said = tag("p", wrong, class_="wrong", role="alert") if wrong else Markup()
    return document("Change your password", said, form, root=root, status=status, narrow=True)


def error_page(root: str, title: str, *words: str, status: int, home: str, link: str = "Go on") -> Notice:
    """Return a page that says what went wrong, with a link to `home`."""
    said = (tag("p", word) for word in words if word)
    return document(title, *said, tag("p", tag("a", link, href=home)), root=root, status=status, narrow=True)


def when_and_how(one: Listed) -> list[tuple[str, str]]:
    """Return since when there is a logon, when it was used, and who says that it is its person's."""
    return [
        ("Since", instant(one.created_at)),
        ("Last use", instant(one.used_at)),
        ("Logged on by", one.logon.method + (f" at {one.logon.issuer}" if one.logon.issuer else "")),
    ]


def _staying(named: Sequence[str]) -> list[Markup]:
    """Return what warns of the systems that still know somebody."""
    said = f"You may still be logged on at {', '.join(named)}."
    return [tag("p", said, class_="wrong", role="alert")] if named else []


def _password_form(root: str, to: str, name: str, proof: str) -> Markup:
    return tag(
        "form",
        hidden("next", to),
        proof_field(proof),
        tag("label", "Name", for_="name"),
        tag(
            "input",
            id="name",
            name="name",
            value=name,
            autocomplete="username",
            autofocus=not name,
            required=True,
            maxlength=NAME_AT_MOST,
            autocapitalize="none",
            spellcheck="false",
        ),
        *_password_field("password", "Password", "current-password", autofocus=bool(name)),
        tag("button", "Log on"),
        method="post",
        action=f"{root}/logon",
    )


def _password_field(name: str, text: str, kind: str, *, autofocus: bool = False) -> tuple[Markup, Markup]:
    field = tag("input", id=name, name=name, type="password", autocomplete=kind, required=True, autofocus=autofocus)
    return tag("label", text, for_=name), field


def _facts(one: Listed) -> list[tuple[str, str]]:
    return [
        ("Address", one.logon.address or "unknown"),
        *when_and_how(one),
        ("Applications", ", ".join(name for name in one.applications if not name.startswith(OWN_PAGES)) or "none"),
    ]


def _listed(root: str, one: Listed, here: bool, proof: str) -> Markup:
    name, about = in_words(one.logon.device), f"about-{one.handle}"
    this = tag("span", "this one", class_="here") if here else Markup()
    said = tag("div", tag("h2", name, this, id=about), facts(_facts(one)))
    fields = (hidden("end", one.handle), proof_field(proof))
    end = post_button("Log out", f"{root}/sessions", *fields, look="quiet", described=about)
    return tag("li", said, Markup() if here else end)
