"""An OData V2 service of a SAP Gateway, as a process of its own: python odata_v2_service.py, which prints its port

Sessions are those of `sap_system`; changes need the CSRF token of the session. Roots are `/sap/opu/odata/sap/SHOP;v=2/`
(403 without `sap-client=100` in the query or a header) and `/odata/v2/`, where there is `/upsert` besides.
`sap-mode=…` in a URL says how it misbehaves, as in `sap_system`; `POST /admin/…` takes `stats`, `reset`, `expire`,
`release`, `tokens` (forgets them) and, with a value,

| page | rows of a page |
|---|---|
| far | the next page is named at this URL |
| csrf | `off`, or `each`: a token holds for one change |
| head | the status that asking for a token by HEAD gets |
"""

import json
import re
import secrets
import xml.etree.ElementTree as ElementTree
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import odata_v2_data as data
import sap_system
from odata_v2_data import Refusal, Row

JSON, XML, ATOM = "application/json", "application/xml", "application/atom+xml"
ROOTS = ("/sap/opu/odata/sap/SHOP;v=2/", "/odata/v2/")
LOCK = sap_system.lock
SPOILT = {
    "html": (200, "text/html", b"<!doctype html><title>Logon</title>"),
    "broken": (200, JSON, b'{"d": {"results": [1, '),
    "foreign": (200, JSON, b'{"value": []}'),
    "deep": (200, JSON, b"[" * 100_000),
    "doctype": (200, ATOM, b"<!DOCTYPE x [<!ENTITY y 'z'>]><x>&y;</x>"),
    "long": (200, JSON, b'{"d": "' + b"y" * 1_000_000 + b'"}'),
    "circle": (200, JSON, b'{"d": {"results": [{"ID": "1"}], "__next": "Orders?$skiptoken=1&sap-mode=circle"}}'),
    "fault": (
        500,
        XML,
        f"<error xmlns='{data.M}'><code>SY/530</code><message>It broke\n down</message></error>".encode(),
    ),
}


class World:
    """What the service knows."""

    def __init__(self) -> None:
        self.rows = data.fresh()
        self.tokens: dict[str, str] = {}  # by session
        self.settings: dict[str, Any] = {}
        self.seen: set[str] = set()


world = World()


