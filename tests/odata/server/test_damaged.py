"""Requests that are damaged anywhere are answered as OData answers, and no session or lock is lost by one (O6, O11)."""

from urllib.parse import quote

import anyio
import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from odata.server.world import Tab, World, opened

PATHS = [
    *(
        "",
        "Orders",
        "Orders('1')",
        "Orders('1')/Items",
        "Orders('1')/Items(1)",
        "Orders('1')/Note/$value",
        "Orders/$count",
    ),
    *(
        "Orders('1')/Demo.Edit",
        "Orders('1')/Demo.Save",
        "Orders('1')/Demo.Raise",
        "Orders/Demo.Create",
        "Discard",
        "Ping",
    ),
    *("Orders/Demo.Largest(count=2)", "Sum(a=1,b=2)", "Frees(1)", "Orders('')", "$batch", "Orders('1')/Ship/City"),
]
QUERIES = [
    *(
        "",
        "$filter=contains(Note,'f') and Amount lt 30",
        "$filter=Items/any(i:i/Pos gt 1)",
        "$orderby=Note desc,Amount",
    ),
    *(
        "$select=Note,Ship/City",
        "$expand=Items($filter=Pos gt 1;$top=1)",
        "$top=1&$skip=1&$count=true",
        "$search=a OR b",
    ),
    *(
        "$filter=Price div 0 eq 1",
        "$filter=year(Due) eq 2026",
        "$skiptoken=1",
        "$format=json",
        "$filter=Status eq 'Open'",
    ),
]
BODIES = [
    *(
        '{"Note":"a","Amount":3}',
        '{"Items":[{"Pos":1,"Text":"x"}]}',
        '{"Price":1.5,"Big":7,"Due":"2026-01-01"}',
        "{}",
        "",
    ),
    *('{"Ship":{"City":"B","Zip":null},"Tags":["a"]}', '{"by":1,"reason":"r"}', '{"text":"x"}', '{"requests":[]}'),
]
PIECES = [
    "",
    "'",
    '"',
    "(",
    ")",
    "{",
    "]",
    ",",
    "/",
    "$",
    "@x",
    "%00",
    "null",
    "1e999",
    "INF",
    "Items",
    "\\ud800",
    "\x00",
    "ö",
]


@st.composite
def damaged(draw: st.DrawFn, whole: list[str]) -> str:
    """Return one of the texts, as it is or with a piece of it replaced."""
    text = draw(st.sampled_from(whole))
    if draw(st.booleans()):
        return text
    begin = draw(st.integers(0, len(text)))
    end = draw(st.integers(begin, min(len(text), begin + 5)))
    return text[:begin] + draw(st.sampled_from(PIECES)) + text[end:]


METHODS = st.sampled_from(["GET", "HEAD", "POST", "PATCH", "PUT", "DELETE"])
REQUESTS = st.lists(st.tuples(METHODS, damaged(PATHS), damaged(QUERIES), damaged(BODIES)), min_size=1, max_size=10)


async def is_answered(world: World, tab: Tab, method: str, path: str, query: str, body: str) -> None:
    """Send a request, and fail unless its answer is one of OData's and session and lock are there or gone together."""
    carried, read = tab.id, method in ("GET", "HEAD")
    address = quote(f"{path}?{query}" if query else path, safe="/?$=&'(),;:@*!%")
    answer = await tab.send(method, address, None if read else body.encode())
    assert answer.status_code < 500 or answer.status_code == 501, answer.text
    assert "sap-err-id" not in answer.headers
    if answer.status_code >= 400:
        assert tab.id == carried
        if method != "HEAD":
            error = msgspec.json.decode(answer.content)["error"]
            assert error["code"]
            assert error["message"]
    elif answer.headers.get("content-type", "").startswith("application/json") and method != "HEAD":
        msgspec.json.decode(answer.content)
    assert bool(world.orders.locks) <= (tab.id is not None)


@given(REQUESTS)
@settings(max_examples=60, deadline=None)
def test_whatever_comes_is_answered_and_no_lock_outlives_its_session(requests: list[tuple[str, str, str, str]]) -> None:
    async def run() -> None:
        with anyio.fail_after(30):
            async with opened() as world:
                tab = world.tab()
                assert (await tab.send("POST", "Orders('1')/Demo.Edit", {})).status_code == 200
                for request in requests:
                    await is_answered(world, tab, *request)

    anyio.run(run)
