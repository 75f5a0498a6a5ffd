"""Documents of ADT, of several releases, read by namespace (ADT §7-§16)."""

import pytest

from holdfast.adt import documents
from holdfast.adt.door import idle_limit
from holdfast.adt.refusals import NotAuthorized, error_for, locked_by, read_refusal
from holdfast.backend.wire import Reply
from holdfast.errors import BackendError, BackendUnavailable, LockLostError, NotFound, ObjectLocked

XML = {"content-type": "application/xml"}


def asx(data: str) -> bytes:
    return (
        '<asx:abap xmlns:asx="http://www.sap.com/abapxml" version="1.0"><asx:values><DATA>'
        f"{data}</DATA></asx:values></asx:abap>"
    ).encode()


@pytest.mark.parametrize("handle", ["C9E0EA2DF24CA628A1934C9519D25A9A5D42D1F2", "8RNUHwhSajVONy+ChRz//vpwxy0="])
def test_both_alphabets_of_handles_are_read(handle: str) -> None:
    # ADT §7.1
    found = documents.read_lock(
        asx(f"<LOCK_HANDLE>{handle}</LOCK_HANDLE><CORRNR>DEVK900001</CORRNR><IS_LOCAL></IS_LOCAL>")
    )
    assert (found.handle, found.transport, found.local) == (handle, "DEVK900001", False)


def test_a_lock_without_a_handle_is_none() -> None:
    with pytest.raises(BackendError, match="no lock handle"):
        documents.read_lock(asx("<LOCK_HANDLE/>"))


@pytest.mark.parametrize(
    ("data", "errors"),
    [
        ("<CHECK_RESULT>X</CHECK_RESULT>", 0),
        ("<SEVERITY>OK</SEVERITY>", 0),
        ("<SEVERITY>ERROR</SEVERITY><SHORT_TEXT>Class ZCL_A exists</SHORT_TEXT>", 1),
    ],
)
def test_validations_of_both_shapes_are_read(data: str, errors: int) -> None:
    # ADT §10
    found = documents.read_validation(asx(data))
    assert len(found) == errors
    assert documents.has_errors(found) is bool(errors)


@pytest.mark.parametrize("word", ["checkMessageList", "checkMessages"])
def test_check_reports_of_new_and_old_releases_are_read(word: str) -> None:
    # ADT §13
    body = f"""<c:checkRunReports xmlns:c="http://www.sap.com/adt/checkrun">
      <c:checkReport c:reporter="abapCheckRun" c:triggeringUri="/x" c:status="processed"><c:{word}>
        <c:checkMessage c:uri="/sap/bc/adt/x/source/main#start=27,2;end=27,15" c:type="E" c:shortText="bad"/>
        <c:checkMessage c:uri="/x" c:type="W" c:shortText="so so"/>
      </c:{word}></c:checkReport></c:checkRunReports>""".encode()
    first, second = documents.read_check(body)
    assert first == {
        "severity": "error",
        "text": "bad",
        "uri": "/sap/bc/adt/x/source/main",
        "line": 27,
        "column": 2,
    }
    assert second == {"severity": "warning", "text": "so so", "uri": "/x"}


def test_a_check_that_was_not_done_is_an_error() -> None:
    body = (
        b'<c:checkRunReports xmlns:c="http://www.sap.com/adt/checkrun"><c:checkReport c:status="notProcessed" '
        b'c:statusText="Object does not exist"/></c:checkRunReports>'
    )
    assert documents.has_errors(documents.read_check(body))


SPACE = 'xmlns:chkl="http://www.sap.com/abapxml/checklist"'


@pytest.mark.parametrize(
    ("body", "executed", "texts"),
    [
        ("", True, []),
        (f'<chkl:messages {SPACE}><chkl:properties activationExecuted="true"/></chkl:messages>', True, []),
        (f'<chkl:messages {SPACE}><chkl:properties activationExecuted="false"/></chkl:messages>', False, []),
        (
            f'<chkl:messages {SPACE}><msg type="E" line="3" href="/x#start=3,1"><shortText><txt>bad</txt></shortText>'
            "</msg></chkl:messages>",
            False,
            ["bad"],
        ),
        (
            f'<chkl:messages {SPACE}><msg type="W"><shortText><txt>hm</txt></shortText></msg></chkl:messages>',
            True,
            ["hm"],
        ),
    ],
)
def test_an_activation_is_refused_inside_200(body: str, executed: bool, texts: list[str]) -> None:
    # ADT §14
    found = documents.read_activation(body.encode())
    assert (found.executed, [message["text"] for message in found.messages]) == (executed, texts)


def test_an_activation_that_wants_more_names_it() -> None:
    # ADT §14
    body = b"""<i:inactiveObjects xmlns:i="http://www.sap.com/abapxml/inactiveCtsObjects"
      xmlns:a="http://www.sap.com/adt/core"><i:entry><i:object i:user="ME"><i:ref a:uri="/z" a:type="INTF/OI"
      a:name="ZIF_A"/></i:object><i:transport><i:ref a:uri="/t" a:type="/RQ" a:name="DEVK900001"/></i:transport>
      </i:entry></i:inactiveObjects>"""
    found = documents.read_activation(body)
    assert not found.executed
    assert [other["name"] for other in found.others] == ["ZIF_A"]
    assert "ZIF_A" in found.messages[0]["text"]


