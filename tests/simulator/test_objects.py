"""ADT §10 to §16: create, read, write, check, activate, delete, find."""

import base64
import re
from xml.sax.saxutils import quoteattr

import httpx2
import pytest
from lxml import etree

from simulator.wire import CLOCK, DESK, GREETER, PROGRAM, Build, Caller, System

ADT = "/sap/bc/adt"
NS = {
    "adtcore": "http://www.sap.com/adt/core",
    "atom": "http://www.w3.org/2005/Atom",
    "class": "http://www.sap.com/adt/oo/classes",
    "chkrun": "http://www.sap.com/adt/checkrun",
    "chkl": "http://www.sap.com/abapxml/checklist",
    "ioc": "http://www.sap.com/abapxml/inactiveCtsObjects",
    "del": "http://www.sap.com/adt/deletion",
    "abapsource": "http://www.sap.com/adt/abapsource",
    "oo": "http://www.sap.com/adt/oo",
}
KINDS = {
    "CLAS/OC": ("oo/classes", "class:abapClass", "http://www.sap.com/adt/oo/classes"),
    "INTF/OI": ("oo/interfaces", "intf:abapInterface", "http://www.sap.com/adt/oo/interfaces"),
    "PROG/P": ("programs/programs", "program:abapProgram", "http://www.sap.com/adt/programs/programs"),
}
GOOD = {
    "CLAS/OC": "CLASS z_new DEFINITION PUBLIC.\nENDCLASS.\nCLASS z_new IMPLEMENTATION.\nENDCLASS.",
    "INTF/OI": "INTERFACE z_new PUBLIC.\nENDINTERFACE.",
    "PROG/P": "REPORT z_new.",
}


async def create(caller: Caller, kind: str, name: str = "Z_NEW", package: str = "$TMP") -> httpx2.Response:
    collection, root, namespace = KINDS[kind]
    body = (
        f'  \n<?xml version="1.0" encoding="UTF-8"?><{root} xmlns:{root.partition(":")[0]}="{namespace}" '
        f'xmlns:adtcore="{NS["adtcore"]}" adtcore:name="{name}" adtcore:description="New one" adtcore:type="{kind}">'
        f'<adtcore:packageRef adtcore:name="{package}"/></{root}>'
    )
    return await caller.call("POST", f"{ADT}/{collection}", headers={"content-type": "application/*"}, content=body)


def references(*uris: str) -> str:
    listed = "".join(f"<adtcore:objectReference adtcore:uri={quoteattr(uri)}/>" for uri in uris)
    return f'<adtcore:objectReferences xmlns:adtcore="{NS["adtcore"]}">{listed}</adtcore:objectReferences>'


async def activate(caller: Caller, *uris: str, preaudit: bool = False, mode: str | None = None) -> etree._Element:
    url = f"{ADT}/activation?method=activate&preauditRequested={'true' if preaudit else 'false'}"
    answer = await caller.call("POST", url, mode, content=references(*uris))
    assert answer.status_code == 200, answer.text
    return etree.fromstring(answer.content)


def executed(result: etree._Element) -> str:
    return str(result.xpath("string(chkl:properties/@activationExecuted)", namespaces=NS))


# A24, ADT §11
@pytest.mark.parametrize("kind", KINDS)
async def test_a_new_object_is_inactive_and_becomes_active(system: System, caller: Caller, kind: str) -> None:
    answer = await create(caller, kind)
    assert answer.status_code == 201
    uri = answer.headers["location"]
    assert uri == f"{ADT}/{KINDS[kind][0]}/z_new"
    assert 'adtcore:version="inactive"' in answer.text
    assert (await caller.call("GET", f"{uri}/source/main?version=active")).status_code == 404
    handle = await caller.lock(uri)
    await caller.put(handle, GOOD[kind], uri)
    assert executed(await activate(caller, uri, mode="stateful")) == "true"
    assert 'adtcore:version="active"' in (await caller.call("GET", uri)).text
    assert await caller.source(uri, "active") == GOOD[kind].replace("\n", "\r\n")
    assert executed(await activate(caller, uri)) == "false"


