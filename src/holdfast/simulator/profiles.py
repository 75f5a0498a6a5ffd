"""Release profiles and switches: every fact that differs between systems, as data.

A profile says what a release does (ADT §3.2). A switch says which side of an open question the simulator
plays (ADT §24 and the [?] marks), or sets a system parameter (ADT §5.1). Profiles are fixed when the system
starts, switches may be changed while it runs.
"""

from typing import Any, Final, Literal

import msgspec


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What one release does. Source of each fact: ADT §3.2, §2.3, §2.4, §7.1."""

    name: str
    header_honoured: bool = True
    """False: `X-sap-adt-sessiontype` is ignored, so every lock dies with its request."""
    put_needs_header: bool = False
    """True: a PUT in a context is refused with 423 unless it says `stateful` itself."""
    session_resource: bool = True
    handle_alphabet: Literal["hex", "base64"] = "hex"
    head_status: int = 200
    """Status of a HEAD request on a resource that exists; other than 200 the token is not handed out either."""
    stateless_transition_status: int = 200
    """400: ending a context by a stateless request answers 400, together with `sap-contextid=0`."""
    compatibility_graph: bool = True
    programs: bool = True
    deletion_service: bool = True
    flat_inactive_objects: bool = False
    """True: the list of inactive objects is a flat `adtcore:objectReferences`."""
    legacy_check_messages: bool = False
    """True: check messages stand in `chkrun:checkMessages` instead of `checkMessageList` (7.50)."""
    session_must_be_created: bool = False
    """True: a security session exists only after `x-sap-security-session: create` at the session resource."""
    language_version: str = ""


PROFILES: Final = {
    profile.name: profile
    for profile in (
        Profile(
            name="7.50",
            header_honoured=False,
            session_resource=False,
            handle_alphabet="base64",
            stateless_transition_status=400,
            deletion_service=False,
            flat_inactive_objects=True,
            legacy_check_messages=True,
        ),
        Profile(name="7.55", put_needs_header=True),
        Profile(name="7.56"),
        Profile(name="7.57"),
        Profile(name="7.58"),
        Profile(name="816"),
        Profile(
            name="cloud",
            head_status=403,
            compatibility_graph=False,
            programs=False,
            session_must_be_created=True,
            language_version="cloudDevelopment",
        ),
    )
}


class Switches(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What may be changed while the system runs. Times are in seconds; 0 as a limit means no limit."""

    context_timeout_s: float = 1800
    """rdisp/plugin_auto_logout: idle time after which an application context ends (ADT §5.1)."""
    session_timeout_s: float = 1800
    """http/security_session_timeout: idle time after which a security session ends (ADT §5.1)."""
    announced_timeout_s: float | None = None
    """What the session resource tells as `inactivityTimeout`; None: the true context time-out."""
    release_delay_s: float = 0
    """How long lock entries stay after their context ended (ADT §6: 1 to 2 s on a real system)."""
    delay_s: float = 0
    """How long each request takes, in real seconds."""
    work_processes: int = 0
    """How many requests may run at once; the others wait, or get 503 with `busy_answers_503`."""
    busy_answers_503: bool = False
    sessions_per_user: int = 0
    """Limit of security sessions per user; the oldest gives way (ADT §24.6)."""
    serialise_close: bool = True
    """True: closing a context waits for its running request. False: the close goes first and the running
    request finds its context gone, nothing of it is applied (spec A5: not captured from a real system)."""
    unknown_session_type: Literal["keep", "end"] = "keep"
    """What a value such as `stateful;enqueue` does to the presented context (ADT §24.2)."""
    stateful_backport: bool = False
    """7.50 with the abapfs_extensions back-port: the session type header is honoured (ADT §3.2)."""
    failed_put_kills_handle: bool = True
    """A PUT that failed although its handle was right leaves the handle dead (ADT §24.3)."""
    lenient_unlock: bool = False
    """UNLOCK accepts a handle that was percent-encoded once too often (ADT §7.2)."""
    unlock_across_contexts: bool = False
    """UNLOCK with the right handle from another context releases the lock (ADT §24.7)."""
    same_context_relock: Literal["refuse", "same_handle"] = "refuse"
    """A second LOCK in the owning context: 403, or the held handle as BW objects answer (ADT §24.4)."""
    locked_activation: Literal["message", "403"] = "message"
    """Activation of an object locked elsewhere: a message inside 200, or 403 (ADT §24.5)."""
    empty_activation_answer: bool = False
    """A successful activation answers 200 without a body instead of `chkl:messages` (ADT §14)."""
    lock_error_status: Literal[200, 403] = 403
    """Status of the lock conflict exception (ADT §24.8)."""
    already_exists_status: Literal[400, 409, 500] = 400
    """Status of ExceptionResourceAlreadyExists on create (ADT §24.9)."""
    invalid_name_status: Literal[200, 400] = 200
    """Validation of an impossible name: 200 with SEVERITY ERROR, or a 400 exception (ADT §24.9)."""
    never_active_status: Literal[200, 404] = 404
    """Reading `version=active` of an object never activated: 404, or 200 with an empty body (ADT §12)."""
    stale_token_status: Literal[403, 401] = 403
    """A wrong CSRF token: 403 `Required`, or 401 with an HTML logon page (ADT §2.2)."""
    html_logon_page: bool = False
    """Missing credentials are answered 200 with an HTML logon page, as single sign-on systems do (ADT §2.6)."""
    context_cookie_path: str = "/sap/bc/adt"
    """Path of the `sap-contextid` cookie (ADT §3.1: the context is path-bound)."""

    def changed(self, changes: dict[str, Any]) -> "Switches":
        """Return a copy with these changes. Raises msgspec.ValidationError for a name or value that is none."""
        return msgspec.convert(msgspec.to_builtins(self) | changes, Switches)
