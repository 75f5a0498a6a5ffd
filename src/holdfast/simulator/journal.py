"""What was asked of the system: counters and the last requests, without secrets."""

import hashlib
import re
from collections import Counter, deque
from typing import Any, Final

from holdfast.simulator.answers import Answer
from holdfast.simulator.call import Call

KEPT_REQUESTS: Final = 2000
NONCE: Final = re.compile(rb"nonce[ :=]+([\w-]+)")
"""A mark a test writes into a source to count how often it was written."""


class Journal:
    """Counts requests by method and route, and sources by hash and nonce."""

    def __init__(self) -> None:
        self.requests: deque[dict[str, Any]] = deque(maxlen=KEPT_REQUESTS)
        self.by_route: Counter[str] = Counter()
        self.by_status: Counter[int] = Counter()
        self.put_by_hash: Counter[str] = Counter()
        self.put_by_nonce: Counter[str] = Counter()
        self.total = 0

    def record(self, call: Call, answer: Answer | None, *, faults: list[str]) -> None:
        """Note one finished request; no answer means that the connection was cut."""
        self.total += 1
        self.by_route[f"{call.method} {call.route or call.path}"] += 1
        status = answer.status if answer is not None else 0
        self.by_status[status] += 1
        session = getattr(call, "session", None)
        self.requests.append(
            {
                "number": self.total,
                "at": call.now,
                "method": call.method,
                "path": call.path,
                "query": call.query_string,
                "status": status,
                "user": session.user if session is not None else None,
                "session": session.resource_id if session is not None else None,
                "session_type": call.headers.get("x-sap-adt-sessiontype"),
                "context": (call.context_id or "")[-16:] or None,
                "purpose": call.headers.get("sap-adt-purpose"),
                "csrf": _token_state(call),
                "content_type": call.headers.get("content-type"),
                "accept": call.headers.get("accept"),
                "credentials": "authorization" in call.headers,
                "bytes": len(call.body),
                "nonces": [nonce.decode("ascii") for nonce in NONCE.findall(call.body)],
                "faults": faults,
            }
        )

    def source_written(self, body: bytes) -> None:
        """Count one source that was really stored."""
        self.put_by_hash[hashlib.sha256(body).hexdigest()] += 1
        for nonce in NONCE.findall(body):
            self.put_by_nonce[nonce.decode("ascii")] += 1

    def counters(self) -> dict[str, Any]:
        """Return all counters as JSON values."""
        return {
            "requests": self.total,
            "by_route": dict(self.by_route),
            "by_status": {str(status): count for status, count in self.by_status.items()},
            "puts_by_hash": dict(self.put_by_hash),
            "puts_by_nonce": dict(self.put_by_nonce),
        }


def _token_state(call: Call) -> str:
    token = call.headers.get("x-csrf-token")
    if token is None:
        return "absent"
    return "fetch" if token.lower() == "fetch" else "sent"
