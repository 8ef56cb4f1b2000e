"""The environment, read once at the start, checked as a whole, and never changed afterwards."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple
from urllib.parse import urlsplit

from dotenv import load_dotenv
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    HttpUrl,
    SecretStr,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from leadhook import network
from leadhook.command_error import MisuseError
from leadhook.credentials import (
    ADMIN_TOKEN_MIN_CHARS,
    StaticHeader,
    otlp_headers,
    split_words,
    static_header,
    webhook_key,
)

GRACEFUL_HTTP_SEC: Final = 3
"""How long open requests may go on after the first signal."""
GIVE_BACK_SEC: Final = 5
"""How long the last saves, releases and log lines may take after the drain."""

OTLP: Final = "OTEL_EXPORTER_OTLP_"

SUPABASE_KEY_NAMES: Final = ("SUPABASE_SECRET_KEY", "SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_ANON_KEY")
"""In the order in which they are looked for."""

_KEY: Final = re.compile(r"[!-~]+")
"""What a header can carry, without blanks."""
_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")


_API_PATHS: Final = ("", "/rest", "/rest/v1", "/auth/v1", "/storage/v1", "/functions/v1", "/realtime/v1", "/graphql/v1")
"""What the dashboard shows behind the project's address; the address alone is wanted."""


class SettingsError(MisuseError):
    """The environment can't be used; the text names every problem, one a line, and no value."""


def _http_url(text: str) -> str:
    TypeAdapter(HttpUrl).validate_python(text)
    return text.rstrip("/")


def _project_url(text: str) -> str:
    parts = urlsplit(_http_url(text))
    path = parts.path.rstrip("/")
    if parts.query or parts.fragment or path not in _API_PATHS:
        raise ValueError("name the project's address alone, like https://abc.supabase.co, without a path")
    return parts._replace(path="").geturl()


def _webhook_secret(secret: SecretStr) -> SecretStr:
    webhook_key(secret.get_secret_value())
    return secret


def _supabase_key(key: SecretStr) -> SecretStr:
    if not _KEY.fullmatch(key.get_secret_value()):
        raise ValueError("it has characters that no key has: copy it again from the dashboard")
    return key


def _admin_token(token: SecretStr) -> SecretStr:
    if len(token) < ADMIN_TOKEN_MIN_CHARS:
        raise ValueError(f"a token must have at least {ADMIN_TOKEN_MIN_CHARS} characters")
    return token


def _origin(text: str) -> str:
    if not _ORIGIN.fullmatch(text):
        raise ValueError("an origin is scheme, host and perhaps port, without a path: https://app.example.com")
    return text


def _headers(given: SecretStr | None) -> SecretStr | None:
    if given is not None:
        otlp_headers(given.get_secret_value())
    return given


def _certificate(path: Path) -> Path:
    try:
        network.trust({"SSL_CERT_FILE": str(path)})
    except OSError as error:
        raise ValueError(f"can't be used: {error.strerror or 'it holds no certificate'}") from None
    return path


Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Url = Annotated[Text, AfterValidator(_http_url)]
ProjectUrl = Annotated[Text, AfterValidator(_project_url)]
Words = BeforeValidator(lambda given: split_words(given) if isinstance(given, str) else given)


SupabaseKey = Annotated[SecretStr, AfterValidator(_supabase_key)]


