"""Settings: defaults, then the TOML file, then `HOLDFAST_*` of the environment; the later wins.

The file is `HOLDFAST_CONFIG`, else `holdfast.toml` in the working folder, else in the user's configuration folder.
One SAP system can be given wholly in the environment (`HOLDFAST_SAP_URL`, …); several have names in the file:

    default_system = "dev"

    [systems.dev]
    url = "https://dev.example:44300"
    client = "100"
    user = "DEVELOPER"
    password_file = "secrets/dev"

All settings there are stand here, in one place to look them up, so this file is long.
"""

import difflib
import os
import stat
import tomllib
from pathlib import Path
from typing import Any, Literal

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from holdfast.errors import ConfigurationError

APP = "holdfast"
SINGLE_SYSTEM = "default"
FLOW_CREDENTIAL = "HOLDFAST_FLOW_CREDENTIAL_"
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


class Described(BaseModel):
    """A table of settings: the text below each is its description, and an unknown name is an error."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class SystemSettings(Described):
    """One SAP system, `[systems.NAME]`. Without any the built-in simulator stands in."""

    url: str
    """Address of the system, with scheme and port and without a password."""
    client: str = "001"
    """SAP client."""
    language: str = "EN"
    """Logon language."""
    user: str = ""
    """Technical user that all agents share."""
    password: SecretStr = SecretStr("")
    """Password of the user."""
    password_file: Path | None = None
    """File that holds the password, instead of `password`: a mounted secret, for example."""
    token: SecretStr = SecretStr("")
    """Bearer token, instead of user and password."""
    profile: str = "auto"
    """`cloud` for a system of ABAP Cloud, which names the responsible person itself; else `auto`."""
    verify: bool | Path = True
    """TLS: `true`, `false`, or a file of certificates to trust."""
    timeout: float = Field(default=30.0, gt=0)
    """Seconds a request to the system may take."""
    quota_sessions: int = Field(default=200, ge=1)
    """Most sessions open for the SAP user, over all workers."""
    quota_locks: int = Field(default=100, ge=1)
    """Most objects locked for the SAP user, over all workers."""
    quota_calls: int = Field(default=10, ge=1)
    """Most calls of the SAP user in flight, per worker; the others wait, each agent in turn."""
    quota_wait: float = Field(default=60.0, gt=0)
    """Seconds a call may wait for its turn."""

    def secret(self) -> str:
        """Return the password, from `password_file` if that is given."""
        if self.password_file is None:
            return self.password.get_secret_value()
        try:
            return self.password_file.read_text().rstrip("\n")
        except OSError as exc:
            raise ConfigurationError(f"password_file {self.password_file} cannot be read: {exc.strerror}") from exc


class KindSettings(Described):
    """Clocks and limits of one kind, `[kinds.NAME]` or `[apps.NAME]`; what is left out keeps its default (E31)."""

    idle: float | None = None
    """Seconds from the last recorded use after which a session ends."""
    sliding: float | None = None
    """Seconds a session lasts from when it was last extended."""
    slides_after: float | None = None
    """Seconds that must have passed before a use extends a sliding session."""
    absolute: float | None = None
    """Seconds from its beginning after which a session ends in any case."""
    linger: float | None = None
    """Seconds without anything below it after which a session ends."""
    linger_after: float | None = None
    """The same, once there has been something; default `linger`."""
    touch_interval: float | None = None
    """Seconds a use may be recorded late; default a tenth of the idle clock, 30 at most."""
    per_client: int | None = None
    """Most sessions of one client: its principal, else its address."""
    per_principal: int | None = None
    """Most sessions of one principal."""
    per_parent: int | None = None
    """Most sessions below one other: streams of one MCP session, for example."""
    total: int | None = None
    """Most sessions of the kind."""
    policy: Literal["reject", "replace_oldest", "replace_least_recent"] | None = None
    """What a full limit does to a new session: it is refused, or takes another's place; `total` always refuses."""


