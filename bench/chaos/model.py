"""What was promised: every fact that an answer acknowledged, in order, per object. Values in, broken promises out.

A text is written with a nonce of its own. What a system has stored may be the last acknowledged text or one that was
sent after it without an answer; never an older one, and never one twice. Texts are ordered by the lock they were
written under, then by when they were sent.
"""

import enum
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

OBJECTS = "/oo/"
NONCE = re.compile(r"nonce[ :=]+([\w-]+)")


class Word(enum.StrEnum):
    """The last word about a text. MAYBE: its answer was lost, or said that it is not known."""

    APPLIED = "applied"
    NOT_APPLIED = "not_applied"
    MAYBE = "maybe"


class Text(msgspec.Struct):
    """One text that was sent. `place` orders it among the texts of its object."""

    nonce: str
    place: tuple[float, int]
    word: Word = Word.MAYBE
    sent: int = 0


class Event(msgspec.Struct, frozen=True):
    """One line of an object's history."""

    at: float
    who: str
    what: str


class Broken(msgspec.Struct, frozen=True):
    """A promise that did not hold."""

    promise: str
    subject: str
    detail: str
    at: float = 0.0


class Suspect(msgspec.Struct, frozen=True):
    """What breaks a promise unless something that happened between `since` and `at` is a good reason for it."""

    promise: str
    subject: str
    detail: str
    since: float
    at: float


class Item:
    """What is known of one object."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.texts: dict[str, Text] = {}
        self.history: list[Event] = []
        self.acknowledged: Text | None = None
        self.activated: Text | None = None
        self.created = False

    def newest(self, nonce: str | None) -> str | None:
        """Say what is wrong with a stored text that has this nonce (None: no nonce at all), None if nothing is."""
        return self.older(nonce, self.acknowledged)

    def active(self, nonce: str | None) -> str | None:
        """Say what is wrong with an active text that has this nonce, None if nothing is."""
        return self.older(nonce, self.activated)

    def older(self, nonce: str | None, least: Text | None) -> str | None:
        """Say whether a stored text is older than the least it may be."""
        if least is None:
            return None
        found = self.texts.get(nonce or "")
        if found is None:
            return f"{least.nonce} was acknowledged, and {nonce or 'no text of ours'} is stored"
        if found.place < least.place:
            return f"{least.nonce} was acknowledged, and the older {found.nonce} is stored"
        return None


class Model:
    """Everything acknowledged, and what has turned out to be wrong."""

    def __init__(self) -> None:
        self.items: dict[str, Item] = {}
        self.facts: Counter[str] = Counter()
        self.broken: list[Broken] = []
        self.suspects: list[Suspect] = []
        self.diaries: dict[str, list[Event]] = {}
        self.disturbances: list[Event] = []
        self.touched: set[str] = set()
        self._numbers = itertools.count(1)

    def item(self, name: str) -> Item:
        """Return an object, known from now on."""
        self.touched.add(name)
        return self.items.setdefault(name, Item(name))

    def tell(self, at: float, name: str, who: str, what: str) -> None:
        """Note something in the diary of who did it, and in an object's history if it is about one."""
        self.diaries.setdefault(who, []).append(Event(at, name or "-", what))
        if name:
            self.item(name).history.append(Event(at, who, what))

    def disturb(self, at: float, what: str) -> None:
        """Note a fault."""
        self.disturbances.append(Event(at, "FAULT", what))

    def sent(self, name: str, nonce: str, *, locked_at: float) -> None:
        """A text goes out, for the first time or again; until there is an answer it may be there or not."""
        text = self.item(name).texts.setdefault(nonce, Text(nonce, (locked_at, next(self._numbers))))
        text.sent += 1
        text.word = Word.MAYBE

    def answered(self, name: str, nonce: str, word: Word) -> None:
        """The answer about a text: an acknowledged fact unless it is MAYBE."""
        item = self.item(name)
        text = item.texts[nonce]
        text.word = word
        self.facts[f"update {word}"] += 1
        if word is Word.APPLIED and (item.acknowledged is None or text.place > item.acknowledged.place):
            item.acknowledged = text

    def fact(self, kind: str) -> None:
        """Count another acknowledged fact."""
        self.facts[kind] += 1

    def is_active(self, name: str, since: Text | None) -> None:
        """An activation is acknowledged that was asked for when `since` was the last acknowledged text."""
        item = self.item(name)
        self.facts["activated"] += 1
        if since is not None and (item.activated is None or since.place > item.activated.place):
            item.activated = since

    def violate(self, promise: str, subject: str, detail: str, at: float = 0.0) -> None:
        """A promise is broken."""
        self.broken.append(Broken(promise, subject, detail, at))

    def suspect(self, promise: str, subject: str, detail: str, since: float, at: float) -> None:
        """A promise is broken, unless the judge finds a good reason."""
        self.suspects.append(Suspect(promise, subject, detail, since, at))

    @property
    def acknowledged(self) -> int:
        """How many facts were acknowledged, all kinds together."""
        return sum(count for kind, count in self.facts.items() if not kind.endswith(Word.MAYBE))

    def check_counts(self, puts: Mapping[str, int]) -> None:
        """Compare with how often each nonce was stored: nothing lost, nothing twice, nothing that was denied."""
        for name, text in self._texts():
            stored = puts.get(text.nonce, 0)
            if stored > 1:
                self.violate("twice", name, f"{text.nonce} was stored {stored} times, sent by the agent {text.sent}")
            elif text.word is Word.APPLIED and not stored:
                self.violate("lost", name, f"{text.nonce} was acknowledged and never stored")
            elif text.word is Word.NOT_APPLIED and stored:
                self.violate("denied", name, f"{text.nonce} was said not to be applied, and was stored")

    def _texts(self) -> Iterator[tuple[str, Text]]:
        for name in self.touched:
            for text in self.items[name].texts.values():
                yield name, text


def nonce_of(source: str) -> str | None:
    """Return the nonce a source bears."""
    found = NONCE.search(source)
    return found.group(1) if found else None


def history(item: Item, requests: list[dict[str, Any]], disturbances: list[Event]) -> list[str]:
    """Put an object's events, the system's requests about it or in their sessions, and the faults into one order."""
    path = f"/{item.name.lower()}/"
    about = [row for row in requests if path in f"{row['path'].lower()}/"]
    sessions = {row["session"] for row in about if row["session"] and row["method"] != "GET"}
    begin, end = (item.history[0].at, item.history[-1].at) if item.history else (0.0, 0.0)
    around = (row for row in requests if row["session"] in sessions and OBJECTS not in row["path"])
    rows = [*about, *(row for row in around if row["at"] >= begin)]
    events = [*item.history, *(Event(row["at"], "SAP", _request(row)) for row in rows)]
    return in_order([*events, *(event for event in disturbances if begin - 5 <= event.at <= end)])


def in_order(events: list[Event]) -> list[str]:
    """Return events as lines."""
    return [f"{event.at:.3f} {event.who:12} {event.what}" for event in sorted(events, key=lambda event: event.at)]


def _request(row: Mapping[str, Any]) -> str:
    query = re.sub(r"lockHandle=[^&]*", "lockHandle=…", row["query"])
    more = [f"nonce {nonce}" for nonce in row["nonces"]] + [f"[{fault}]" for fault in row["faults"]]
    session, context = (row["session"] or "-")[:6], (row["context"] or "-")[-10:-4]
    purpose = row["purpose"] or ""
    words = [f"#{row['number']}", row["method"], row["path"], query, purpose, f"-> {row['status']}", *more]
    return " ".join([*filter(None, words), f"(session {session}, context {context})"])