async def test_a_new_class_has_a_skeleton_that_activates(caller: Caller) -> None:
    await create(caller, "CLAS/OC")
    source = await caller.source(f"{ADT}/oo/classes/z_new")
    assert source.startswith("CLASS z_new DEFINITION\r\n  PUBLIC")
    assert executed(await activate(caller, f"{ADT}/oo/classes/z_new")) == "true"


@pytest.mark.parametrize("status", [404, 200])
async def test_the_active_version_of_what_was_never_active_is_missing_or_empty(build: Build, status: int) -> None:
    caller = await build(never_active_status=status).caller()
    await create(caller, "CLAS/OC")
    for path in ("", "/source/main"):
        answer = await caller.call("GET", f"{ADT}/oo/classes/z_new{path}?version=active")
        assert answer.status_code == status
        assert status == 404 or answer.content == b""


# A24, ADT §12
async def test_a_class_document_has_five_includes_with_two_links_each(caller: Caller) -> None:
    root = etree.fromstring((await caller.call("GET", GREETER)).content)
    includes = root.findall("class:include", NS)
    types = [include.get(f"{{{NS['class']}}}includeType") for include in includes]
    assert types == ["definitions", "implementations", "macros", "testclasses", "main"]
    assert all(len(include.findall("atom:link", NS)) >= 2 for include in includes)
    assert root.xpath("string(adtcore:packageRef/@adtcore:name)", namespaces=NS) == "ZHOLDFAST_DEMO"
    assert root.tag == f"{{{NS['class']}}}abapClass"
    assert root.prefix == "class"


async def test_final_and_abstract_are_read_from_the_source(caller: Caller) -> None:
    assert 'class:final="true" class:abstract="false"' in (await caller.call("GET", GREETER)).text
    text = (await caller.source()).replace("  FINAL\r\n", "  ABSTRACT\r\n")
    await caller.put(await caller.lock(), text)
    assert 'class:final="false" class:abstract="true"' in (await caller.call("GET", GREETER, "stateful")).text
    assert 'class:final="true"' in (await caller.call("GET", f"{GREETER}?version=active", "stateful")).text


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        (f"{GREETER}/source/main", r"\d{14}001000001"),
        (f"{GREETER}/includes/macros", r"\d{14}0011"),
        (f"{PROGRAM}/source/main", r"\d{14}0011"),
    ],
)
async def test_an_etag_has_the_shape_of_its_type_and_saves_a_second_read(caller: Caller, path: str, shape: str) -> None:
    etag = (await caller.call("GET", path)).headers["etag"]
    assert re.fullmatch(shape, etag)
    again = await caller.call("GET", path, headers={"if-none-match": etag})
    assert (again.status_code, again.content) == (304, b"")
    assert (await caller.call("GET", path, headers={"if-none-match": "other"})).status_code == 200


async def test_etags_differ_between_versions_and_change_at_activation(caller: Caller) -> None:
    async def etag(version: str) -> str:
        answer = await caller.call("GET", f"{GREETER}/source/main?version={version}", "stateful")
        return str(answer.headers["etag"])

    before = await etag("active")
    text = await caller.source()
    handle = await caller.lock()
    put = await caller.put(handle, text)
    assert put.headers["etag"] == await etag("inactive") != before
    assert await etag("active") == before
    await activate(caller, GREETER, mode="stateful")
    assert await etag("active") not in (before, put.headers["etag"])
    assert await caller.source(version="active") == text


async def test_two_writes_within_a_second_have_two_etags(caller: Caller) -> None:
    handle = await caller.lock()
    tags = [(await caller.put(handle, f"* {number}")).headers["etag"] for number in range(3)]
    assert len(set(tags)) == 3


# A24, ADT §12, §13
@pytest.mark.parametrize("text", ["* a\n* b\n\n\n", "* a\r\n* b\r\n", "* a\r* b", "\ufeff* a\n* b"])
async def test_line_ends_are_normalised_and_trailing_newlines_stripped(caller: Caller, text: str) -> None:
    handle = await caller.lock()
    assert (await caller.put(handle, text)).status_code == 200
    assert await caller.source() == "* a\r\n* b"