class OAuthSettings(Described):
    """`[oauth]`: access tokens of one authorization server instead of one token that all share."""

    issuer: str = ""
    """URL of the authorization server, as its tokens have it in `iss`; empty: no OAuth."""
    resource: str = ""
    """URL of this server's MCP endpoint as clients see it; they name it to the authorization server."""
    audience: list[str] = []
    """What a token's `aud` must have one of, where the authorization server does not write `resource` there."""
    scopes: list[str] = []
    """Scopes that every token must have."""
    tool_scopes: dict[str, list[str]] = {}
    """Scopes that calls of a tool need besides, by the tool's name."""
    name: str = ""
    """What people are shown where they allow access."""
    algorithms: list[Algorithm] = ["RS256", "PS256", "ES256", "EdDSA"]
    """Algorithms of signatures that are taken."""
    token_types: list[str] = ["at+jwt"]
    """Values of `typ` that are taken; `JWT` too for servers that do not mark access tokens, empty for none at all."""
    jwks_uri: str = ""
    """Where the keys are; empty: where the authorization server's metadata says."""
    leeway: float = Field(default=30.0, ge=0, le=300)
    """Seconds by which the authorization server's clock may differ."""
    jwks_lifetime: float = Field(default=600.0, gt=0)
    """Seconds after which keys are asked for anew; an unknown key is asked for sooner."""
    jwks_stale: float = Field(default=21600.0, gt=0)
    """Seconds for which keys go on while the authorization server does not answer."""
    timeout: float = Field(default=5.0, gt=0)
    """Seconds in which the authorization server has to answer."""
    introspection_endpoint: str = ""
    """Where the authorization server says what opaque tokens mean; empty: tokens are JWTs."""
    client_id: str = ""
    """Name of this server at the introspection endpoint."""
    client_secret: SecretStr = SecretStr("")
    """Secret of this server at the introspection endpoint."""


class OidcSettings(Described):
    """`[oidc]`: people log on at an OpenID provider, and off when it says so."""

    issuer: str = ""
    """URL of the provider, as its tokens have it in `iss`."""
    client_id: str = ""
    """Name of this site at the provider."""
    client_secret: SecretStr = SecretStr("")
    """Secret of this site at the provider."""
    authentication: Literal["client_secret_basic", "client_secret_post", "private_key_jwt", "none"] = (
        "client_secret_basic"
    )
    """How the site shows who it is: its secret, a signature (`private_key_jwt`) or nothing, which leaves PKCE alone."""
    client_key: Path | None = None
    """File of the private key (PEM) that signs, for `private_key_jwt`; the provider knows its public half."""
    client_key_id: str = ""
    """What the provider calls that key (`kid`)."""
    client_key_algorithm: Algorithm | None = None
    """By what it signs; left out: RS256, EdDSA, or what fits the key's curve."""
    client_key_audience: Literal["issuer", "token_endpoint"] = "issuer"
    """For whom it signs; some providers want the address of their token endpoint there."""
    url: str = ""
    """Where browsers and the provider reach these pages; `/callback` below it is registered at the provider."""
    scopes: list[str] = ["openid", "profile"]
    """Scopes to ask for."""
    prompt: Literal["", "login", "select_account", "consent"] = ""
    """What the provider must show even to people who have a session there; `login` asks them who they are each time."""
    max_age: float | None = Field(default=None, ge=0)
    """Seconds for which the provider may go by its own session, such as the idle time here; left out: as it likes."""
    acr_levels: dict[str, int] = {}
    """How strong a logon is, by the class of authentication (`acr`) that the provider names."""
    userinfo: bool = False
    """Ask the userinfo endpoint for what the ID token does not say of a person; what this says counts for more."""
    roles_claim: str = "roles"
    """Claim with a person's roles; dots lead into claims within claims."""
    name_claim: str = "name"
    """Claim with what to call a person."""
    algorithms: list[Algorithm] = ["RS256", "PS256", "ES256", "EdDSA"]
    """Algorithms of signatures that are taken."""
    logout_token_types: list[str] = ["logout+jwt"]
    """Values of `typ` that are taken of logout tokens; `JWT` and empty too for providers that do not mark them."""
    jwks_uri: str = ""
    """Where the provider's keys are; empty: where it says."""
    leeway: float = Field(default=30.0, ge=0, le=300)
    """Seconds by which the provider's clock may differ."""
    timeout: float = Field(default=5.0, gt=0)
    """Seconds in which the provider has to answer."""