class Settings(BaseModel):
    """Every setting of the service. A field's upper case name is its variable, its docstring its meaning."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True)

    supabase_url: ProjectUrl
    """The project's URL, e.g. `https://abc.supabase.co`."""
    supabase_secret_key: SupabaseKey | None = None
    """The project's `sb_secret_…` key; needed, unless one of the two older ones is set."""
    supabase_service_role_key: SupabaseKey | None = None
    """The older `service_role` key; used when SUPABASE_SECRET_KEY is unset."""
    supabase_anon_key: SupabaseKey | None = Field(default=None, validate_default=True)
    """Used when neither of the above is set. The service starts with it, but the database will refuse its work."""
    webhook_secrets: Annotated[tuple[Annotated[SecretStr, AfterValidator(_webhook_secret)], ...], Words] = ()
    """The secrets that rings are signed with (`whsec_…`), separated by blanks or commas; several during an exchange."""
    webhook_static_header: Annotated[
        StaticHeader | None, BeforeValidator(lambda line: line and static_header(line))
    ] = None
    """`Name: value` of the header that plain dashboard webhooks carry. Any role of the database can read it."""
    admin_tokens: Annotated[tuple[Annotated[SecretStr, AfterValidator(_admin_token)], ...], Words] = ()
    """Bearer tokens for admin requests, of 16 characters or more, separated by blanks or commas; unset: closed."""
    cors_origins: Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], Words] = ()
    """Whose pages may send requests from a browser (`https://app.example.com`), separated by blanks or commas."""
    host: Text = "127.0.0.1"
    """The address to listen on; in a container `0.0.0.0`, or `::` for IPv4 and IPv6."""
    port: int = Field(default=8000, ge=0, le=65535)
    """The port to listen on; 0 takes a free one."""
    max_concurrency: int = Field(default=16, ge=1, le=1000)
    """How many leads are judged at the same time."""
    sweep_interval_sec: float = Field(default=300, gt=0, le=86400)
    """How often the database is searched for leads that no ring told of, in seconds."""
    drain_sec: float = Field(default=45, ge=0)
    """How long leads at work may take to end after SIGTERM, in seconds; the rest is given back."""
    kill_timeout_sec: float = Field(default=60, gt=0, validate_default=True)
    """When the platform kills the process after SIGTERM, in seconds; must leave 8 s beyond DRAIN_SEC."""
    gemini_model: Text = "gemini-3.5-flash-lite"
    """The model that judges."""
    gemini_base_url: Url | None = None
    """Another address for Gemini: a proxy or a stand-in."""
    gemini_price_file: Path | None = None
    """A JSON file of prices in place of ours, `gemini/prices.json`, of the same form."""
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(str.lower)] = "info"
    """The least level that is logged: debug, info, warning or error."""
    log_format: Annotated[Literal["json", "console"], BeforeValidator(str.lower)] = "json"
    """`json`, one object a line, or `console` for people."""
    log_ship: Annotated[Literal["none", "otlp"], BeforeValidator(str.lower)] = "none"
    """`otlp` sends the log to a log service as well, by OTLP/HTTP; `none` leaves it to who reads stdout."""
    otel_exporter_otlp_endpoint: Url = "http://localhost:4318"
    """The log service's address, without `/v1/logs`. This one and those below are OpenTelemetry's own variables."""
    otel_exporter_otlp_logs_endpoint: Url | None = None
    """The same with its path, used as it is."""
    otel_exporter_otlp_headers: Annotated[SecretStr | None, AfterValidator(_headers)] = None
    """`name=value,name=value`, values percent-encoded; what the log service proves us by."""
    otel_exporter_otlp_timeout: int = Field(default=10_000, ge=100, le=600_000)
    """How long a request to the log service may take, in milliseconds."""
    otel_exporter_otlp_compression: Annotated[Literal["gzip", "none"], BeforeValidator(str.lower)] = "gzip"
    """`gzip` or `none`."""
    otel_exporter_otlp_protocol: Annotated[Literal["http/protobuf"], BeforeValidator(str.lower)] = "http/protobuf"
    """Only `http/protobuf` is spoken."""
    otel_exporter_otlp_certificate: Annotated[Path, AfterValidator(_certificate)] | None = None
    """A file with the certificates (PEM) by which the log service is trusted, instead of the machine's own."""
    log_file: Path | None = None
    """A file for the operator: START, DONE, ERROR, SKIP and CYCLE lines with the leads' names, rotated at 10 MB."""
    log_timezone: Text = "Asia/Kolkata"
    """The time zone of LOG_FILE, e.g. `Europe/Berlin`."""
    metrics_port: int | None = Field(default=None, ge=0, le=65535)
    """The port for Prometheus metrics, on HOST; unset: none."""
    database_url: SecretStr | None = None
    """The database's own address with its owner's rights; only the commands that change the database need it."""
    poll_interval_sec: str | None = None
    """Ignored, as nothing is polled; see SWEEP_INTERVAL_SEC."""

    @field_validator("supabase_anon_key")
    @classmethod
    def _some_supabase_key(cls, key: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if not {"supabase_secret_key", "supabase_service_role_key"} <= info.data.keys():
            return key  # one is set, and reported as wrong
        if key or info.data.get("supabase_secret_key") or info.data.get("supabase_service_role_key"):
            return key
        raise PydanticCustomError("missing", "{name} is missing", {"name": "SUPABASE_SECRET_KEY"})

    @field_validator("kill_timeout_sec")
    @classmethod
    def _drain_fits(cls, kill_timeout: float, info: ValidationInfo) -> float:
        needed = info.data.get("drain_sec", 0) + GRACEFUL_HTTP_SEC + GIVE_BACK_SEC
        if needed < kill_timeout:
            return kill_timeout
        raise ValueError(
            f"must be more than {needed:g} s, which is DRAIN_SEC and the 8 s around it; or lower DRAIN_SEC"
        )

    @property
    def supabase_key_name(self) -> str:
        """The variable that the key was taken from."""
        return next(name for name in SUPABASE_KEY_NAMES if getattr(self, name.lower()))

    @property
    def supabase_key(self) -> SecretStr:
        """The key that the service works with."""
        key: SecretStr = getattr(self, self.supabase_key_name.lower())
        return key

    @property
    def webhook_keys(self) -> tuple[bytes, ...]:
        """The HMAC keys behind `webhook_secrets`."""
        return tuple(webhook_key(secret.get_secret_value()) for secret in self.webhook_secrets)

    def secrets(self) -> list[str]:
        """Every secret value, for the log to hide."""
        given = [getattr(self, name) for name in type(self).model_fields]
        flat = [item for value in given for item in (value if isinstance(value, tuple) else (value,))]
        found = [item.get_secret_value() for item in flat if isinstance(item, SecretStr)]
        if self.webhook_static_header:
            found.append(self.webhook_static_header.value.get_secret_value())
        for value in self.otlp_headers().values():
            found += [value, value.rpartition(" ")[2]]
        if self.database_url and (password := urlsplit(self.database_url.get_secret_value()).password):
            found.append(password)
        return found

    def otlp_headers(self) -> dict[str, str]:
        """What goes with each request to the log service."""
        given = self.otel_exporter_otlp_headers
        return otlp_headers(given.get_secret_value()) if given else {}

    @property
    def otlp_logs_url(self) -> str:
        """Where the log is shipped to."""
        return self.otel_exporter_otlp_logs_endpoint or f"{self.otel_exporter_otlp_endpoint}/v1/logs"


class Row(NamedTuple):
    """One setting, for people."""

    name: str
    default: str
    meaning: str


COMMANDS_TABLE: Final = (
    Row("GEMINI_API_KEY", "", "For the local stack: a Gemini key, with which the real Gemini answers; it costs money."),
    Row(
        "GEMINI_STANDIN_LATENCY_MS",
        "0",
        "For the local stack: the latency of the Gemini stand-in, e.g. `300-900`.",
    ),
    Row("LEADHOOK_STACK_DIR", "", "For the local stack: where its programs are kept, instead of beside Python."),
)
"""What only commands read, never the service."""


def load_settings(env: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from the environment; a variable that is set to nothing counts as unset.

    Raises:
        SettingsError: with all problems at once.
    """
    env = os.environ if env is None else env
    found = {field: _lookup(env, field) for field in Settings.model_fields}
    given = {field: text for field, text in found.items() if text}
    unusable = [f"{name}: {reason}" for name, reason in network.problems(env)]
    try:
        settings = Settings.model_validate(given)
    except ValidationError as error:
        # `from None`: the chain would show what was given, and that may be a secret.
        raise _wrong([*_problems(error), *unusable]) from None
    if unusable:
        raise _wrong(unusable)
    return settings


def _wrong(problems: list[str]) -> SettingsError:
    return SettingsError("\n  ".join(["these settings are wrong:", *problems]))


def read_env_file(file: Path) -> None:
    """Add to the environment what this file sets and the environment does not; a missing file is none.

    Raises:
        SettingsError: it can't be read.
    """
    if not file.is_file():
        return
    try:
        # Not interpolated: a `$` in a password is a `$`, as for Docker and systemd.
        load_dotenv(file, override=False, interpolate=False)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise SettingsError(f"{file} beside you can't be read: {reason}") from None


def _lookup(env: Mapping[str, str], field: str) -> str:
    name = field.upper()
    names = [name]
    if name.startswith(OTLP) and not name.endswith("ENDPOINT"):
        # OpenTelemetry has a second one of each, for logs alone, which wins.
        names.insert(0, f"{OTLP}LOGS_{name.removeprefix(OTLP)}")
    return next((text for name in names if (text := env.get(name, "").strip())), "")


def settings_table() -> list[Row]:
    """Every setting with its default and meaning, in the order of the class."""
    return [
        Row(name.upper(), _shown_default(field.get_default()), (field.description or "").replace("\n", " "))
        for name, field in Settings.model_fields.items()
    ]


def _shown_default(default: Any) -> str:
    return "" if default in (None, ()) or not isinstance(default, str | int | float) else f"{default}"


def _problems(error: ValidationError) -> list[str]:
    return [f"{_name(item)}: {_words(item)}" for item in error.errors(include_input=False, include_url=False)]


def _name(item: ErrorDetails) -> str:
    field, *index = item["loc"]
    name = item.get("ctx", {}).get("name") or str(field).upper()
    return f"{name} (no. {int(index[0]) + 1})" if index else name


def _words(item: ErrorDetails) -> str:
    match item["type"]:
        case "missing":
            return "is not set"
        case "value_error":
            return str(item["ctx"]["error"])
        case _:
            return item["msg"]