async def test_a_write_goes_to_the_inactive_version_only(caller: Caller) -> None:
    before = await caller.source()
    handle = await caller.lock()
    await caller.put(handle, "* new")
    assert await caller.source(version="active") == before
    assert await caller.source(version="inactive") == await caller.source() == "* new"


async def test_a_large_source_is_taken_whole(caller: Caller) -> None:
    handle = await caller.lock()
    text = "* x\n" * 1_250_000
    assert (await caller.put(handle, text)).status_code == 200
    assert len(await caller.source()) == len(text) // 4 * 5 - 2


async def test_the_description_is_written_with_the_metadata(caller: Caller) -> None:
    handle = await caller.lock(PROGRAM)
    document = (await caller.call("GET", PROGRAM, "stateful")).text.replace("Greets whoever is named", "Other")
    answer = await caller.call("PUT", f"{PROGRAM}?lockHandle={handle}", "stateful", content=document.encode())
    assert answer.status_code == 200
    assert 'adtcore:description="Other"' in (await caller.call("GET", PROGRAM, "stateful")).text


async def test_test_classes_exist_only_once_they_were_created(caller: Caller) -> None:
    await create(caller, "CLAS/OC")
    uri = f"{ADT}/oo/classes/z_new"
    assert (await caller.call("GET", f"{uri}/includes/testclasses")).status_code == 404
    handle = await caller.lock(uri)
    body = f'<class:abapClassInclude xmlns:class="{NS["class"]}" class:includeType="testclasses"/>'
    url = f"{uri}/includes?lockHandle="
    assert (await caller.call("POST", url + "0" * 40, "stateful", content=body)).status_code == 423
    assert (await caller.call("POST", url + handle, "stateful", content=body)).status_code == 201
    put = await caller.call("PUT", f"{uri}/includes/testclasses?lockHandle={handle}", "stateful", content="* tests")
    assert put.status_code == 200
    assert (await caller.call("GET", f"{uri}/includes/testclasses", "stateful")).text == "* tests"


async def test_versions_list_what_was_active_newest_first(caller: Caller) -> None:
    handle = await caller.lock(CLOCK)
    text = (await caller.source(CLOCK)).replace("UTC", "universal time")
    await caller.put(handle, text, CLOCK)
    await activate(caller, CLOCK, mode="stateful")
    feed = etree.fromstring((await caller.call("GET", f"{CLOCK}/source/main/versions")).content)
    sources = [str(found) for found in feed.xpath("atom:entry/atom:content/@src", namespaces=NS)]
    assert len(sources) == 2
    assert (await caller.call("GET", sources[0])).text == text
    assert "UTC" in (await caller.call("GET", sources[1])).text


async def test_the_outline_points_at_definition_and_implementation(caller: Caller) -> None:
    root = etree.fromstring((await caller.call("GET", f"{DESK}/objectstructure?version=active")).content)
    place = root.xpath("abapsource:objectStructureElement[@adtcore:name='PLACE']", namespaces=NS)[0]
    hrefs = [str(found) for found in place.xpath("atom:link/@href", namespaces=NS)]
    lines = (await caller.source(DESK)).split("\r\n")
    for href in hrefs[:2]:
        line, start, end = (int(found) for found in re.findall(r"start=(\d+),(\d+);end=\d+,(\d+)", href)[0])
        assert lines[line - 1][start:end] == "place"