class SamlSettings(Described):
    """`[saml]`: people log on at a SAML 2.0 identity provider, and off when it says so."""

    url: str = ""
    """Where browsers and the identity provider reach these pages; our metadata are at `/metadata` below it."""
    key: Path | None = None
    """File of our private key (PEM), which signs what we send."""
    certificate: Path | None = None
    """File of the certificate (PEM) that shows its public half."""
    old_key: Path | None = None
    """File of the key before, while identity providers may still go by it."""
    old_certificate: Path | None = None
    """File of the certificate before: our metadata name it as well."""
    encryption_key: Path | None = None
    """File of the RSA key (PEM) that opens encrypted assertions; left out, none is taken."""
    encryption_certificate: Path | None = None
    """File of its certificate (PEM): our metadata ask to encrypt for it."""
    old_encryption_key: Path | None = None
    """File of the one before, which opens what was encrypted by our old metadata."""
    old_encryption_certificate: Path | None = None
    """File of the certificate before."""
    entity_id: str = ""
    """Our name at the identity provider; empty: the address of our metadata."""
    metadata: str = ""
    """The identity provider's metadata: a file, read again when it changes, or an https:// address, asked hourly."""
    issuer: str = ""
    """Entity ID of the identity provider; needed where metadata are at an address, or describe several."""
    vouched_by: Path | None = None
    """File of a certificate (PEM) whose key must have signed the metadata."""
    subject: str = ""
    """Attribute that names a person for good; empty: their `NameID`, which has to be one that stays."""
    name: str = ""
    """Attribute with what to call a person."""
    roles_in: str = ""
    """Attribute with a person's roles or groups."""
    roles: dict[str, str] = {}
    """What these are called here; those that are not named count for nothing; empty: as they are."""
    levels: dict[str, int] = {}
    """How strong a logon is, by the class of authentication (`AuthnContextClassRef`); 1 for one that is not named."""
    signed: Literal["either", "assertion", "response", "both"] = "either"
    """What has to be signed: the assertion, the response around it, both, or either."""
    fresh: Literal["never", "after_end", "always"] = "after_end"
    """When people must prove anew who they are: `after_end`, if a logon of their browser has ended by itself."""
    name_format: str = ""
    """Kind of `NameID` to ask for; empty: the identity provider's choice."""
    unsolicited: bool = False
    """Log people on as well who begin at the identity provider."""
    logout: Literal["front", "back"] = "front"
    """How it is told that somebody logs off: by their browser where it can, or by SOAP (`back`) where it can."""


class PasswordSettings(Described):
    """`[passwords]`: people log on with a name and a password of a file."""

    file: Path | None = None
    """File of people and their passwords, which `holdfast users add` makes."""
    shortest: int = Field(default=8, ge=8, le=64)
    """Characters that a new password has at least; 15 is better where it is all that is asked for."""
    refused: Path | None = None
    """File of passwords that nobody is given, one in each line, such as a list of the most common ones."""
    passes: int = Field(default=3, ge=1, le=100)
    """Passes over the memory that checking a password takes (argon2id)."""
    memory: int = Field(default=65536, ge=8192, le=4 * 1024 * 1024)
    """KiB of memory that checking a password takes."""
    lanes: int = Field(default=4, ge=1, le=64)
    """Threads of one check."""
    at_once: int = Field(default=2, ge=1, le=64)
    """Checks that run at the same time, in one process; the others wait."""
    failures: int = Field(default=10, ge=1)
    """Logons of one account that may fail from one address, in `failure_window` seconds."""
    failures_per_account: int = Field(default=100, ge=1)
    """The same from all addresses."""
    failures_per_address: int = Field(default=50, ge=1)
    """The same of all accounts."""
    failure_window: float = Field(default=600.0, gt=0)
    """Seconds in which failed logons count; so long has to wait who had too many."""


