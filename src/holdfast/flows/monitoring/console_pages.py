"""The pages of flows in the console: what is known goes in, HTML comes out."""

from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import urlencode

from holdfast.flows.monitoring.entries import DEBUG, INFO, OUTCOMES, Entry, Line, Run
from holdfast.flows.monitoring.messagelog import Listed
from holdfast.flows.sessions.trace import Shown
from holdfast.web.account.markup import Markup, document, facts, hidden, instant, proof_field, tag
from holdfast.web.notice import Notice


class AtWork(NamedTuple):
    """A flow, the messages that it is at, and until when its log level is `debug`."""

    flow: str
    running: list[Entry]
    debug_until: float


def flows_page(here: str, root: str, flows: list[AtWork], now: float, proof: str) -> Notice:
    """Return the page of all flows."""
    listed = tag("ul", *(tag("li", _at_work(here, one, now, proof)) for one in flows), class_="logons")
    none = tag("p", "No worker runs a flow, and the log has no message.")
    return document(
        "Integration flows",
        tag("p", tag("a", "Logons", href=f"{root}/logons"), " ", tag("a", "All messages", href=f"{here}/messages")),
        listed if flows else none,
        root=root,
    )


def messages_page(here: str, root: str, listed: Listed, *, flow: str, outcome: str) -> Notice:
    """Return a page of the log."""
    rows = [tag("li", _entry(here, entry)) for entry in listed.entries]
    parts = [tag("p", tag("a", "All flows", href=here)), _search(here, flow, outcome)]
    parts.append(tag("ul", *rows, class_="logons") if rows else tag("p", "There are none."))
    if listed.after:
        parts.append(tag("p", tag("a", "More", href=_at(here, flow=flow, outcome=outcome, after=listed.after))))
    return document("Messages", *parts, root=root)


def message_page(here: str, root: str, entry: Entry, proof: str) -> Notice:
    """Return the page of one message; with a `proof` it can be sent again from here."""
    parts = [tag("p", tag("a", "All messages of this flow", href=_at(here, flow=entry.flow)))]
    parts.append(facts([("Flow", entry.flow), ("File", entry.file or "made in Python"), ("Message", entry.id)]))
    for number, run in enumerate(entry.runs, start=1):
        parts.append(tag("h2", f"Run {number}: {run.outcome}" if len(entry.runs) > 1 else run.outcome))
        parts += _run(run)
    if proof:
        fields = [proof_field(proof), hidden("flow", entry.flow), hidden("id", entry.id)]
        parts.append(tag("form", *fields, tag("button", "Send it again"), method="post", action=f"{here}/message"))
    elif entry.outcome == "failed":
        said = f"holdfast flow resend {entry.id}" if entry.kept is not None else entry.not_kept
        parts.append(tag("p", "To send it again: " if entry.kept is not None else "It cannot be sent again: ", said))
    return document("Message", *parts, root=root)


def again_page(here: str, root: str, flow: str, id: str, error: str = "") -> Notice:  # noqa: A002
    """Return the page that says what became of a message that was sent again."""
    said = tag("p", error, class_="wrong", role="alert") if error else tag("p", "It was processed.")
    link = tag("p", tag("a", "Look at it", href=_of(here, flow, id)))
    title = "It was not processed" if error else "Done"
    return document(title, said, link, root=root, narrow=True)


def level_page(here: str, root: str, flow: str, level: str, until: float) -> Notice:
    """Return the page that says how much is logged from now on."""
    for_now = [" until ", instant(until)] if level == DEBUG else []
    said = tag("p", f"Messages of {flow} that start from now on are logged at {level}", *for_now, ".")
    return document("Done", said, tag("p", tag("a", "Go on", href=here)), root=root, narrow=True)


# -- inside


