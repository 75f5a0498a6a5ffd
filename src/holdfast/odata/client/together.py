"""Several changes in one request that succeed or fail together: a change set in a $batch.

What the outer answer says about the session and the token counts, never what a part says (sticky OData §6). Parts
repeat the session's id all the same, as OpenUI5's do: SAP's mock server looks for it there.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from holdfast.backend.wire import Call, Reply
from holdfast.odata.batch import Answer, BadBatch, ChangeSet, ChangeSetAnswer, Part, read_answers, write_requests

SESSION: Final = ("sap-contextid", "sap-http-session-timeout", "sap-err-id")
MULTIPART: Final = "multipart/mixed"


def together(outer: Call, calls: Sequence[Call], context_id: str) -> Call:
    """Return the request to $batch that makes these changes in a session; `outer` is one without a body."""
    session = {"sap-contextid": context_id}
    parts = tuple(
        Part(
            method=each.method, url=each.path.lstrip("/"), headers={**each.headers, **session}, body=each.body, id=name
        )
        for name, each in ((f"{number}.0", each) for number, each in enumerate(calls))
    )
    content_type, body = write_requests([ChangeSet(parts=parts)])
    headers = {**outer.headers, "accept": MULTIPART, "content-type": content_type}
    return msgspec.structs.replace(outer, headers=headers, body=body)


def last_of(reply: Reply) -> Reply:
    """Return the answer to the last change, or to all of them if they failed, with the session of the outer answer.

    Any other answer, such as an error of the whole batch, is returned as it is.
    """
    if reply.status != 200 or reply.media != MULTIPART:
        return reply
    try:
        answers = read_answers(reply.headers["content-type"], reply.body)
    except BadBatch:
        return reply
    told = [one for item in answers for one in (item.answers if isinstance(item, ChangeSetAnswer) else [item])]
    return _inside(told[-1], reply) if told else reply


def _inside(answer: Answer, outer: Reply) -> Reply:
    session = {name: value for name, value in outer.headers.items() if name in SESSION}
    own = {name: value for name, value in answer.headers.items() if name not in SESSION}
    return Reply(answer.status, own | session, answer.body, outer.cookies)
