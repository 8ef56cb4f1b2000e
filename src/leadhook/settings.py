"""Settings: read once from the environment at startup, validated together, and immutable."""

import os
import re
from collections.abc import Mapping
from ipaddress import IPv6Address
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from dotenv.parser import parse_stream
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
    ADMIN_TOKEN_MIN_DIFFERENT,
    StaticHeader,
    database_passwords,
    otlp_headers,
    split_words,
    static_header,
    webhook_key,
)

GRACEFUL_HTTP_SEC: Final = 3
"""Seconds that open requests may take after the first signal."""
GIVE_BACK_SEC: Final = 5
"""Seconds for the last saves, releases and log lines after the drain."""

OTLP: Final = "OTEL_EXPORTER_OTLP_"

SUPABASE_KEY_NAMES: Final = ("SUPABASE_SECRET_KEY", "SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_ANON_KEY")
"""In lookup order."""

_QUOTES: Final = ('""', "''", "\u201c\u201d", "\u2018\u2019")
_AROUND: Final = re.compile(r"^[\s\u200b-\u200f\u2060\ufeff]+|[\s\u200b-\u200f\u2060\ufeff]+$")
_KEY: Final = re.compile(r"[!-~]+")
"""Printable ASCII without spaces, which a header can carry."""
_DATABASE_HOST: Final = re.compile(r"db\.[^.]+\.supabase\.(co|com)|.*\.pooler\.supabase\.com")
_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
_API_PATHS: Final = ("", "/rest", "/rest/v1", "/auth/v1", "/storage/v1", "/functions/v1", "/realtime/v1", "/graphql/v1")
"""Paths that the dashboard shows after the project's URL. They are removed."""
_GEMINI_VERSION: Final = re.compile("/v1(alpha|beta)?(/models)?/?$")


class SettingsError(MisuseError):
    """The environment can't be used; the text names every problem, one a line, and no value."""


def _http_url(text: str) -> str:
    url = TypeAdapter(HttpUrl).validate_python(text)
    if "@" in urlsplit(text).netloc:
        raise ValueError("must not contain a user name or password")
    # In its plain form, because HTTP clients refuse backslashes, invisible characters and letters of other scripts.
    return str(url).rstrip("/")


def _project_url(text: str) -> str:
    try:
        parts = urlsplit(_http_url(text))
    except ValidationError:
        raise ValueError("must be the project's URL, like https://abc.supabase.co") from None
    path = parts.path.rstrip("/").lower()
    if parts.query or parts.fragment or path not in _API_PATHS:
        raise ValueError("must be the project's URL without a path, like https://abc.supabase.co")
    if _DATABASE_HOST.fullmatch(parts.hostname or ""):
        raise ValueError("names the database (db.…); the project's URL is like https://abc.supabase.co")
    return parts._replace(path="").geturl()


def _without_version(url: str) -> str:
    """Remove the version's path, which examples of Google's API show and its client adds."""
    return _GEMINI_VERSION.sub("", url)


def _host(text: str) -> str:
    host = text.removeprefix("[").removesuffix("]")
    if "/" in host or (":" in host and not _is_ipv6(host)):
        raise ValueError("must be an address without scheme and port, like 0.0.0.0; set PORT separately")
    return host


def _is_ipv6(host: str) -> bool:
    try:
        IPv6Address(host)
    except ValueError:
        return False
    return True


def _webhook_secret(secret: SecretStr) -> SecretStr:
    webhook_key(secret.get_secret_value())
    return secret


def _supabase_key(key: SecretStr) -> SecretStr:
    if not _KEY.fullmatch(key.get_secret_value()):
        raise ValueError("contains characters that are not valid in a key; copy it again from the dashboard")
    return key


def _admin_token(token: SecretStr) -> SecretStr:
    if len(token) < ADMIN_TOKEN_MIN_CHARS:
        raise ValueError(f"must have at least {ADMIN_TOKEN_MIN_CHARS} characters")
    text = token.get_secret_value()
    if not _KEY.fullmatch(text):
        raise ValueError("contains characters that a header can't carry; use letters and digits")
    if len(set(text)) < ADMIN_TOKEN_MIN_DIFFERENT or text in (text + text)[1:-1]:
        raise ValueError("is easy to guess, because it repeats itself: `openssl rand -hex 32` makes a good one")
    return token


