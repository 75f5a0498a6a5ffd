"""Settings: defaults, then the TOML file, then `HOLDFAST_*` of the environment; the later wins.

The file is `HOLDFAST_CONFIG`, else `holdfast.toml` in the working folder, else in the user's configuration folder.
One SAP system can be given wholly in the environment (`HOLDFAST_SAP_URL`, …); several have names in the file:

    default_system = "dev"

    [systems.dev]
    url = "https://dev.example:44300"
    client = "100"
    user = "DEVELOPER"
    password_file = "secrets/dev"
"""

import difflib
import os
import tomllib
from pathlib import Path
from typing import Any, Literal

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from holdfast.errors import ConfigurationError

APP = "holdfast"
SINGLE_SYSTEM = "default"


class SystemSettings(BaseModel):
    """One SAP system. Without `url` the built-in simulator stands in."""

    model_config = ConfigDict(extra="forbid")

    url: str
    client: str = "001"
    language: str = "EN"
    user: str = ""
    password: SecretStr = SecretStr("")
    password_file: Path | None = None
    token: SecretStr = SecretStr("")
    profile: str = "auto"
    verify: bool | Path = True  # TLS: True, False, or a file of certificates
    timeout: float = 30.0

    def secret(self) -> str:
        """Return the password, from `password_file` if that is given."""
        if self.password_file is None:
            return self.password.get_secret_value()
        try:
            return self.password_file.read_text().rstrip("\n")
        except OSError as exc:
            raise ConfigurationError(f"password_file {self.password_file} cannot be read: {exc.strerror}") from exc


class KindSettings(BaseModel):
    """Clocks and limits of one kind, `[kinds.NAME]` or `[apps.NAME]`; what is left out keeps its default (E31)."""

    model_config = ConfigDict(extra="forbid")

    idle: float | None = None
    sliding: float | None = None
    slides_after: float | None = None
    absolute: float | None = None
    linger: float | None = None
    touch_interval: float | None = None
    per_client: int | None = None
    per_principal: int | None = None
    per_parent: int | None = None
    total: int | None = None
    policy: Literal["reject", "replace_oldest", "replace_least_recent"] | None = None


class Settings(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(env_prefix="HOLDFAST_", env_nested_delimiter="__", extra="forbid")

    store: str = ""  # a store URL; empty: SQLite in the user's data folder
    namespace: str = "holdfast"
    keys: SecretStr = SecretStr("")
    host: str = "127.0.0.1"
    port: int = Field(default=8765, ge=0, le=65535)
    id_format: Literal["base64url", "alnum"] = "base64url"
    id_bits: int = 256
    validation: Literal["strict", "lenient"] = "strict"  # of ids from outside, and of a custom generator
    token: SecretStr = SecretStr("")  # the static bearer token; empty: no authentication
    allowed_origins: list[str] = []
    allowed_hosts: list[str] = []
    max_body_bytes: int = 4 * 1024 * 1024
    max_payload_bytes: int = 1024 * 1024
    lease_ttl: float = 15.0
    closer_timeout: float = 10.0
    closing_patience: float = 900.0
    cleanup_interval: float = 300.0
    lock_hold_limit: float = 900.0
    session_state: Literal["sealed", "plain"] = "sealed"
    strict: bool = False
    default_system: str = ""
    systems: dict[str, SystemSettings] = {}
    kinds: dict[str, KindSettings] = {}
    apps: dict[str, KindSettings] = {}

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


def data_folder() -> Path:
    """Return the user's data folder, made if need be: the embedded store and its key live there."""
    return Path(platformdirs.user_data_dir(APP, ensure_exists=True))


def store_url(settings: Settings) -> str:
    """Return where sessions are kept: as configured, else SQLite in the user's data folder."""
    return settings.store or f"sqlite:///{data_folder() / 'holdfast.db'}"


def load_settings(**overrides: Any) -> Settings:
    """Return the settings of this process; `overrides` rule over everything. Raises ConfigurationError."""
    _refuse_unknown_variables()
    try:
        settings = Settings(**_single_system(_file_values()))
        return settings.model_copy(update={name: value for name, value in overrides.items() if value is not None})
    except ValidationError as exc:
        wrong = "; ".join(f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in exc.errors())
        raise ConfigurationError(f"settings: {wrong}") from exc


def _refuse_unknown_variables() -> None:
    """A misspelt variable would be ignored silently; the settings' own check sees only those it knows."""
    known = {f"HOLDFAST_{name.upper()}" for name in Settings.model_fields} | {"HOLDFAST_CONFIG"}
    for name in os.environ:
        if (
            name.startswith("HOLDFAST_")
            and not name.startswith("HOLDFAST_SAP_")
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