# A24, ADT §10
@pytest.mark.parametrize(
    ("endpoint", "name", "good"),
    [
        ("oo/validation/objectname?objtype=CLAS/OC", "ZCL_FREE", True),
        ("oo/validation/objectname?objtype=INTF/OI", "ZIF_FREE", True),
        ("programs/validation?objtype=PROG/P", "Z_FREE", True),
        ("oo/validation/objectname?objtype=CLAS/OC", "ZCL_HF_GREETER", False),
        ("oo/validation/objectname?objtype=CLAS/OC", "ZIF_HF_CLOCK", False),
        ("programs/validation?objtype=PROG/P", "Z_HF_HELLO", False),
        ("oo/validation/objectname?objtype=CLAS/OC", "Z" * 31, False),
        ("programs/validation?objtype=PROG/P", "RSPARAM", False),
    ],
)
async def test_validation_says_whether_a_name_is_possible(caller: Caller, endpoint: str, name: str, good: bool) -> None:
    answer = await caller.call("POST", f"{ADT}/{endpoint}&objname={name}&description=x&packagename=$TMP")
    assert answer.status_code == 200
    assert ("ERROR" in answer.text) is not good
    assert good or name in answer.text
    assert not good or "<CHECK_RESULT>X" in answer.text or "<SEVERITY>OK" in answer.text


async def test_by_a_switch_an_impossible_name_is_a_400(build: Build) -> None:
    caller = await build(invalid_name_status=400).caller()
    answer = await caller.call("POST", f"{ADT}/oo/validation/objectname?objtype=CLAS/OC&objname={'Z' * 31}")
    assert answer.status_code == 400


# A24, ADT §13
@pytest.mark.parametrize("source_uri_on", ["object", "artifact"])
async def test_a_check_run_reports_on_unsaved_text_with_line_and_column(caller: Caller, source_uri_on: str) -> None:
    content = base64.b64encode(b"REPORT z_hf_hello.\n  WRIET `x`.").decode()
    uris = [f"{PROGRAM}/source/main", PROGRAM]
    outer, inner = uris if source_uri_on == "object" else reversed(uris)
    body = (
        f'<chkrun:checkObjectList xmlns:chkrun="{NS["chkrun"]}" xmlns:adtcore="{NS["adtcore"]}"><chkrun:checkObject '
        f'adtcore:uri="{outer}" chkrun:version="active"><chkrun:artifacts><chkrun:artifact chkrun:uri="{inner}" '
        f'chkrun:contentType="text/plain; charset=utf-8"><chkrun:content>{content}</chkrun:content></chkrun:artifact>'
        "</chkrun:artifacts></chkrun:checkObject></chkrun:checkObjectList>"
    )
    answer = await caller.call("POST", f"{ADT}/checkruns?reporters=abapCheckRun", content=body)
    root = etree.fromstring(answer.content)
    [message] = root.iter(f"{{{NS['chkrun']}}}checkMessage")
    assert message.get(f"{{{NS['chkrun']}}}uri") == f"{PROGRAM}/source/main#start=2,2;end=2,7"
    assert message.get(f"{{{NS['chkrun']}}}type") == "E"
    assert "WRIET" in str(message.get(f"{{{NS['chkrun']}}}shortText"))
    assert await caller.source(PROGRAM) != "REPORT z_hf_hello.\r\n  WRIET `x`."


async def test_a_check_run_of_stored_sources_finds_nothing_in_the_demo(system: System, caller: Caller) -> None:
    objects = [target.uri for target in system.sim.repository]
    listed = "".join(f'<chkrun:checkObject adtcore:uri="{uri}" chkrun:version="active"/>' for uri in objects)
    body = (
        f'<chkrun:checkObjectList xmlns:chkrun="{NS["chkrun"]}" xmlns:adtcore="{NS["adtcore"]}">'
        f"{listed}</chkrun:checkObjectList>"
    )
    root = etree.fromstring((await caller.call("POST", f"{ADT}/checkruns", content=body)).content)
    assert len(list(root.iter(f"{{{NS['chkrun']}}}checkReport"))) == len(objects)
    assert list(root.iter(f"{{{NS['chkrun']}}}checkMessage")) == []


# A24, ADT §14
@pytest.mark.parametrize("kind", KINDS)
async def test_three_dots_are_saved_and_then_refused_at_activation(caller: Caller, kind: str) -> None:
    uri = (await create(caller, kind)).headers["location"]
    handle = await caller.lock(uri)
    assert (await caller.put(handle, "...", uri)).status_code == 200
    result = await activate(caller, uri, mode="stateful")
    assert executed(result) == "false"
    first = result.findall("msg")[0]
    assert (first.get("type"), first.get("line")) == ("E", "1")
    assert first.findtext("shortText/txt")


