"""Faults on demand: a queue of rules, each of which meets a number of requests and then is gone (ADT §23)."""

import re
from collections.abc import Iterator
from typing import Literal

import msgspec

from holdfast.simulator.call import Call

Effect = Literal[
    "unauthorized",  # 401
    "csrf_required",  # 403 text/plain, the token stays as it was
    "unavailable",  # 503
    "html_logon",  # 200 with the HTML logon page
    "icm_unreachable",  # 400 "Service cannot be reached"
    "icm_session",  # 400 ICMENOSESSION although the session lives, as behind a wrong load balancer
    "dump",  # 500 with the HTML page of a short dump
    "not_authorized",  # 403 ExceptionNotAuthorized
    "empty",  # 200 without a body, nothing done
    "cut_before",  # the connection closes, nothing was processed: the request is lost
    "cut_after",  # processed, then the connection closes: the answer is lost
    "delay",  # `seconds` longer, in real time
    "expire_context",  # the presented context ends before the request is looked at
    "expire_session",  # the security session ends before the request is looked at
    "rotate_token",  # the security session gets a new CSRF token before the request is looked at
    "foreign_lock",  # `user` holds the object, as after an administrator deleted the lock and somebody was faster
    "delete_lock",  # the object's lock entry is deleted, as in SM12
    "refuse_activation",  # the activation answers 200 and has not activated
    "refuse_deletion",  # the deletion answers 200 with isDeleted="false" (modern), or 403 (classic)
    "restart",  # the application server restarts before the request is looked at
]


class Rule(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """When to misbehave and how. Empty matchers match everything; `path` is searched as a regular expression.

    `skip` matching requests pass first, then `times` requests meet the effect (0: all until removed).
    """

    effect: Effect
    method: str = ""
    path: str = ""
    action: str = ""
    """The query parameter `_action`, such as LOCK."""
    user: str = ""
    """The holder of a foreign lock."""
    seconds: float = 0
    times: int = 1
    skip: int = 0

    def __post_init__(self) -> None:
        try:
            re.compile(self.path)
        except re.error as exc:
            raise ValueError(f"path is no regular expression: {exc}") from exc

    def matches(self, call: Call) -> bool:
        """Tell whether this request is meant."""
        return (
            (not self.method or self.method.upper() == call.method)
            and (not self.action or self.action.upper() == call.query.get("_action", "").upper())
            and re.search(self.path, call.path, re.IGNORECASE) is not None
        )


class FaultQueue:
    """The rules in force."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []

    def add(self, rule: Rule) -> None:
        """Put a rule at the end."""
        self.rules.append(rule)

    def take(self, call: Call) -> Iterator[Rule]:
        """Yield the rules this request meets, and count them down."""
        for rule in list(self.rules):
            if not rule.matches(call):
                continue
            if rule.skip:
                rule.skip -= 1
                continue
            if rule.times:
                rule.times -= 1
                if not rule.times:
                    self.rules.remove(rule)
            yield rule
