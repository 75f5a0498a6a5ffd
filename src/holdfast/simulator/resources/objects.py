"""Classes, interfaces, programs and packages: create, read, lock, write, delete (ADT §7, §9, §11, §12, §13)."""

from xml.sax.saxutils import escape

from holdfast.simulator.abap.structure import structure_document
from holdfast.simulator.answers import Answer, Refused, adt_error, invalid_data, no_resource, not_found, xml
from holdfast.simulator.call import Call
from holdfast.simulator.clock import iso, timestamp
from holdfast.simulator.documents import ADTCORE, ATOM, LOCK_RESULT2, STRUCTURE_MEDIA, media_type, metadata, version_of
from holdfast.simulator.kinds import CLASS, PACKAGE, PROGRAM, SOURCE_KINDS, Kind
from holdfast.simulator.naming import name_problem, package_problem, taken
from holdfast.simulator.profiles import Profile
from holdfast.simulator.repository import WorkbenchObject, plain_name
from holdfast.simulator.resources.locks import lock, lock_result, require_lock, unlock
from holdfast.simulator.router import Resource
from holdfast.simulator.xmlin import attribute, name, read_xml


def routes(profile: Profile) -> list[tuple[str, Resource]]:
    """Return the collections and objects of the types this release has."""
    found: list[tuple[str, Resource]] = []
    for kind in SOURCE_KINDS:
        if kind is PROGRAM and not profile.programs:
            continue
        found += _source_routes(Objects(kind), kind)
    packages = Objects(PACKAGE)
    return [*found, (f"{PACKAGE.collection}/{{name}}", Resource(GET=packages.read))]


def _source_routes(objects: "Objects", kind: Kind) -> list[tuple[str, Resource]]:
    base = kind.collection
    source = Resource(GET=objects.read_source, PUT=objects.write_source, POST=objects.act)
    found = [
        (f"{base}/{{name}}/source/main", source),
        (f"{base}/{{name}}", Resource(GET=objects.read, PUT=objects.write, POST=objects.act, DELETE=objects.delete)),
        (base, Resource(POST=objects.create)),
        (f"{base}/{{name}}/transports", Resource(GET=objects.transports)),
        (f"{base}/{{name}}/objectstructure", Resource(GET=objects.structure)),
        (f"{base}/{{name}}/source/main/versions", Resource(GET=objects.versions)),
        (f"{base}/{{name}}/source/main/versions/{{stamp}}/{{no}}/content", Resource(GET=objects.old_source)),
    ]
    if kind.includes:
        found += [
            (f"{base}/{{name}}/includes", Resource(POST=objects.create_include)),
            (f"{base}/{{name}}/includes/{{part}}", source),
            (f"{base}/{{name}}/includes/{{part}}/versions", Resource(GET=objects.versions)),
            (f"{base}/{{name}}/includes/{{part}}/versions/{{stamp}}/{{no}}/content", Resource(GET=objects.old_source)),
        ]
    return found