class DbscSettings(Described):
    """`[dbsc]`: logons are bound to a key of the device, where the browser can (Device Bound Session Credentials)."""

    enabled: bool = False
    """Bind logons. A browser that cannot goes on as without."""
    path: str = Field(default="/session/device", pattern=r"^/[A-Za-z0-9/_.-]*[A-Za-z0-9_.-]$")
    """Path of the site below which browsers register a key (`/register`) and prove that they have it (`/refresh`)."""
    lifetime: float = Field(default=600.0, ge=60, le=600)
    """Seconds after which a browser has to prove it anew."""
    excluded: list[str] = ["/static/"]
    """Paths, and all below them, for which browsers need not prove it; what comes there without is a visitor's."""
    skipped: Literal["step_up", "allow"] = "step_up"
    """What follows if a browser says that it could not prove it: log on anew, or go on for `skipped_for`."""
    skipped_for: float = Field(default=300.0, ge=0, le=3600)
    """Seconds for which it goes on then, from the end of the last proof; a thief says the same."""


class FlowSettings(Described):
    """`[flows]`: integration flows that `holdfast serve` runs."""

    files: list[str] = []
    """Files of flows, such as `flows/*.yaml`, from the folder the server is started in."""
    credentials: Path | None = None
    """TOML file of the credentials that flows name in `auth`; only its owner may read it."""
    path: str = Field(default="/flows", pattern=r"^/[A-Za-z0-9/_.-]*[A-Za-z0-9_.-]$")
    """Path of the server below which HTTP senders take messages."""
    log_failed_for: float = Field(default=30 * 86_400.0, gt=0)
    """Seconds for which messages that failed are in the log, to be sent again."""
    log_done_for: float = Field(default=86_400.0, gt=0)
    """Seconds for which messages that went well are in the log."""
    log_body_bytes: int = Field(default=256 * 1024, ge=0)
    """Bytes of the longest message that is kept, until it has gone well, to be sent again."""


