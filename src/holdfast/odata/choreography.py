"""The choreography of sticky sessions, as one table: where one stands, what was called, how it went, what follows.

SAP's Session vocabulary says it in prose; `TABLE` has a row for each of its sentences, and server and client both go by
it (O2-O4). No header, socket or clock is known here. An entity is whatever text the caller names it by, the same one
each time; one that New created keeps the name it had then, also if a save gives it another key.
"""

import enum
from collections.abc import Mapping
from typing import Final

import msgspec

from holdfast.errors import SessionError


class Act(enum.Enum):
    """What happens to a session. What a service calls its actions is the vocabulary annotation's business."""

    NEW = "new"  # NewAction or one of AdditionalNewActions
    EDIT = "edit"
    SAVE = "save"
    DISCARD = "discard"
    OTHER = "other"  # reads, changes and every other action
    LOSE = "lose"  # nobody called it: time-out, crash, termination, an administrator


class Outcome(enum.Enum):
    """How it went. An outcome that nobody knows is none: ask the server where one stands."""

    OK = "ok"
    FAILED = "failed"


class Effect(enum.Enum):
    """What an act does to the session."""

    NONE = "none"  # one stands where one stood
    TAKE = "take"  # the entity is unsaved now; a session starts if there was none
    RELEASE = "release"  # the entity is saved; the session ends if it was the last one
    END = "end"  # the session ends with all that is unsaved in it


class Place(msgspec.Struct, frozen=True):
    """Where one client stands: in a session or not, and which of its new or edited entities are not saved yet."""

    inside: bool = False
    unsaved: frozenset[str] = frozenset()


OUTSIDE: Final = Place()


class Next(msgspec.Struct, frozen=True):
    """Where one stands afterwards, and whether a session started or ended on the way there."""

    place: Place
    starts: bool = False
    ends: bool = False


class Row(msgspec.Struct, frozen=True):
    """One sentence. `refused`: nobody gets here who does as the vocabulary says."""

    inside: bool
    act: Act
    outcome: Outcome
    effect: Effect
    sentence: str
    refused: bool = False


_CONTINUES: Final = "If called within a sticky session the sticky session continues."
_STARTS: Final = "On success this action initiates a sticky session."
_STARTS_NOT: Final = "On failure no sticky session is initiated."
_ALL_SAVED: Final = (
    "The sticky session is terminated after all entities that were newly created or edited in it have been saved."
)
_KEPT: Final = "On failure the sticky session is kept alive."
_IRRESPECTIVE: Final = (
    "If called within a sticky session the sticky session is terminated, "
    "irrespective of whether the action succeeds or fails."
)
_DISCARD_OUTSIDE: Final = "If called outside of a sticky session the action fails and does not initiate a session."
_SILENT: Final = "(The vocabulary is silent about a save outside of a session: there is nothing to save.)"
_USUAL: Final = "Data modification requests outside of a session are allowed and have their usual OData semantics."
_MIDDLE: Final = "send data modification and read requests"
_LOST: Final = "In the case of ABAP servers the session state is simply lost."

TABLE: Final[tuple[Row, ...]] = (
    Row(False, Act.NEW, Outcome.OK, Effect.TAKE, _STARTS),
    Row(False, Act.NEW, Outcome.FAILED, Effect.NONE, _STARTS_NOT),
    Row(True, Act.NEW, Outcome.OK, Effect.TAKE, _CONTINUES),
    Row(True, Act.NEW, Outcome.FAILED, Effect.NONE, _CONTINUES),
    Row(False, Act.EDIT, Outcome.OK, Effect.TAKE, _STARTS),
    Row(False, Act.EDIT, Outcome.FAILED, Effect.NONE, _STARTS_NOT),
    Row(True, Act.EDIT, Outcome.OK, Effect.TAKE, _CONTINUES),
    Row(True, Act.EDIT, Outcome.FAILED, Effect.NONE, _CONTINUES),
    Row(True, Act.SAVE, Outcome.OK, Effect.RELEASE, _ALL_SAVED),
    Row(True, Act.SAVE, Outcome.FAILED, Effect.NONE, _KEPT),
    Row(False, Act.SAVE, Outcome.OK, Effect.NONE, _SILENT, refused=True),
    Row(False, Act.SAVE, Outcome.FAILED, Effect.NONE, _SILENT, refused=True),
    Row(True, Act.DISCARD, Outcome.OK, Effect.END, _IRRESPECTIVE),
    Row(True, Act.DISCARD, Outcome.FAILED, Effect.END, _IRRESPECTIVE),
    Row(False, Act.DISCARD, Outcome.OK, Effect.NONE, _DISCARD_OUTSIDE, refused=True),
    Row(False, Act.DISCARD, Outcome.FAILED, Effect.NONE, _DISCARD_OUTSIDE, refused=True),
    Row(True, Act.OTHER, Outcome.OK, Effect.NONE, _MIDDLE),
    Row(True, Act.OTHER, Outcome.FAILED, Effect.NONE, _MIDDLE),
    Row(False, Act.OTHER, Outcome.OK, Effect.NONE, _USUAL),
    Row(False, Act.OTHER, Outcome.FAILED, Effect.NONE, _USUAL),
    Row(True, Act.LOSE, Outcome.OK, Effect.END, _LOST),
    Row(True, Act.LOSE, Outcome.FAILED, Effect.END, _LOST),
    Row(False, Act.LOSE, Outcome.OK, Effect.NONE, _LOST),
    Row(False, Act.LOSE, Outcome.FAILED, Effect.NONE, _LOST),
)

ROWS: Final[Mapping[tuple[bool, Act, Outcome], Row]] = {(row.inside, row.act, row.outcome): row for row in TABLE}


class ChoreographyError(SessionError):
    """The call is wrong where one stands: nothing was done and, by a client, nothing sent."""

    code = "sticky_choreography"
    default_hint = "Begin with the edit or new action of the entity, and save or discard only inside that session."


def check(place: Place, act: Act, entity: str = "") -> None:
    """Raise `ChoreographyError` if `act` may not be called here.

    A save also needs an entity that is new or edited in this very session.
    """
    row = ROWS[place.inside, act, Outcome.OK]
    if row.refused:
        raise ChoreographyError(f"{act.value} outside of a sticky session")
    if row.effect is Effect.RELEASE and entity not in place.unsaved:
        raise ChoreographyError(f"{entity} is neither new nor edited in this sticky session")


def decide(place: Place, act: Act, outcome: Outcome, entity: str = "") -> Next:
    """Return what follows. It judges no call: that is `check`, which comes first.

    Args:
        place: Where one stands.
        act: What was called.
        outcome: How it went.
        entity: Which entity a new, edit or save was about.
    """
    there = _after(place, ROWS[place.inside, act, outcome].effect, entity)
    return Next(there, starts=there.inside > place.inside, ends=place.inside > there.inside)


def _after(place: Place, effect: Effect, entity: str) -> Place:
    if effect is Effect.END:
        return OUTSIDE
    if effect is Effect.TAKE:
        return Place(inside=True, unsaved=place.unsaved | {entity})
    if effect is Effect.RELEASE:
        left = place.unsaved - {entity}
        return Place(inside=True, unsaved=left) if left else OUTSIDE
    return place