class Objects:
    """The handlers of one object type."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind

    # Read

    def read(self, call: Call) -> Answer:
        """Metadata of one version."""
        target = self._target(call)
        call.accept(*self._kind.media, "application/xml")
        version = call.query.get("version", "")
        missing = _never_active(call, target, version)
        if missing is not None:
            return missing
        change = target.last_change(version)
        etag = timestamp(change.changed_at if change else target.created_at) + version_of(target, version)[:1]
        return _tagged(call, etag) or self._document(call, target, etag)

    def _document(self, call: Call, target: WorkbenchObject, etag: str | None = None, *, status: int = 200) -> Answer:
        system = call.system
        text = metadata(
            target,
            call.query.get("version", ""),
            system_id=system.system_id,
            language_version=system.profile.language_version,
        )
        answer = xml(text, media_type(target, call.headers.get("accept", "")), status=status)
        if etag:
            answer.headers.append(("etag", etag))
        return answer

    def read_source(self, call: Call) -> Answer:
        """Source of one part: CRLF, without newlines at the end."""
        target = self._target(call)
        call.accept("text/plain", "text/html", "application/octet-stream")
        part, version = self._part(call), call.query.get("version", "")
        missing = _never_active(call, target, version)
        if missing is not None:
            return missing
        text = target.parts[part].read(version) if part in target.parts else None
        if text is None:
            raise not_found(target.inner_name(part))
        etag = target.etag(part, version) or ""
        body = text.source.replace("\n", "\r\n").encode()
        return _tagged(call, etag) or Answer(200, body, "text/plain; charset=utf-8", [("etag", etag)])

    def structure(self, call: Call) -> Answer:
        """Outline of the object with positions."""
        target = self._target(call)
        return xml(structure_document(target, call.query.get("version", "")), STRUCTURE_MEDIA)

    def versions(self, call: Call) -> Answer:
        """Feed of the versions that were active, newest first."""
        target, part = self._target(call), self._part(call)
        if part not in target.parts:
            raise not_found(target.inner_name(part))
        entries = ""
        for number, text in enumerate(call.system.repository.history(target, part)):
            href = f"{target.source_uri(part)}/versions/{timestamp(text.changed_at)}/{number:05}/content"
            entries += (
                f"<atom:entry><atom:author><atom:name>{escape(text.changed_by)}</atom:name></atom:author><atom:content "
                f'src="{href}" type="text/plain"/><atom:id>{number:05}</atom:id><atom:title>{escape(target.name)}'
                f"</atom:title><atom:updated>{iso(text.changed_at)}</atom:updated></atom:entry>"
            )
        title = f"<atom:title>Version List of {escape(target.name)}</atom:title>"
        return xml(f"<atom:feed {ATOM} {ADTCORE}>{title}{entries}</atom:feed>", "application/atom+xml;type=feed")

    def old_source(self, call: Call) -> Answer:
        """Source of one version of the feed."""
        target, part = self._target(call), self._part(call)
        history = call.system.repository.history(target, part)
        number = int(call.params["no"]) if call.params["no"].isdecimal() else len(history)
        if number >= len(history):
            raise not_found(target.inner_name(part))
        return Answer(body=history[number].source.replace("\n", "\r\n").encode(), media="text/plain; charset=utf-8")

    def transports(self, call: Call) -> Answer:
        """The lock structure without a lock: which request holds the object. Local objects have none."""
        self._target(call)
        return lock_result("", dataname=LOCK_RESULT2.rpartition("=")[2])

    # Lock

    def act(self, call: Call) -> Answer:
        """LOCK and UNLOCK, at the object or anything below it: the lock is always the object's (ADT §7.1)."""
        action = call.query.get("_action", "").upper()
        if action == "UNLOCK":
            return unlock(call, call.system.repository.get(self._kind, plain_name(call.params["name"])))
        if action == "LOCK":
            return lock(call, self._target(call))
        raise adt_error(
            405, "ExceptionMethodNotSupported", "Resource controller does not support method POST",
            t100="SADT_RESOURCE/010", variables=["POST"],
        )  # fmt: skip

    # Write

    def create(self, call: Call) -> Answer:
        """Create an object: it is inactive, with the skeleton its type has."""
        call.body_type(*self._kind.media)
        root = read_xml(call.body)
        if root.tag != f"{{{self._kind.namespace}}}{self._kind.root.partition(':')[2]}":
            raise invalid_data("Check of condition failed", self._kind.root)
        new_name = attribute(root, "adtcore", "name").upper()
        package_ref = root.find(name("adtcore", "packageRef"))
        package = attribute(package_ref, "adtcore", "name").upper() if package_ref is not None else ""
        self._may_create(call, new_name, package)
        new = WorkbenchObject(
            type=self._kind.type,
            name=new_name,
            description=attribute(root, "adtcore", "description")[: self._kind.description_limit],
            package=package,
            responsible=(attribute(root, "adtcore", "responsible") or call.user).upper(),
            created_at=call.now,
            language=attribute(root, "adtcore", "masterLanguage") or call.session.language,
        )
        created = call.system.repository.create(new, call.now)
        if root.find(f"{name('class', 'include')}[@{name('class', 'includeType')}='testclasses']") is not None:
            call.system.repository.add_test_include(created, call.user, call.now)
        answer = self._document(call, created, status=201)
        answer.headers.append(("location", created.uri))
        return answer

    def _may_create(self, call: Call, new_name: str, package: str) -> None:
        problem = name_problem(self._kind, new_name) or package_problem(call.system.repository, package)
        if problem:
            raise adt_error(400, "ExceptionResourceCreationFailure", problem)
        if taken(call.system.repository, self._kind, new_name) is None:
            return
        if self._kind is PROGRAM:
            text = f"A program or include already exists with the name {new_name}."
            raise adt_error(500, "ExceptionResourceCreationFailure", text)
        word = self._kind.lock_word.capitalize()
        text = f"Resource {word} {new_name} does already exist."
        raise adt_error(call.system.switches.already_exists_status, "ExceptionResourceAlreadyExists", text)

    def create_include(self, call: Call) -> Answer:
        """Create the include for test classes (ADT §11)."""
        target = self._target(call)
        require_lock(call, target)
        wanted = attribute(read_xml(call.body), "class", "includeType")
        if wanted not in CLASS.includes:
            raise invalid_data(f"Unknown include type {wanted}", "class:abapClassInclude")
        call.system.repository.add_test_include(target, call.user, call.now)
        return Answer(201, headers=[("location", target.source_uri(wanted))])

    def write_source(self, call: Call) -> Answer:
        """Store the inactive version of one part; the lock handle decides (ADT §13)."""
        target, part = self._target(call), self._part(call)
        word = "CLASS_INCLUDE" if part != "main" else self._kind.lock_word
        entry = require_lock(call, target, word=word, inner=target.inner_name(part))
        try:
            source = self._readable_source(call, target, part)
        except Refused:
            if call.system.switches.failed_put_kills_handle:
                call.system.locks.remove(entry)
            raise
        call.system.repository.write(target, part, source, user=call.user, now=call.now)
        call.system.journal.source_written(call.body)
        return Answer(headers=[("etag", target.etag(part, "") or "")])

    def _readable_source(self, call: Call, target: WorkbenchObject, part: str) -> str:
        given = call.headers.get("content-type", "text/plain").partition(";")[0].strip().lower()
        if given not in ("text/plain", "plain/text", "application/*"):
            raise adt_error(415, "ExceptionUnsupportedMediaType", f"Content type {given} is not supported")
        if part not in target.parts:
            text = f"{target.inner_name(part)} does not have any inactive version"
            raise adt_error(500, "ExceptionResourceSaveFailure", text)
        try:
            return call.body.decode("utf-8")
        except UnicodeDecodeError as exc:
            raise adt_error(400, "ExceptionInvalidData", "The source is not valid UTF-8") from exc

    def write(self, call: Call) -> Answer:
        """Store the metadata document: of a source object the description can change."""
        target = self._target(call)
        require_lock(call, target)
        call.body_type(*self._kind.media)
        description = attribute(read_xml(call.body), "adtcore", "description")
        call.system.repository.describe(target, description[: self._kind.description_limit])
        return Answer()

    def delete(self, call: Call) -> Answer:
        """Delete the object; its lock is consumed (ADT §7.3, §15)."""
        target = self._target(call)
        entry = require_lock(call, target)
        if call.refuse_deletion:
            raise adt_error(403, "ExceptionResourceNoAccess", f"Object {target.name} cannot be deleted")
        call.system.repository.delete(target)
        call.system.locks.remove(entry)
        return Answer()

    def _target(self, call: Call) -> WorkbenchObject:
        wanted = plain_name(call.params["name"])
        found = call.system.repository.get(self._kind, wanted)
        if found is None:
            raise not_found(wanted)
        return found

    def _part(self, call: Call) -> str:
        part = call.params.get("part", "main").lower()
        if part != "main" and part not in self._kind.includes:
            raise no_resource()
        return part


def _never_active(call: Call, target: WorkbenchObject, version: str) -> Answer | None:
    """Return or raise what a reader gets who asks for the active version of what never was (ADT §12)."""
    if version != "active" or target.ever_active:
        return None
    if call.system.switches.never_active_status == 200:
        return Answer()
    raise not_found(target.name)


def _tagged(call: Call, etag: str) -> Answer | None:
    """Return 304 if the client has this version already."""
    known = call.headers.get("if-none-match", "").removeprefix("W/").strip('"')
    return Answer(304, headers=[("etag", etag)]) if known and known == etag else None