async def test_activation_is_all_or_nothing(caller: Caller) -> None:
    good, bad = CLOCK, PROGRAM
    for path, text in ((good, (await caller.source(CLOCK)) + "\n* changed"), (bad, "...")):
        await caller.put(await caller.lock(path), text, path)
    assert executed(await activate(caller, good, bad, mode="stateful")) == "false"
    assert "* changed" not in await caller.source(good, "active")


@pytest.mark.parametrize("how", ["message", "403"])
async def test_an_object_locked_elsewhere_is_not_activated(build: Build, how: str) -> None:
    system = build(locked_activation=how)
    caller = await system.caller()
    handle = await caller.lock(PROGRAM)
    await caller.put(handle, "REPORT z_hf_hello.", PROGRAM)
    other = await system.caller("ALICE")
    answer = await other.call("POST", f"{ADT}/activation?method=activate", content=references(PROGRAM))
    assert answer.status_code == (200 if how == "message" else 403)
    assert "User DEVELOPER is currently editing Z_HF_HELLO" in answer.text
    assert executed(await activate(caller, PROGRAM, mode="stateful")) == "true"


async def test_a_missing_object_is_a_message_inside_200(caller: Caller) -> None:
    result = await activate(caller, f"{ADT}/oo/classes/zcl_missing")
    assert executed(result) == "false"
    assert "does not exist" in str(result.findtext("msg/shortText/txt"))


async def test_a_preaudit_lists_what_else_is_inactive_and_used(caller: Caller) -> None:
    await caller.put(await caller.lock(CLOCK), (await caller.source(CLOCK)) + "\n* changed", CLOCK)
    uses = f"{ADT}/oo/classes/zcl_hf_system_clock"
    await caller.put(await caller.lock(uses), (await caller.source(uses)) + "\n* changed", uses)
    listed = await activate(caller, uses, preaudit=True, mode="stateful")
    assert listed.tag == f"{{{NS['ioc']}}}inactiveObjects"
    names = [str(found) for found in listed.xpath("//ioc:ref/@adtcore:name", namespaces=NS)]
    assert names == ["ZCL_HF_SYSTEM_CLOCK", "ZIF_HF_CLOCK"]
    assert executed(await activate(caller, uses, CLOCK, preaudit=True, mode="stateful")) == "true"


async def test_inactive_objects_are_listed_with_their_parts_for_their_user(system: System, caller: Caller) -> None:
    handle = await caller.lock()
    await caller.call(
        "PUT", f"{GREETER}/includes/testclasses", "stateful", params={"lockHandle": handle}, content="* t"
    )
    url = f"{ADT}/activation/inactiveobjects"
    root = etree.fromstring((await caller.call("GET", url, "stateful")).content)
    types = [str(found) for found in root.xpath("//ioc:ref/@adtcore:type", namespaces=NS)]
    assert types == ["CLAS/OC", "CLAS/OCN/testclasses"]
    alice = await system.caller("ALICE")
    assert "ioc:ref" not in (await alice.call("GET", url)).text
    assert "ioc:ref" in (await alice.call("GET", f"{url}?USERNAME=DEVELOPER")).text


async def test_a_successful_activation_may_answer_without_a_body(build: Build) -> None:
    caller = await build(empty_activation_answer=True).caller()
    await create(caller, "CLAS/OC")
    body = references(f"{ADT}/oo/classes/z_new")
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = await caller.call("POST", f"{ADT}/activation?method=activate", headers=headers, content=body)
    assert (answer.status_code, answer.content) == (200, b"")