def _origin(text: str) -> str:
    if not _ORIGIN.fullmatch(text):
        raise ValueError("must be an origin (scheme, host and optional port, no path), like https://app.example.com")
    return text


def _headers(given: SecretStr | None) -> SecretStr | None:
    if given is not None:
        otlp_headers(given.get_secret_value())
    return given


def _certificate(path: Path) -> Path:
    try:
        network.own_trust(str(path))
    except OSError as error:
        raise ValueError(f"can't be used: {error.strerror or 'it contains no certificate'}") from None
    return path


def _no_link(path: Path) -> Path:
    try:
        is_link = path.is_symlink()
    except OSError as error:
        raise ValueError(f"can't be used: {error.strerror}") from None
    if is_link:  # another user who may write in its directory could make it lead elsewhere
        raise ValueError("is a link, which is not followed; name the file itself, or none: the log is on stdout anyway")
    return path


Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Url = Annotated[Text, AfterValidator(_http_url)]
ProjectUrl = Annotated[Text, AfterValidator(_project_url)]
Host = Annotated[Text, AfterValidator(_host)]
"""An IPv6 address may stand in brackets, as in a URL."""
Words = BeforeValidator(lambda given: split_words(given) if isinstance(given, str) else given)


SupabaseKey = Annotated[SecretStr, AfterValidator(_supabase_key)]


