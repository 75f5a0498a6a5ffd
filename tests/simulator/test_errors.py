"""ADT §8: the error envelope, and each row of the table that classes, interfaces and programs can bring about.

Rows of other types (data preview, debugger, function groups, transports) come with those types; the rows that only
load or a proxy brings about are played by faults, see `test_faults.py`.
"""

from collections.abc import Awaitable, Callable

import httpx2
import pytest

from simulator.wire import CLOCK, DESK, GREETER, PROGRAM, Build, Caller, System, error_of

ADT = "/sap/bc/adt"
LOCK = "?_action=LOCK&accessMode=MODIFY"
Row = Callable[[System, Caller], Awaitable[httpx2.Response]]


def class_xml(name: str, *, package: str = "$TMP", root: str = "abapClass") -> str:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><class:{root} xmlns:class="http://www.sap.com/adt/oo/classes" '
        f'xmlns:adtcore="http://www.sap.com/adt/core" adtcore:name="{name}" adtcore:description="Test" '
        f'adtcore:type="CLAS/OC"><adtcore:packageRef adtcore:name="{package}"/></class:{root}>'
    )


def program_xml(name: str) -> str:
    return (
        '<program:abapProgram xmlns:program="http://www.sap.com/adt/programs/programs" '
        f'xmlns:adtcore="http://www.sap.com/adt/core" adtcore:name="{name}" adtcore:description="Test">'
        '<adtcore:packageRef adtcore:name="$TMP"/></program:abapProgram>'
    )


async def put_without_handle(_system: System, caller: Caller) -> httpx2.Response:
    await caller.lock()
    return await caller.call("PUT", f"{GREETER}/source/main", "stateful", content="* x")


async def delete_without_handle(_system: System, caller: Caller) -> httpx2.Response:
    return await caller.call("DELETE", GREETER, "stateful")


async def create_broken_xml(_system: System, caller: Caller) -> httpx2.Response:
    return await caller.call("POST", f"{ADT}/oo/classes", content="<class:abapClass")


async def create_wrong_root(_system: System, caller: Caller) -> httpx2.Response:
    return await caller.call("POST", f"{ADT}/oo/classes", content=class_xml("ZCL_X", root="abapInterface"))


async def create_document_type(_system: System, caller: Caller) -> httpx2.Response:
    bomb = '<!DOCTYPE a [<!ENTITY b "c">]>' + class_xml("ZCL_X").partition("?>")[2]
    return await caller.call("POST", f"{ADT}/oo/classes", content=bomb)


async def locked_by_other(system: System, caller: Caller) -> httpx2.Response:
    await (await system.caller("ALICE")).lock()
    return await caller.call("POST", GREETER + LOCK, "stateful")


async def object_missing(_system: System, caller: Caller) -> httpx2.Response:
    return await caller.call("GET", f"{ADT}/oo/classes/zcl_missing")


async def source_missing(_system: System, caller: Caller) -> httpx2.Response:
    return await caller.call("GET", f"{ADT}/programs/programs/z_missing/source/main")


async def lock_of_missing(_system: System, caller: Caller) -> httpx2.Response:
    return await caller.call("POST", f"{ADT}/oo/classes/zcl_missing{LOCK}", "stateful")


async def unknown_url(_system: System, caller: Caller) -> httpx2.Response:
    return await caller.call("GET", f"{ADT}/no/such/resource")


async def wrong_method(_system: System, caller: Caller) -> httpx2.Response:
    return await caller.call("POST", f"{ADT}/discovery")


async def wrong_accept(_system: System, caller: Caller) -> httpx2.Response:
    return await caller.call("GET", f"{GREETER}/source/main", headers={"accept": "application/json"})


async def wrong_content_type(_system: System, caller: Caller) -> httpx2.Response:
    headers = {"content-type": "application/json"}
    return await caller.call("POST", f"{ADT}/oo/classes", headers=headers, content="{}")


async def wrong_handle_class(_system: System, caller: Caller) -> httpx2.Response:
    await caller.lock()
    return await caller.put("F" * 40, "* x")


async def wrong_handle_include(_system: System, caller: Caller) -> httpx2.Response:
    path = f"{GREETER}/includes/testclasses?lockHandle={'F' * 40}"
    return await caller.call("PUT", path, "stateful", content="* x")


async def wrong_handle_program(_system: System, caller: Caller) -> httpx2.Response:
    return await caller.put("F" * 40, "* x", PROGRAM)


async def handle_of_other_object(_system: System, caller: Caller) -> httpx2.Response:
    handle = await caller.lock(DESK)
    return await caller.put(handle, "* x", GREETER)


async def handle_of_other_user(system: System, caller: Caller) -> httpx2.Response:
    handle = await (await system.caller("ALICE")).lock()
    return await caller.put(handle, "* x")


async def delete_wrong_handle(_system: System, caller: Caller) -> httpx2.Response:
    return await caller.call("DELETE", f"{CLOCK}?lockHandle={'F' * 40}", "stateful")


async def no_test_include(_system: System, caller: Caller) -> httpx2.Response:
    path = f"{ADT}/oo/classes/zcl_hf_memory_store"
    handle = await caller.lock(path)
    return await caller.call("PUT", f"{path}/includes/testclasses?lockHandle={handle}", "stateful", content="* x")


async def program_exists(_system: System, caller: Caller) -> httpx2.Response:
    return await caller.call("POST", f"{ADT}/programs/programs", content=program_xml("Z_HF_HELLO"))


async def class_exists(_system: System, caller: Caller) -> httpx2.Response:
    return await caller.call("POST", f"{ADT}/oo/classes", content=class_xml("zcl_hf_greeter"))