class Handler(sap_system.Handler):
    """One connection."""

    def serve(self) -> None:
        url, body = urlsplit(self.path), self.rfile.read(int(self.headers["content-length"] or 0))
        if url.path.startswith("/admin/"):
            said = administer(url.path.removeprefix("/admin/"), json.loads(body or b"null"))
            self.answer(200, JSON, json.dumps(said).encode())
            return
        options = dict(parse_qsl(url.query))
        mode = options.get("sap-mode", "")
        with LOCK:
            user, cookie = self.who()
            about = {"method": self.command, "path": unquote(self.path), "user": user, "cookie": self.headers["cookie"]}
            names = ("content-type", "x-http-method", "if-match", "dataserviceversion")
            sap_system.system.requests.append({**about, **{name: self.headers[name] for name in names}})
            key = f"{self.command} {self.path}"
            again, _ = key in world.seen, world.seen.add(key)
            if not user:
                self.answer(401, "text/html", b"log on", {"WWW-Authenticate": 'Basic realm="SAP"'})
                return
            if mode in ("unavailable", "busy") and not again:
                self.answer(503 if mode == "unavailable" else 429, "text/html", b"later", {"Retry-After": "1"})
                return
            said, headers = self.said(url.path, options, body, cookie)
        if mode == "fault" or (mode in SPOILT and self.command == "GET"):
            said = SPOILT[mode]
        self.finish_as(mode, said, {**cookie, **headers}, again=again)

    do_GET = do_HEAD = do_POST = do_PUT = do_MERGE = do_PATCH = do_DELETE = serve

    def who(self) -> tuple[str, dict[str, str]]:
        """Return who asks, and what a session begins with."""
        if self.headers["authorization"] == "Bearer secret":
            return "bearer", {"Set-Cookie": f"JSESSIONID={secrets.token_hex(8)}; Path=/"}
        user, cookie = self.logged_on(False)
        return user, {**cookie, "set-cookie": "sap-usercontext=sap-client=100; path=/"} if cookie else cookie

    def session(self, cookie: dict[str, str]) -> str:
        pair = (cookie.get("Set-Cookie") or self.headers["cookie"] or "").partition(f"{sap_system.COOKIE}=")[2]
        return pair.partition(";")[0]

    def said(
        self, path: str, options: dict[str, str], body: bytes, cookie: dict[str, str]
    ) -> tuple[tuple[int, str, bytes], dict[str, str]]:
        """Return the answer, and further headers of it."""
        try:
            root = next((root for root in ROOTS if f"{path}/".startswith(root)), "")
            client = options.get("sap-client", self.headers["sap-client"])
            if not root or (root == ROOTS[0] and client != "100"):
                raise Refusal(403, "/IWFND/MED/170", "No service found")
            token = self.token(self.session(cookie))
            request = Request(self, root, unquote(path.removeprefix(root)), options, body)
            status, content, headers = request.answer()
            return (status, request.kind if content else JSON, content), {**token, **headers}
        except TokenRefused:
            return (403, "text/plain", b"CSRF token validation failed"), {"x-csrf-token": "Required"}
        except Refusal as exc:
            return error(exc, self.headers["accept"] or ""), {}

    def token(self, session: str) -> dict[str, str]:
        """Hand a token out, or demand it; return the header."""
        how, asked = world.settings.get("csrf"), self.headers["x-csrf-token"] or ""
        if self.command in ("GET", "HEAD"):
            if asked.lower() != "fetch" or how == "off":
                return {}
            if self.command == "HEAD" and (status := world.settings.get("head")):
                raise Refusal(status, "SY/530", "HEAD")
            if how == "each" or session not in world.tokens:
                world.tokens[session] = secrets.token_hex(8) + "=="
            return {"x-csrf-token": world.tokens[session]}
        if how != "off" and (not asked or world.tokens.get(session) != asked):
            raise TokenRefused
        if how == "each":
            del world.tokens[session]
        return {}

    def answer(self, status: int, kind: str, content: bytes, headers: dict[str, str] | None = None) -> None:
        super().answer(status, kind, b"" if self.command == "HEAD" else content, headers)


class TokenRefused(Exception):
    """The token is missing, or not the session's."""