class Settings(BaseModel):
    """All settings of the service. The variable is the field name in upper case; the docstring is its description."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    supabase_url: ProjectUrl
    """The project's URL, e.g. `https://abc.supabase.co`."""
    supabase_secret_key: SupabaseKey | None = None
    """The project's `sb_secret_…` key. Required unless one of the two older keys is set."""
    supabase_service_role_key: SupabaseKey | None = None
    """The older `service_role` key. Used if SUPABASE_SECRET_KEY is not set."""
    supabase_anon_key: SupabaseKey | None = Field(default=None, validate_default=True)
    """Used if neither key above is set. The service starts with it, but the database refuses its requests."""
    webhook_secrets: Annotated[tuple[Annotated[SecretStr, AfterValidator(_webhook_secret)], ...], Words] = ()
    """Secrets that sign webhooks (`whsec_…`), separated by spaces or commas. Set several while replacing one."""
    webhook_static_header: Annotated[
        StaticHeader | None, BeforeValidator(lambda line: line and static_header(line))
    ] = None
    """`Name: value` of the header sent by plain dashboard webhooks. Every database role can read it."""
    admin_tokens: Annotated[tuple[Annotated[SecretStr, AfterValidator(_admin_token)], ...], Words] = ()
    """Bearer tokens for admin requests, 16 characters or more each, separated by spaces or commas. Default: none."""
    admin_readonly_tokens: Annotated[tuple[Annotated[SecretStr, AfterValidator(_admin_token)], ...], Words] = ()
    """Tokens for read-only access to the console, in the same form as ADMIN_TOKENS. Default: none."""
    cors_origins: Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], Words] = ()
    """Origins that may send requests from a browser (`https://app.example.com`), separated by spaces or commas."""
    host: Host = "127.0.0.1"
    """The address to listen on. In a container use `0.0.0.0`, or `::` for IPv4 and IPv6."""
    port: int = Field(default=8000, ge=0, le=65535)
    """The port to listen on. 0 picks a free port."""
    max_concurrency: int = Field(default=16, ge=1, le=1000)
    """Maximum number of leads scored at the same time."""
    sweep_interval_sec: float = Field(default=300, gt=0, le=86400)
    """Seconds between searches of the database for leads that no webhook announced."""
    drain_sec: float = Field(default=45, ge=0)
    """Seconds that leads in progress may take to finish after SIGTERM. The rest are released."""
    kill_timeout_sec: float = Field(default=60, gt=0, validate_default=True)
    """Seconds from SIGTERM until the platform kills the process. Must exceed DRAIN_SEC by more than 8."""
    gemini_model: Text = "gemini-3.5-flash-lite"
    """The model that scores leads and writes messages."""
    gemini_base_url: Annotated[Url, AfterValidator(_without_version)] | None = None
    """Alternative base URL for Gemini, such as a proxy or a stand-in."""
    gemini_price_file: Path | None = None
    """A JSON file of prices that replaces `gemini/prices.json`, in the same format."""
    injection_check: Annotated[Literal["on", "off"], BeforeValidator(str.lower)] = "on"
    """`on` confirms a score from 50 up with a second one if the lead's text looks manipulative. `off` only flags it."""
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(str.lower)] = "info"
    """Minimum log level: debug, info, warning or error."""
    log_format: Annotated[Literal["json", "console"], BeforeValidator(str.lower)] = "json"
    """`json` (one object per line) or `console` (for people)."""
    log_ship: Annotated[Literal["none", "otlp"], BeforeValidator(str.lower)] = "none"
    """`otlp` also sends the log to a log service over OTLP/HTTP. `none` writes it to stdout only."""
    otel_exporter_otlp_endpoint: Url = "http://localhost:4318"
    """URL of the log service, without `/v1/logs`. This and the following are standard OpenTelemetry variables."""
    otel_exporter_otlp_logs_endpoint: Url | None = None
    """URL of the log service including the path, used unchanged."""
    otel_exporter_otlp_headers: Annotated[SecretStr | None, AfterValidator(_headers)] = None
    """Headers used to authenticate with the log service: `name=value,name=value`, values percent-encoded."""
    otel_exporter_otlp_timeout: int = Field(default=10_000, ge=100, le=600_000)
    """Timeout for a request to the log service, in milliseconds."""
    otel_exporter_otlp_compression: Annotated[Literal["gzip", "none"], BeforeValidator(str.lower)] = "gzip"
    """Compression of these requests: `gzip` or `none`."""
    otel_exporter_otlp_protocol: Annotated[Literal["http/protobuf"], BeforeValidator(str.lower)] = "http/protobuf"
    """The protocol. Only `http/protobuf` is supported."""
    otel_exporter_otlp_certificate: Annotated[Path, AfterValidator(_certificate)] | None = None
    """A file with CA certificates (PEM) for the log service, instead of the system's."""
    log_file: Annotated[Path, AfterValidator(_no_link)] | None = None
    """File for the operator log: START, DONE, ERROR, SKIP and CYCLE lines with leads' names, rotated at 10 MB."""
    log_timezone: Text = "Asia/Kolkata"
    """The time zone of LOG_FILE, e.g. `Europe/Berlin`."""
    metrics_port: int | None = Field(default=None, ge=0, le=65535)
    """The port for Prometheus metrics, on HOST. Default: no metrics."""
    database_url: SecretStr | None = None
    """Connection string of the database's owner. Only commands that change the database need it."""
    poll_interval_sec: str | None = None
    """Ignored, because nothing is polled. See SWEEP_INTERVAL_SEC."""

    @field_validator("supabase_anon_key")
    @classmethod
    def _some_supabase_key(cls, key: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if not {"supabase_secret_key", "supabase_service_role_key"} <= info.data.keys():
            return key  # one is set but invalid, which is reported already
        if key or info.data.get("supabase_secret_key") or info.data.get("supabase_service_role_key"):
            return key
        raise PydanticCustomError("missing", "{name} is missing", {"name": "SUPABASE_SECRET_KEY"})

    @field_validator("admin_readonly_tokens")
    @classmethod
    def _may_not_act(cls, tokens: tuple[SecretStr, ...], info: ValidationInfo) -> tuple[SecretStr, ...]:
        if set(tokens) & set(info.data.get("admin_tokens", ())):
            raise ValueError("contains a token that is also one of ADMIN_TOKENS, and so could change everything")
        return tokens

    @field_validator("kill_timeout_sec")
    @classmethod
    def _drain_fits(cls, kill_timeout: float, info: ValidationInfo) -> float:
        needed = info.data.get("drain_sec", 0) + GRACEFUL_HTTP_SEC + GIVE_BACK_SEC
        if needed < kill_timeout:
            return kill_timeout
        raise ValueError(f"must be more than {needed:g} s (DRAIN_SEC plus 8 s); raise it or lower DRAIN_SEC")

    @property
    def supabase_key_name(self) -> str:
        return next(name for name in SUPABASE_KEY_NAMES if getattr(self, name.lower()))

    @property
    def supabase_key(self) -> SecretStr:
        key: SecretStr = getattr(self, self.supabase_key_name.lower())
        return key

    @property
    def webhook_keys(self) -> tuple[bytes, ...]:
        """The HMAC keys decoded from `webhook_secrets`."""
        return tuple(webhook_key(secret.get_secret_value()) for secret in self.webhook_secrets)

    def secrets(self) -> list[str]:
        """Return every secret value, so that the log can hide it."""
        given = [getattr(self, name) for name in type(self).model_fields]
        flat = [item for value in given for item in (value if isinstance(value, tuple) else (value,))]
        found = [item.get_secret_value() for item in flat if isinstance(item, SecretStr)]
        if self.webhook_static_header:
            found.append(self.webhook_static_header.value.get_secret_value())
        for value in self.otlp_headers().values():
            found += [value, value.rpartition(" ")[2]]
        if self.database_url:
            found += database_passwords(self.database_url.get_secret_value())
        return found

    def otlp_headers(self) -> dict[str, str]:
        given = self.otel_exporter_otlp_headers
        return otlp_headers(given.get_secret_value()) if given else {}

    @property
    def otlp_logs_url(self) -> str:
        return self.otel_exporter_otlp_logs_endpoint or f"{self.otel_exporter_otlp_endpoint}/v1/logs"


def load_settings(env: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from the environment. An empty variable counts as not set.

    Raises:
        SettingsError: listing all problems.
    """
    env = os.environ if env is None else env
    found = {field: _lookup(env, field) for field in Settings.model_fields}
    given = {field: text for field, text in found.items() if text}
    unusable = [f"{name}: {reason}" for name, reason in network.problems(env)]
    try:
        settings = Settings.model_validate(given)
    except ValidationError as error:
        # `from None`: the cause would show the given values, which may be secret.
        raise _wrong([*_problems(error), *unusable]) from None
    if unusable:
        raise _wrong(unusable)
    return settings


def _wrong(problems: list[str]) -> SettingsError:
    listed = "\n  ".join(["these settings are missing or invalid:", *problems])
    return SettingsError(
        f"{listed}\nSet them in the environment or in a .env file in this directory; the README's table explains each."
    )


def read_env_file(file: Path) -> list[str]:
    """Load variables from this file, if it exists; return a warning for each line that is ignored.

    Variables that are already set win.

    Raises:
        SettingsError: the file can't be read.
    """
    if not file.is_file():
        return []
    try:
        with file.open(encoding="utf-8") as stream:
            lines = list(parse_stream(stream))
        # Not interpolated: a `$` in a password is a `$`, as for Docker and systemd.
        given = {line.key: line.value for line in lines if line.key and line.value is not None}
        os.environ.update({name: value for name, value in given.items() if name not in os.environ})
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SettingsError(f"{file} can't be read: {reason}") from None
    return [
        f"{file}, line {line.original.line}: not `NAME=value` (a missing quote?); it is ignored"
        for line in lines
        if line.error
    ]


def _lookup(env: Mapping[str, str], field: str) -> str:
    name = field.upper()
    names = [name]
    if name.startswith(OTLP) and not name.endswith("ENDPOINT"):
        # OpenTelemetry has a second variable of each, for logs only, which takes precedence.
        names.insert(0, f"{OTLP}LOGS_{name.removeprefix(OTLP)}")
    return next((text for name in names if (text := read_variable(env, name))), "")


def read_variable(env: Mapping[str, str], name: str) -> str:
    """Return a variable without spaces and invisible characters around it, nor quotes that Docker's env files keep."""
    text = _AROUND.sub("", env.get(name, ""))
    if len(text) > 1 and text[0] + text[-1] in _QUOTES:
        text = _AROUND.sub("", text[1:-1])
    return text


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