class Settings(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(
        env_prefix="HOLDFAST_", env_nested_delimiter="__", extra="forbid", use_attribute_docstrings=True
    )

    store: str = ""
    """URL of where sessions are kept; empty: SQLite in the user's data folder."""
    namespace: str = "holdfast"
    """Two namespaces on one store never see each other."""
    store_timeout: float = Field(default=2.0, gt=0)
    """Seconds a call may wait for the store before it is answered 503 with `Retry-After`."""
    keys: SecretStr = SecretStr("")
    """Sealing keys, separated by commas: the first seals, all open; empty: a key file beside an embedded store."""
    host: str = "127.0.0.1"
    """Address to listen on; one that others can reach is refused without `token` or `[oauth]`."""
    port: int = Field(default=8765, ge=0, le=65535)
    """Port to listen on; 0 takes a free one."""
    workers: int = Field(default=1, ge=1, le=256)
    """Processes that serve the port; several need a store that lasts and a configured SAP system."""
    shutdown_timeout: float = Field(default=10.0, ge=0)
    """Seconds that running calls are given to finish after SIGTERM."""
    id_format: Literal["base64url", "alnum"] = "base64url"
    """How session ids look; `alnum` gives 32 symbols of A-Z and 0-9 (165 bits)."""
    id_bits: int = 256
    """Bits of randomness in a session id, 128 at least."""
    validation: Literal["strict", "lenient"] = "strict"
    """`lenient` takes ids of any form, and a generator of ids with few bits with a warning."""
    token: SecretStr = SecretStr("")
    """Bearer token that clients must send; empty, and without `[oauth]`: no authentication."""
    oauth: OAuthSettings = OAuthSettings()
    """Access tokens of an authorization server, instead of `token`."""
    oidc: OidcSettings = OidcSettings()
    """People log on at an OpenID provider."""
    saml: SamlSettings = SamlSettings()
    """People log on at a SAML 2.0 identity provider."""
    passwords: PasswordSettings = PasswordSettings()
    """People log on with a password."""
    dbsc: DbscSettings = DbscSettings()
    """Logons are bound to devices."""
    flows: FlowSettings = FlowSettings()
    """Integration flows that are run."""
    admin_token: SecretStr = SecretStr("")
    """Bearer token of administrators, for the pages that list and end other people's logons; empty: nobody has one."""
    allowed_origins: list[str] = []
    """Values of `Origin` that browsers may send, besides local ones; `*` allows all."""
    allowed_hosts: list[str] = []
    """Values of `Host` that are served, besides local ones; `*` allows all."""
    trusted_proxies: list[str] = []
    """Addresses or networks of proxies whose `X-Forwarded-For` is believed, such as `10.0.0.0/8`."""
    dialect: Literal["", "fast-mcp"] = ""
    """`fast-mcp` takes clients that open MCP sessions by GET and name them in `X-Session-ID` or `?session_id=`."""
    preset: Literal["", "fast-mcp"] = ""
    """`fast-mcp` gives MCP sessions the times and limits of that server, where nothing else is set."""
    assurance: Literal["", "aal1", "aal2", "aal3"] = ""
    """How long logons last, by NIST's assurance levels, where nothing else is set: `aal1` 30 days, `aal2` 24 hours or
    1 hour unused, `aal3` 12 hours or 15 minutes unused."""
    odata_path: str = "/odata/abap"
    """Where `holdfast serve` offers the ABAP objects as a sticky OData service; empty for nowhere."""
    session_events: Literal["auto", "on", "off"] = "auto"
    """Whether MCP streams tell of their session's life; `auto`: in the dialect, and to clients that ask for it."""
    session_warnings: list[float] = [300.0, 60.0]
    """Seconds before its end at which an MCP session with an open stream is warned, once each."""
    keep_alive: float = Field(default=15.0, gt=0)
    """Seconds after which a silent MCP stream shows that it is alive, with a comment."""
    slow_reader_timeout: float = Field(default=15.0, gt=0)
    """Seconds for which the reader of an MCP stream may take nothing before its connection is closed."""
    events_per_session: int = Field(default=5000, ge=1)
    """Most events that are kept of the streams of one MCP session, for clients that come back."""
    event_bytes_per_session: int = Field(default=4 * 1024 * 1024, ge=1)
    """Bytes of all events that are kept of one MCP session; larger than that, none is."""
    event_age: float = Field(default=3600.0, gt=0)
    """Seconds for which an event of an MCP stream is kept."""
    fingerprint: Literal["off", "warn", "reject"] = "warn"
    """What it means if an MCP session is used from another address or program: `reject` answers 404."""
    binding_address: Literal["off", "warn", "step_up", "reject"] = "warn"
    """What it means if a web session is used from elsewhere: `step_up` asks for a new logon, `reject` knows nobody."""
    binding_agent: Literal["off", "warn", "step_up", "reject"] = "warn"
    """The same for another browser, whatever its version."""
    fingerprint_prefix: int = Field(default=64, ge=1, le=128)
    """Bits of an IPv6 address that count for the fingerprint; of an IPv4 address all do."""
    session_debug: bool = False
    """Log each use of an MCP session at DEBUG: its data, connections and times."""
    metrics: list[str] = []
    """Where metrics go: `dogstatsd://host:port`, `statsd://…`, `prometheus://…`, `prometheus:`, `opentelemetry:`."""
    metrics_token: SecretStr = SecretStr("")
    """Bearer token that readers of Prometheus' page must send; empty: `token` at the server's own port."""
    serializer: Literal["msgpack", "json"] = "msgpack"
    """How the content of sessions is written before it is sealed; either is read."""
    rate_limit_per_session: float = Field(default=6000, ge=0)
    """Requests a minute in one session, counted over all workers; 0: no limit."""
    rate_limit_per_client: float = Field(default=0, ge=0)
    """Requests a minute of one principal, or of one address without authentication; 0: no limit."""
    rate_limit_unknown_ids: float = Field(default=600, ge=0)
    """Requests a minute of one address whose cookies name no session, such as guesses; 0: no limit."""
    rate_burst: int = Field(default=1000, ge=1)
    """Requests that may come at once after a pause: in a session, of a client, or with ids that nobody issued."""
    max_body_bytes: int = Field(default=4 * 1024 * 1024, gt=0)
    """Bytes of the largest request body."""
    max_payload_bytes: int = Field(default=1024 * 1024, gt=0)
    """Bytes of the largest content of one session."""
    not_before: float = Field(default=0.0, ge=0)
    """Instant (Unix seconds) before which no session counts: the time at which the store was restored from a backup."""
    lease_ttl: float = Field(default=15.0, gt=0)
    """Seconds for which the lease of a dead worker stands."""
    closer_timeout: float = Field(default=10.0, gt=0)
    """Seconds one attempt to close something outside may take."""
    closing_patience: float = Field(default=900.0, ge=0)
    """Seconds after which what cannot be closed is *stranded*: listed, and tried again hourly."""
    cleanup_interval: float = Field(default=300.0, gt=0)
    """Seconds between two removals of expired rows; expiry itself never waits for it."""
    gc_threshold: int = Field(default=1000, ge=1)
    """Expired rows from which on they are removed sooner than that."""
    lock_hold_limit: float = Field(default=900.0, gt=0)
    """Seconds after which a lock that nobody has used is released."""
    session_state: Literal["sealed", "plain"] = "sealed"
    """`plain` gives trusted callers real cookies and tokens."""
    quota_client_calls: int = Field(default=10, ge=1)
    """Most calls to SAP systems that one client may have in flight, per worker."""
    strict: bool = False
    """Refuse a stale `session_state` instead of warning."""
    default_system: str = ""
    """Name of the SAP system to use where a call names none; empty: the first."""
    systems: dict[str, SystemSettings] = {}
    """SAP systems by name; one alone can be given as `HOLDFAST_SAP_URL`, `HOLDFAST_SAP_USER`, …"""
    kinds: dict[str, KindSettings] = {}
    """Clocks and limits per kind of session."""
    apps: dict[str, KindSettings] = {}
    """Clocks and limits per application, on top of those of the kind."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment rules over what the file says, which comes in as the initial values."""
        return env_settings, init_settings


PRESETS: dict[str, tuple[dict[str, Any], dict[str, dict[str, Any]]]] = {
    "fast-mcp": (
        {"cleanup_interval": 300.0, "gc_threshold": 1000, "fingerprint": "reject", "namespace": "mcp:sessions"},
        {
            "mcp": {"sliding": 1800.0, "slides_after": 1500.0, "idle": 300.0, "per_client": 5},
            "stream": {"per_parent": 3},
        },
    )
}
"""What a preset sets where nothing else is set: settings, and clocks and limits by kind."""


DAY_S = 86_400.0
ASSURANCES: dict[str, dict[str, dict[str, Any]]] = {
    name: {"security": {"absolute": overall}, "http": {"absolute": overall, "idle": idle}}
    for name, overall, idle in (("aal1", 30 * DAY_S, 30 * DAY_S), ("aal2", DAY_S, 3600.0), ("aal3", DAY_S / 2, 900.0))
}
"""Clocks of logons by NIST SP 800-63B-4 §2: how long they last, and how long unused (R23)."""


def preset_applied(settings: Settings) -> Settings:
    """Return the settings with what their presets set."""
    values, kinds = PRESETS.get(settings.preset, ({}, {}))
    kinds = {**ASSURANCES.get(settings.assurance, {}), **kinds}
    mine = {name: value for name, value in values.items() if name not in settings.model_fields_set}
    named = {
        kind: KindSettings(**{**clocks, **(given.model_dump(exclude_none=True) if given else {})})
        for kind, clocks in kinds.items()
        for given in [settings.kinds.get(kind)]
    }
    return settings.model_copy(update={**mine, "kinds": {**settings.kinds, **named}})


def data_folder() -> Path:
    """Return the user's data folder, made if need be: the embedded store and its key live there."""
    return Path(platformdirs.user_data_dir(APP, ensure_exists=True))


def store_url(settings: Settings) -> str:
    """Return where sessions are kept: as configured, else SQLite in the user's data folder."""
    return settings.store or f"sqlite:///{data_folder() / 'holdfast.db'}"


def refuse_readable_by_others(path: Path, mode: int) -> None:
    """Raise ConfigurationError if `mode`, as `stat` gives it, lets others than its owner at a file of secrets."""
    if stat.S_IMODE(mode) & 0o077:
        raise ConfigurationError(f"{path} can be read by others", hint=f"chmod 600 {path}")


def shown_url(url: str) -> str:
    """Return a store's URL as it may be printed: without user, password and parameters."""
    scheme, _, rest = url.partition("://")
    place, _, parameters = rest.partition("?")
    _, at, host = place.rpartition("@")
    return f"{scheme}://{'***@' if at else ''}{'…' if '@' in parameters else host}"  # a password may have a "?" in it


def load_settings(**overrides: Any) -> Settings:
    """Return the settings of this process; `overrides` rule over everything. Raises ConfigurationError."""
    _refuse_unknown_variables()
    try:
        settings = Settings(**_single_system(_file_values()))
        given = {name: value for name, value in overrides.items() if value is not None}
        return preset_applied(settings.model_copy(update=given))
    except ValidationError as exc:
        wrong = "; ".join(f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in exc.errors())
        raise ConfigurationError(f"settings: {wrong}") from exc


def _refuse_unknown_variables() -> None:
    """A misspelt variable would be ignored silently; the settings' own check sees only those it knows."""
    known = {f"HOLDFAST_{name.upper()}" for name in Settings.model_fields} | {"HOLDFAST_CONFIG"}
    for name in os.environ:
        if (
            name.startswith("HOLDFAST_")
            and not name.startswith(("HOLDFAST_SAP_", FLOW_CREDENTIAL))
            and name.partition("__")[0] not in known
        ):
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {near[0]}?" if near else "docs/settings.md lists the settings there are."
            raise ConfigurationError(f"{name} is not a setting", hint=hint)


def _file_values() -> dict[str, Any]:
    named = os.environ.get("HOLDFAST_CONFIG")
    candidates = (
        [Path(named)] if named else [Path("holdfast.toml"), Path(platformdirs.user_config_dir(APP)) / "holdfast.toml"]
    )
    path = next((path for path in candidates if path.is_file()), None)
    if path is None:
        if named:
            raise ConfigurationError(f"HOLDFAST_CONFIG names {named}, which is not a file")
        return {}
    try:
        return tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigurationError(f"{path} is not TOML: {exc}") from exc


def _single_system(values: dict[str, Any]) -> dict[str, Any]:
    """Add the system that `HOLDFAST_SAP_*` describe; it becomes the default one."""
    given = {
        name.removeprefix("HOLDFAST_SAP_").lower(): text
        for name, text in os.environ.items()
        if name.startswith("HOLDFAST_SAP_")
    }
    if not given:
        return values
    if "url" not in given:
        raise ConfigurationError("HOLDFAST_SAP_URL is missing beside the other HOLDFAST_SAP_ variables")
    systems = {**values.get("systems", {}), SINGLE_SYSTEM: given}
    return {**values, "systems": systems, "default_system": SINGLE_SYSTEM}