class Request:
    """One request to the service's entities."""

    def __init__(self, handler: Handler, root: str, path: str, options: dict[str, str], body: bytes) -> None:
        self.headers, self.path, self.options, self.body = handler.headers, path.strip("/"), options, body
        tunnelled = handler.headers["x-http-method"] if handler.command == "POST" else None
        self.method = tunnelled or handler.command
        self.base = f"http://{handler.headers['host']}{root}"
        self.atom = "atom" in (handler.headers["accept"] or "")
        self.kind = ATOM if self.atom else JSON

    def answer(self) -> tuple[int, bytes, dict[str, str]]:
        if self.path == "$metadata":
            self.kind = XML
            return 200, data.METADATA.encode(), {}
        if not self.path:
            return 200, b'{"d": {"EntitySets": ["Orders", "Items"]}}', {}
        if self.path == "upsert":
            return self.upserted()
        if self.path in ("CountAbove", "Finish"):
            return self.function()
        found = re.fullmatch(r"(\w+)(?:\((.*?)\))?(?:/(\w+|\$count))?", self.path, re.DOTALL)
        if found is None or found[1] not in data.TYPES:
            raise Refusal(404, "/IWBEP/CM_MGW_RT/020", f"Resource not found for segment '{self.path}'")
        return self.of_set(found[1], found[2], found[3] or "")

    def of_set(self, name: str, key: str | None, rest: str) -> tuple[int, bytes, dict[str, str]]:
        if rest == "$count":
            self.kind = "text/plain"
            return 200, str(len(self.chosen(world.rows[name]))).encode(), {}
        if key is None:
            return self.listed(name, world.rows[name]) if self.method == "GET" else self.created(name)
        row = self.one(name, key)
        if rest:
            target, property_, ours = data.LINKS[name][rest]
            return self.listed(target, [each for each in world.rows[target] if each[property_] == row[ours]])
        if self.method == "GET":
            return self.entity(200, name, row)
        if (match := self.headers["if-match"]) not in (None, "*", data.etag(row)):
            raise Refusal(412, "/IWFND/CM_MGW/412", f"Precondition {match} failed")
        return self.changed(name, row)

    def one(self, name: str, key: str) -> Row:
        wanted = data.key_of(name, key)
        for row in world.rows[name]:
            if all(row[each] == value for each, value in wanted.items()) and len(wanted) == len(data.KEYS[name]):
                return row
        raise Refusal(404, "/IWBEP/CM_MGW_RT/020", f"Resource not found for '{name}({key})'")

    def changed(self, name: str, row: Row) -> tuple[int, bytes, dict[str, str]]:
        if self.method == "DELETE":
            world.rows[name].remove(row)
            return 204, b"", {}
        values, _ = data.from_body(name, self.headers["content-type"], self.body)
        if self.method == "PUT":
            row.update(dict.fromkeys(each for each in data.TYPES[name] if each not in data.KEYS[name]))
        row.update(values)
        row["@"] += 1
        return 204, b"", {}

    def created(self, name: str) -> tuple[int, bytes, dict[str, str]]:
        if self.method != "POST":
            raise Refusal(405, "/IWFND/MED/405", f"{self.method} is not allowed on a set")
        values, deep = data.from_body(name, self.headers["content-type"], self.body)
        if any(all(row[key] == values.get(key) for key in data.KEYS[name]) for row in world.rows[name]):
            raise Refusal(400, "SHOP/001", "It is there already")
        row = dict.fromkeys(data.TYPES[name]) | values | {"@": 1}
        world.rows[name].append(row)
        for link, rows in deep.items():
            target, property_, ours = data.LINKS[name][link]
            world.rows[target] += [{**each, property_: row[ours], "@": 1} for each in rows]
        return self.entity(201, name, row)

    def entity(self, status: int, name: str, row: Row) -> tuple[int, bytes, dict[str, str]]:
        expand = {link: rows[id(row)] for link, rows in self.expanded(name, [row]).items()}
        headers = {"ETag": data.etag(row)}
        if self.atom:
            return status, ElementTree.tostring(data.atom_entry(self.base, name, row, self.select, expand)), headers
        return status, json.dumps({"d": data.json_entry(self.base, name, row, self.select, expand)}).encode(), headers

    @property
    def select(self) -> list[str]:
        return [each for each in self.options.get("$select", "").split(",") if each]

    def expanded(self, name: str, rows: list[Row]) -> dict[str, dict[int, list[Row]]]:
        found: dict[str, dict[int, list[Row]]] = {}
        for link in filter(None, self.options.get("$expand", "").split(",")):
            target, property_, ours = data.LINKS[name][link]
            found[link] = {
                id(row): [each for each in world.rows[target] if each[property_] == row[ours]] for row in rows
            }
        return found

    def chosen(self, rows: list[Row]) -> list[Row]:
        rows = [row for row in rows if data.holds(row, self.options.get("$filter", ""))]
        order = self.options.get("$orderby", "").split()
        return sorted(rows, key=lambda row: row[order[0]], reverse=order[-1] == "desc") if order else rows

    def listed(self, name: str, rows: list[Row]) -> tuple[int, bytes, dict[str, str]]:
        rows = self.chosen(rows)
        total = len(rows) if self.options.get("$inlinecount") == "allpages" else None
        begin = int(self.options.get("$skiptoken") or self.options.get("$skip") or 0)
        top = int(self.options.get("$top", len(rows)))
        size = min(top, world.settings.get("page") or top)
        page, more = rows[begin : begin + size], ""
        if size < top and begin + size < len(rows):
            again = {**self.options, "$skiptoken": str(begin + size)}
            query = "&".join(f"{key}={quote(value)}" for key, value in again.items())
            more = f"{world.settings.get('far') or self.base}{self.path}?{query}"
        expand = self.expanded(name, page)
        if self.atom:
            feed = data.atom_feed(self.base, name, page, count=total, next=more, select=self.select, expand=expand)
            return 200, ElementTree.tostring(feed), {}
        results = [
            data.json_entry(self.base, name, row, self.select, {link: rows[id(row)] for link, rows in expand.items()})
            for row in page
        ]
        inner: Row = {"results": results} | ({"__next": more} if more else {})
        return 200, json.dumps({"d": inner | ({"__count": str(total)} if total is not None else {})}).encode(), {}

    def function(self) -> tuple[int, bytes, dict[str, str]]:
        wanted = "POST" if self.path == "Finish" else "GET"
        if self.method != wanted:
            raise Refusal(405, "/IWFND/MED/405", f"{self.path} wants {wanted}")
        given = {name: data.literal(value) for name, value in self.options.items() if not name.startswith(("$", "sap"))}
        if self.path == "Finish":
            row = self.one("Orders", f"'{given['ID']}'")
            row["Done"], row["@"] = True, row["@"] + 1
            return self.entity(200, "Orders", row)
        rows = [row for row in world.rows["Orders"] if row["Count"] > given["count"] and row["Note"] != given["note"]]
        if self.atom:
            said = f"<d:CountAbove xmlns:d='{data.D}' xmlns:m='{data.M}' m:type='Edm.Int32'>{len(rows)}</d:CountAbove>"
            return 200, said.encode(), {}
        return 200, json.dumps({"d": {"CountAbove": len(rows)}}).encode(), {}

    def upserted(self) -> tuple[int, bytes, dict[str, str]]:
        sent = json.loads(self.body)
        return 200, json.dumps({"d": [self.upsert(number, each) for number, each in enumerate(sent)]}).encode(), {}

    def upsert(self, number: int, entity: Row) -> Row:
        try:
            name = entity["__metadata"]["uri"].partition("(")[0]
            values = data.from_json(name, entity)
            found = [row for row in world.rows[name] if all(row[key] == values[key] for key in data.KEYS[name])]
            if found:
                found[0].update(values)
            else:
                world.rows[name].append(dict.fromkeys(data.TYPES[name]) | values | {"@": 1})
            return {"key": name, "status": "OK", "editStatus": "UPSERTED", "index": number, "httpCode": 200}
        except (Refusal, KeyError) as exc:
            return {"key": None, "status": "ERROR", "message": f"bad entity: {exc}", "index": number, "httpCode": 500}


def error(refusal: Refusal, accept: str) -> tuple[int, str, bytes]:
    if "atom" in accept:
        code, message = refusal.code, refusal.message.replace("&", "&amp;")
        said = f"<error xmlns='{data.M}'><code>{code}</code><message xml:lang='en'>{message}</message></error>"
        return refusal.status, XML, said.encode()
    inner = {"code": refusal.code, "message": {"lang": "en", "value": refusal.message}}
    return refusal.status, JSON, json.dumps({"error": inner}).encode()


def administer(what: str, value: Any) -> Any:
    with LOCK:
        if what == "reset":
            world.__init__()  # type: ignore[misc]
        elif what == "tokens":
            world.tokens.clear()
        elif what in ("page", "far", "csrf", "head"):
            world.settings[what] = value
        rows = {
            name: [{key: data.as_json(each) for key, each in row.items() if key != "@"} for row in rows]
            for name, rows in world.rows.items()
        }
        return sap_system.administer(what) | {"rows": rows}


if __name__ == "__main__":
    sap_system.serve(Handler)
