"""The repository: objects with active and inactive versions (ADT §12, §13, §14).

Sources are kept with line feeds and without trailing newlines, and served with CRLF, as the real server
normalises them. The stamp of a version has seconds only, so it is moved on by a second where two changes would
share one: an ETag never names two texts.
"""

from collections.abc import Iterator, Sequence

import msgspec

from holdfast.simulator.clock import timestamp
from holdfast.simulator.enqueue import ObjectKey
from holdfast.simulator.kinds import INCLUDE_CODES, KINDS, TEST_INCLUDE_SKELETON, Kind, skeleton
from holdfast.simulator.store import ObjectStore

MAX_VERSIONS = 20


class Text(msgspec.Struct):
    """One version of one part. `changed_at` is Unix seconds."""

    source: str
    changed_at: float
    changed_by: str


class Part(msgspec.Struct):
    """One source of an object, in up to two versions."""

    active: Text | None = None
    inactive: Text | None = None

    def read(self, version: str) -> Text | None:
        """Return the version asked for: `active` strictly, anything else the newest there is."""
        return self.active if version == "active" else self.inactive or self.active


class WorkbenchObject(msgspec.Struct, kw_only=True):
    """One repository object. A package has no parts."""

    type: str
    name: str
    description: str
    package: str
    responsible: str
    created_at: float
    language: str = "EN"
    parts: dict[str, Part] = msgspec.field(default_factory=dict)
    last_stamp: float = 0

    @property
    def key(self) -> ObjectKey:
        """What locks and indexes know the object by."""
        return (self.type, self.name)

    @property
    def kind(self) -> Kind:
        """The row of the object's type."""
        return KINDS[self.type]

    @property
    def uri(self) -> str:
        """The object's address in lower case, namespaces percent-encoded (ADT §1)."""
        return f"{self.kind.collection}/{self.name.lower().replace('/', '%2f').replace('$', '%24')}"

    @property
    def inactive_parts(self) -> list[str]:
        """Names of the parts that have an inactive version."""
        return [name for name, part in self.parts.items() if part.inactive is not None]

    @property
    def ever_active(self) -> bool:
        """True once it was activated."""
        return not self.parts or any(part.active is not None for part in self.parts.values())

    def source_uri(self, part: str) -> str:
        """Return the address of one part's source."""
        return f"{self.uri}/source/main" if part == "main" else f"{self.uri}/includes/{part}"

    def inner_name(self, part: str) -> str:
        """Return the name of the include behind a part, such as `ZCL_A========================CCAU`."""
        code = INCLUDE_CODES.get(part)
        return f"{self.name:=<30}{code}" if code else self.name

    def last_change(self, version: str = "") -> Text | None:
        """Return the newest change of any part in this version."""
        texts = [text for part in self.parts.values() if (text := part.read(version)) is not None]
        return max(texts, key=lambda text: text.changed_at, default=None)

    def etag(self, part: str, version: str) -> str | None:
        """Return the entity tag of a source; it differs between active and inactive (ADT §12)."""
        text = self.parts[part].read(version) if part in self.parts else None
        if text is None:
            return None
        active = text is self.parts[part].active
        if self.type == "CLAS/OC" and part == "main":
            return timestamp(text.changed_at) + ("001000001" if active else "000000001")
        return timestamp(text.changed_at) + ("0011" if active else "0001")