def test_flat_lists_of_inactive_objects_are_read_too() -> None:
    # ADT §14: 7.40 and 7.50
    body = b"""<x:objectReferences xmlns:x="http://www.sap.com/adt/core"><x:objectReference x:uri="/z"
      x:type="CLAS/OC" x:name="ZCL_A" x:packageName="$TMP" x:description="d"/></x:objectReferences>"""
    assert documents.read_references(body, "x") == [
        {"type": "CLAS/OC", "name": "ZCL_A", "uri": "/z", "package": "$TMP", "description": "d"}
    ]


def test_a_deletion_is_refused_inside_200() -> None:
    # ADT §15
    space = 'xmlns:d="http://www.sap.com/adt/deletion"'
    done = f'<d:deletionResult {space}><d:object d:isDeleted="true"/></d:deletionResult>'
    refused = (
        f'<d:deletionResult {space}><d:object d:isDeleted="false"><d:message><d:text>no</d:text></d:message>'
        "</d:object></d:deletionResult>"
    )
    assert documents.read_deletion(done.encode()) == (True, [])
    gone, messages = documents.read_deletion(refused.encode())
    assert (gone, messages[0]["text"]) == (False, "no")


@pytest.mark.parametrize("body", [b"", b"<html>", b"not xml", b"\xff\xfe"])
def test_what_is_not_xml_is_an_error_that_does_not_repeat_it(body: bytes) -> None:
    with pytest.raises(BackendError) as error:
        documents.read_lock(body)
    assert "html" not in str(error.value)


def test_no_entity_is_resolved() -> None:
    bomb = b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x><SEVERITY>ERROR</SEVERITY><SHORT_TEXT>&a;</SHORT_TEXT></x>'
    [found] = documents.read_validation(bomb)
    assert "root:" not in found["text"]


@pytest.mark.parametrize(("text", "limit"), [("1800", 1800.0), ("0", None), ("", None), ("abc", None)])
def test_the_time_out_is_read_from_the_session_resource(text: str, limit: float | None) -> None:
    # ADT §2.4
    body = (
        '<h:session xmlns:h="http://www.sap.com/adt/http"><h:properties>'
        f'<h:property name="inactivityTimeout">{text}</h:property></h:properties></h:session>'
    )
    assert idle_limit(Reply(200, XML, body.encode())) == limit
    assert idle_limit(Reply(200, {"content-type": "text/html"}, body.encode())) is None
    assert idle_limit(Reply(200, XML, b"nonsense")) is None


def exception(kind: str, text: str = "said", **entries: str) -> bytes:
    listed = "".join(f'<entry key="T100KEY-{key}">{value}</entry>' for key, value in entries.items())
    return (
        '<?xml version="1.0"?><exc:exception xmlns:exc="http://www.sap.com/abapxml/types/communicationframework">'
        f'<namespace id="com.sap.adt"/><type id="{kind}"/><message lang="EN">{text}</message>'
        f"<properties>{listed}</properties></exc:exception>"
    ).encode()


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (403, exception("ExceptionResourceNoAccess", ID="EU", NO="510", V1="alice", V2="ZCL_A"), ObjectLocked),
        (423, exception("ExceptionResourceInvalidLockHandle"), LockLostError),
        (423, b"", LockLostError),
        (404, exception("ExceptionResourceNotFound"), NotFound),
        (403, exception("ExceptionNotAuthorized"), NotAuthorized),
        (503, b"", BackendUnavailable),
        (500, exception("ExceptionInternalError"), BackendError),
        (200, exception("ExceptionResourceNoAccess", ID="EU", NO="510", V1="alice"), ObjectLocked),
    ],
)
def test_refusals_become_typed_errors_with_saps_message(status: int, body: bytes, error: type[Exception]) -> None:
    # ADT §8
    refusal = read_refusal(Reply(status, XML if body else {}, body))
    assert refusal is not None
    assert type(error_for(refusal, "do it")) is error or isinstance(error_for(refusal, "do it"), error)
    if body and error is not LockLostError:
        assert "said" in str(error_for(refusal, "do it"))


def test_the_holder_is_named() -> None:
    body = exception("ExceptionResourceNoAccess", ID="EU", NO="510", V1="alice", V2="ZCL_A")
    assert locked_by(read_refusal(Reply(403, XML, body))) == "ALICE"
    assert locked_by(None) is None


def test_an_answer_that_refuses_nothing_is_fine() -> None:
    assert read_refusal(Reply(200, {"content-type": "text/plain"}, b"* exception handling")) is None
    assert read_refusal(Reply(200, XML, b"<x>exception</x>")) is None
    assert read_refusal(Reply(204, {})) is None