async def invalid_utf8(_system: System, caller: Caller) -> httpx2.Response:
    handle = await caller.lock()
    params = {"lockHandle": handle}
    return await caller.call("PUT", f"{GREETER}/source/main", "stateful", params=params, content=b"* \xff\xfe")


NOT_LOCKED = (423, "ExceptionResourceInvalidLockHandle", "SADT_RESOURCE/026")
NO_PARAMETER = (400, "ExceptionParameterNotFound", "SADT_RESOURCE/017")
BAD_XML = (400, "ExceptionInvalidData", "00/001")
MISSING = (404, "ExceptionResourceNotFound", "")
F40 = "F" * 40
ROWS: list[tuple[Row, tuple[int, str, str], str]] = [
    (put_without_handle, NO_PARAMETER, "Parameter lockHandle could not be found"),
    (delete_without_handle, NO_PARAMETER, "Parameter lockHandle"),
    (create_broken_xml, BAD_XML, "not well-formed"),
    (create_wrong_root, BAD_XML, "Check of condition failed"),
    (create_document_type, BAD_XML, "document type"),
    (invalid_utf8, (400, "ExceptionInvalidData", ""), "UTF-8"),
    (locked_by_other, (403, "ExceptionResourceNoAccess", "EU/510"), "User ALICE is currently editing ZCL_HF_GREETER"),
    (object_missing, MISSING, "Error while importing object ZCL_MISSING from the database."),
    (source_missing, MISSING, "Z_MISSING"),
    (lock_of_missing, MISSING, "ZCL_MISSING"),
    (unknown_url, MISSING, "No suitable resource found"),
    (wrong_method, (405, "ExceptionMethodNotSupported", "SADT_RESOURCE/010"), "does not support method POST"),
    (
        wrong_accept,
        (406, "ExceptionResourceNotAcceptable", "SADT_RESOURCE/044"),
        "The message content is not acceptable.",
    ),
    (wrong_content_type, (415, "ExceptionUnsupportedMediaType", ""), "application/json"),
    (wrong_handle_class, NOT_LOCKED, f"Resource CLASS ZCL_HF_GREETER is not locked (invalid lock handle: {F40})"),
    (wrong_handle_include, NOT_LOCKED, "Resource CLASS_INCLUDE ZCL_HF_GREETER================CCAU is not locked"),
    (wrong_handle_program, NOT_LOCKED, "Resource INCLUDE Z_HF_HELLO is not locked"),
    (handle_of_other_object, NOT_LOCKED, "ZCL_HF_GREETER"),
    (handle_of_other_user, NOT_LOCKED, "ZCL_HF_GREETER"),
    (delete_wrong_handle, NOT_LOCKED, "Resource INTERFACE ZIF_HF_CLOCK is not locked"),
    (
        no_test_include,
        (500, "ExceptionResourceSaveFailure", ""),
        "ZCL_HF_MEMORY_STORE===========CCAU does not have any inactive version",
    ),
    (
        program_exists,
        (500, "ExceptionResourceCreationFailure", ""),
        "A program or include already exists with the name Z_HF_HELLO.",
    ),
    (class_exists, (400, "ExceptionResourceAlreadyExists", ""), "Resource Class ZCL_HF_GREETER does already exist."),
]


# A24, ADT §8.2
@pytest.mark.parametrize(("row", "expected", "text"), ROWS, ids=[row.__name__ for row, _, _ in ROWS])
async def test_each_error_has_its_status_type_and_message(
    system: System, caller: Caller, row: Row, expected: tuple[int, str, str], text: str
) -> None:
    answer = await row(system, caller)
    assert error_of(answer) == expected
    assert text in answer.text


# A24, ADT §8.1
@pytest.mark.parametrize("row", [row for row, _, _ in ROWS], ids=lambda row: row.__name__)
async def test_each_error_is_one_line_that_starts_as_clients_expect(system: System, caller: Caller, row: Row) -> None:
    answer = await row(system, caller)
    assert answer.headers["content-type"].startswith("application/xml")
    assert answer.text.startswith('<?xml version="1.0" encoding="utf-8"?><exc:exception xmlns:exc=')
    assert "\n" not in answer.text
    assert '<namespace id="com.sap.adt"/>' in answer.text
    assert '<message lang="EN">' in answer.text
    assert '<localizedMessage lang="EN">' in answer.text


@pytest.mark.parametrize("status", [400, 409, 500])
async def test_the_status_of_already_exists_is_a_switch(build: Build, status: int) -> None:
    caller = await build(already_exists_status=status).caller()
    answer = await caller.call("POST", f"{ADT}/oo/classes", content=class_xml("ZCL_HF_GREETER"))
    assert error_of(answer)[:2] == (status, "ExceptionResourceAlreadyExists")


@pytest.mark.parametrize(
    ("name", "package", "text"),
    [
        ("Z" * 31, "$TMP", "longer than 30"),
        ("CL_FOREIGN", "$TMP", "must begin with"),
        ("ZCL-DASH", "$TMP", "must begin with"),
        ("", "$TMP", "Enter a name"),
        ("ZCL_NEW", "ZNOWHERE", "Package ZNOWHERE does not exist"),
        ("ZCL_NEW", "", "Enter a package"),
    ],
)
async def test_impossible_names_and_packages_are_refused_on_create(
    caller: Caller, name: str, package: str, text: str
) -> None:
    answer = await caller.call("POST", f"{ADT}/oo/classes", content=class_xml(name, package=package))
    assert error_of(answer)[:2] == (400, "ExceptionResourceCreationFailure")
    assert text in answer.text


async def test_what_a_client_sent_never_breaks_the_error_document(caller: Caller) -> None:
    answer = await caller.put("\x00\x1f<a>&\ud7ff", "* x")
    assert answer.status_code == 423
    assert "&lt;a&gt;&amp;" in answer.text
    assert answer.text.isprintable()