class Repository:
    """All objects, in memory and, if there is a store, written through to it on every change."""

    def __init__(self, store: ObjectStore | None) -> None:
        self._store = store
        self._objects: dict[ObjectKey, WorkbenchObject] = {}
        self._history: dict[tuple[str, str, str], list[Text]] = {}
        if store is not None:
            self._load(store)

    def _load(self, store: ObjectStore) -> None:
        for data in store.load_objects():
            stored = msgspec.msgpack.decode(data, type=WorkbenchObject)
            self._objects[stored.key] = stored
        for object_type, name, part, data in store.load_versions():
            text = msgspec.msgpack.decode(data, type=Text)
            self._history.setdefault((object_type, name, part), []).insert(0, text)

    def __len__(self) -> int:
        return len(self._objects)

    def __iter__(self) -> Iterator[WorkbenchObject]:
        yield from list(self._objects.values())

    def get(self, kind: Kind, name: str) -> WorkbenchObject | None:
        """Return the object, whatever case its name is given in."""
        return self._objects.get((kind.type, name.upper()))

    def at_uri(self, uri: str) -> tuple[WorkbenchObject, str] | None:
        """Return the object and the part an address means; query, fragment and case do not matter."""
        path = uri.partition("#")[0].partition("?")[0].rstrip("/")
        for kind in KINDS.values():
            if path.lower().startswith(kind.collection + "/"):
                name, _, rest = path[len(kind.collection) + 1 :].partition("/")
                found = self.get(kind, plain_name(name))
                part = rest.removesuffix("/source/main").removeprefix("includes/") if "includes/" in rest else "main"
                return (found, part) if found is not None else None
        return None

    def create(self, new: WorkbenchObject, now: float) -> WorkbenchObject:
        """Add the object with its skeleton, inactive. The caller has checked that the name is free."""
        stamp = self._stamp(new, now)
        if new.type != "DEVC/K":
            sources = skeleton(new.kind, new.name)
            new.parts = {part: Part(inactive=Text(source, stamp, new.responsible)) for part, source in sources.items()}
        self._objects[new.key] = new
        self._save(new)
        return new

    def add_test_include(self, target: WorkbenchObject, user: str, now: float) -> None:
        """Give the class its include for test classes, if it has none yet."""
        if "testclasses" not in target.parts:
            text = Text(TEST_INCLUDE_SKELETON, self._stamp(target, now), user)
            target.parts["testclasses"] = Part(inactive=text)
            self._save(target)

    def write(self, target: WorkbenchObject, part: str, source: str, *, user: str, now: float) -> None:
        """Make this text the inactive version of the part."""
        target.parts[part].inactive = Text(normalised(source), self._stamp(target, now), user)
        self._save(target)

    def describe(self, target: WorkbenchObject, description: str) -> None:
        """Change the description, the one property of a source object that can be written."""
        target.description = description
        self._save(target)

    def activate(self, targets: Sequence[WorkbenchObject], *, user: str, now: float) -> None:
        """Make every inactive part of these objects active."""
        for target in targets:
            stamp = self._stamp(target, now)
            for name in target.inactive_parts:
                part = target.parts[name]
                if part.inactive is not None:
                    part.active = Text(part.inactive.source, stamp, user)
                    part.inactive = None
                    self._remember(target, name, part.active)
            self._save(target)

    def delete(self, target: WorkbenchObject) -> None:
        """Remove the object in all versions."""
        self._objects.pop(target.key, None)
        for part in target.parts:
            self._history.pop((*target.key, part), None)
        if self._store is not None:
            self._store.delete(*target.key)

    def history(self, target: WorkbenchObject, part: str) -> list[Text]:
        """Return the present and former active versions of a part, newest first."""
        return self._history.get((*target.key, part), [])

    def _remember(self, target: WorkbenchObject, part: str, text: Text) -> None:
        versions = self._history.setdefault((*target.key, part), [])
        versions.insert(0, text)
        if self._store is not None:
            self._store.add_version(*target.key, part, int(text.changed_at), msgspec.msgpack.encode(text))
        if len(versions) > MAX_VERSIONS:
            oldest = versions.pop()
            if self._store is not None:
                self._store.drop_version(*target.key, part, int(oldest.changed_at))

    def clear(self) -> None:
        """Remove everything."""
        for target in self:
            self.delete(target)

    def _stamp(self, target: WorkbenchObject, now: float) -> float:
        target.last_stamp = max(float(int(now)), target.last_stamp + 1)
        return target.last_stamp

    def _save(self, target: WorkbenchObject) -> None:
        if self._store is not None:
            self._store.save(*target.key, msgspec.msgpack.encode(target))


def normalised(source: str) -> str:
    """Return the text as the server keeps it: line feeds, no byte order mark, no newlines at the end."""
    return source.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")


def plain_name(segment: str) -> str:
    """Return the object name a path segment means: upper case, `%2f` and `%24` decoded."""
    return segment.replace("%2f", "/").replace("%2F", "/").replace("%24", "$").upper()
