"""What a fault does to the system before a request is looked at (ADT §23). The rules are in `faults.py`.

Cut connections are the gate's business: they concern the way out as well.
"""

from typing import TYPE_CHECKING, Final

from holdfast.simulator import answers
from holdfast.simulator.answers import Answer, Refused
from holdfast.simulator.call import Call
from holdfast.simulator.faults import Rule

if TYPE_CHECKING:
    from holdfast.simulator.system import Simulator

STANDING_ANSWERS: Final = {
    "csrf_required": answers.csrf_required,
    "unavailable": answers.overloaded,
    "html_logon": answers.logon_page,
    "icm_unreachable": answers.service_unreachable,
    "icm_session": answers.session_timed_out,
    "dump": answers.short_dump,
    "not_authorized": answers.not_authorized,
    "empty": Answer,
}


async def disturb(system: "Simulator", rule: Rule, call: Call) -> None:
    """Let the fault happen; raises `Refused` if it answers in place of the system."""
    if rule.effect == "delay":
        await system.pause(rule.seconds)
    elif rule.effect == "unauthorized":
        raise Refused(answers.logon_failed(system.system_id, system.client))
    elif rule.effect in STANDING_ANSWERS:
        raise Refused(STANDING_ANSWERS[rule.effect]())
    elif rule.effect == "restart":
        system.restart()
    elif rule.effect == "refuse_activation":
        call.refuse_activation = True
    elif rule.effect == "refuse_deletion":
        call.refuse_deletion = True
    elif rule.effect in ("foreign_lock", "delete_lock"):
        system.seize_lock(call.path, rule.user if rule.effect == "foreign_lock" else None)
    else:
        _disturb_session(system, rule.effect, call)


def _disturb_session(system: "Simulator", effect: str, call: Call) -> None:
    session = system.sessions.find_session(call.cookies.get(system.session_cookie))
    context = system.sessions.find_context(call.context_id or "")
    if effect == "expire_context" and context is not None:
        system.sessions.end_context(context, call.now)
    elif effect == "expire_session" and session is not None:
        system.sessions.end_session(session, call.now)
    elif effect == "rotate_token" and session is not None:
        system.sessions.rotate_token(session)