def _at_work(here: str, one: AtWork, now: float, proof: str) -> Markup:
    debug = one.debug_until > now
    level = [DEBUG, " until ", instant(one.debug_until)] if debug else [INFO]
    rows = [
        ("At work on", tag("span", *_many(here, one.running)) if one.running else "nothing"),
        ("Log level", tag("span", *level)),
    ]
    fields = [proof_field(proof), hidden("flow", one.flow)]
    if debug:
        form = [hidden("level", INFO), tag("button", "Back to info", class_="quiet")]
    else:
        hours = tag("input", id=f"hours-{one.flow}", name="hours", value="1", inputmode="decimal", size="4")
        label = tag("label", "Hours at debug", for_=f"hours-{one.flow}")
        form = [hidden("level", DEBUG), label, hours, tag("button", "Log at debug", class_="quiet")]
    about = tag("h2", tag("a", one.flow, href=_at(here, flow=one.flow)))
    return tag("div", about, facts(rows), tag("form", *fields, *form, method="post", action=here))


def _many(here: str, running: list[Entry]) -> Iterable[str]:
    yield f"{len(running)} message{'' if len(running) == 1 else 's'}: "
    for number, entry in enumerate(running[:10]):
        yield from (", " if number else "", _link(here, entry), f" ({_so_far(entry.last)})")
    if len(running) > 10:
        yield ", …"


def _so_far(run: Run) -> str:
    """Return how far a run is, in a few words (F18)."""
    counts = [f"{place}: {count}" for place, count in run.counts.items()]
    return ", ".join([f"{run.count} line{'' if run.count == 1 else 's'} in the log", *counts])


def _entry(here: str, entry: Entry) -> Markup:
    run = entry.last
    rows = [("Flow", entry.flow), ("Began", instant(run.began_at)), ("Outcome", run.outcome)]
    if run.error is not None:
        rows.append(("Why", f"{run.error.place}: {run.error.text}" if run.error.place else run.error.text))
    return tag("div", tag("h2", _link(here, entry)), facts(rows))


def _run(run: Run) -> list[Markup]:
    rows = [("Began", instant(run.began_at)), ("Worker", run.worker), ("Log level", run.level)]
    rows += [(f"At {place}", str(count)) for place, count in run.counts.items()]
    if run.ended_at is not None:
        rows.append(("Took", f"{run.ended_at - run.began_at:.3f} s"))
    parts = [facts(rows)]
    if run.error is not None:
        place = f"{run.error.place}: " if run.error.place else ""
        parts.append(tag("p", f"{place}{run.error.text}", class_="wrong"))
    if run.count > len(run.lines):
        parts.append(tag("p", f"Of {run.count} lines the first and the last are kept.", class_="soft"))
    if run.lines:
        parts.append(tag("ol", *(tag("li", *_line(line)) for line in run.lines), class_="tree"))
    return parts


def _line(line: Line) -> list[Markup]:
    said = [tag("strong", line.kind), f" {line.outcome}", f", {line.text}" if line.text else ""]
    took = f", {line.seconds:.3f} s" if line.seconds else ""
    rows = [tag("div", *said), tag("div", f"{line.at:.3f} s, {line.place}{took}", class_="soft")]
    if line.kind == "request":
        cookies = f"sent {_cookies(line.sent)}; set {_cookies(line.set)}"
        rows.append(tag("div", cookies, class_="soft"))
    return rows


def _cookies(cookies: Iterable[Shown]) -> str:
    return ", ".join(f"{name} #{digest}" for name, digest in cookies) or "no cookie"


def _search(here: str, flow: str, outcome: str) -> Markup:
    field = tag("input", id="flow", name="flow", value=flow, maxlength="100", autocomplete="off")
    options = [tag("option", each or "any", value=each, selected=each == outcome) for each in ("", *OUTCOMES)]
    return tag(
        "form",
        tag("div", tag("label", "Flow", for_="flow"), field),
        tag("div", tag("label", "Outcome", for_="outcome"), tag("select", *options, id="outcome", name="outcome")),
        tag("button", "Find"),
        method="get",
        action=f"{here}/messages",
        class_="search",
    )


def _link(here: str, entry: Entry) -> Markup:
    return tag("a", entry.id, href=_of(here, entry.flow, entry.id))


def _of(here: str, flow: str, id: str) -> str:  # noqa: A002
    return f"{here}/message?{urlencode({'flow': flow, 'id': id})}"


def _at(here: str, **query: str) -> str:
    said = urlencode({name: value for name, value in query.items() if value})
    return f"{here}/messages" + (f"?{said}" if said else "")