# A24, ADT §15
async def test_the_deletion_service_checks_and_deletes_without_a_handle(system: System, caller: Caller) -> None:
    def body(root: str, *uris: str) -> str:
        listed = "".join(f'<del:object adtcore:uri="{uri}"/>' for uri in uris)
        return f'<del:{root} xmlns:del="{NS["del"]}" xmlns:adtcore="{NS["adtcore"]}">{listed}</del:{root}>'

    await (await system.caller("ALICE")).lock(DESK)
    package = f"{ADT}/packages/zholdfast_demo"
    checked = await caller.call("POST", f"{ADT}/deletion/check", content=body("checkRequest", GREETER, package))
    assert re.findall('isDeletable="(.*?)"', checked.text) == ["true", "false"]
    assert "Package contains 8 objects" in checked.text
    wanted = body("deletionRequest", GREETER, DESK, f"{ADT}/oo/classes/zcl_missing")
    deleted = await caller.call("POST", f"{ADT}/deletion/delete", content=wanted)
    assert re.findall('isDeleted="(.*?)"', deleted.text) == ["true", "false", "false"]
    assert "User ALICE is currently editing ZCL_HF_ORDER_DESK" in deleted.text
    assert (await caller.call("GET", GREETER)).status_code == 404


async def test_the_deletion_service_consumes_the_lock_of_its_own_context(system: System, caller: Caller) -> None:
    await caller.lock()
    wanted = (
        f'<del:deletionRequest xmlns:del="{NS["del"]}" xmlns:adtcore="{NS["adtcore"]}">'
        f'<del:object adtcore:uri="{GREETER}"/></del:deletionRequest>'
    )
    await caller.call("POST", f"{ADT}/deletion/delete", "stateful", content=wanted)
    assert await system.sm12() == []


# A24, ADT §16
@pytest.mark.parametrize(
    ("query", "more", "names"),
    [
        ("ZCL_HF_O*", "", ["ZCL_HF_ORDER_DESK"]),
        ("zif_hf", "", ["ZIF_HF_CLOCK", "ZIF_HF_ORDER_STORE"]),
        ("*HELLO*", "&objectType=PROG", ["Z_HF_HELLO"]),
        ("*HELLO*", "&objectType=CLAS", []),
        ("Z?_HF*", "", []),
        ("*", "&packageName=$TMP", []),
        ("ZIF*", "&objectType=INTF/OI&maxResults=1", ["ZIF_HF_CLOCK"]),
    ],
)
async def test_search_finds_by_pattern_type_and_package(
    caller: Caller, query: str, more: str, names: list[str]
) -> None:
    url = f"{ADT}/repository/informationsystem/search?operation=quickSearch&query={query}{more}"
    root = etree.fromstring((await caller.call("GET", url)).content)
    assert [str(found) for found in root.xpath("//@adtcore:name", namespaces=NS)] == names


async def test_package_contents_are_listed_by_type(caller: Caller) -> None:
    url = f"{ADT}/repository/nodestructure?parent_type=DEVC/K&parent_name=ZHOLDFAST_DEMO"
    answer = await caller.call("POST", url)
    root = etree.fromstring(answer.content)
    assert len(root.findall(".//SEU_ADT_REPOSITORY_OBJ_NODE")) == 8
    types = [found.text for found in root.findall(".//SEU_ADT_OBJECT_TYPE_INFO/OBJECT_TYPE")]
    assert types == ["CLAS/OC", "INTF/OI", "PROG/P"]
    assert "dataname=com.sap.adt.RepositoryObjectTreeContent" in answer.headers["content-type"]


async def test_packages_and_object_types_can_be_read(caller: Caller) -> None:
    assert 'adtcore:name="$TMP"' in (await caller.call("GET", f"{ADT}/packages/%24tmp")).text
    types = await caller.call("GET", f"{ADT}/repository/informationsystem/objecttypes?name=*&data=usedByProvider")
    assert "<nameditem:name>CLAS/OC</nameditem:name>" in types.text


async def test_names_with_a_namespace_are_one_path_segment(caller: Caller) -> None:
    answer = await create(caller, "CLAS/OC", "/HFT/CL_A")
    assert answer.headers["location"] == f"{ADT}/oo/classes/%2fhft%2fcl_a"
    handle = await caller.lock(f"{ADT}/oo/classes/%2FHFT%2FCL_A")
    assert (await caller.put(handle, "* x", f"{ADT}/oo/classes/%2fhft%2fcl_a")).status_code == 200
