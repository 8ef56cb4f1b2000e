"""Proxy and TLS configuration for every HTTP client of the process.

HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY (upper or lower case), SSL_CERT_FILE and SSL_CERT_DIR are standard
variables, but HTTP libraries read them differently: one fails on an IPv6 address in NO_PROXY, one ignores ALL_PROXY,
one sends the passwords of ~/.netrc. So no library reads the environment; every client gets the configuration from here.
"""

import errno
import os
import re
import ssl
from collections.abc import Iterator, Mapping
from functools import cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

import certifi

NO_FILES_LEFT: Final = (
    "this process may open no more files: raise its limit (LimitNOFILE= of systemd, --ulimit nofile of Docker)"
)
_PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = re.compile(r"[\w-][\w.-]*")
_HASHED_CERTIFICATE: Final = re.compile(r"[0-9a-f]{8}\.[0-9]+")


def proxy_for(url: str, env: Mapping[str, str] | None = None) -> str | None:
    env = os.environ if env is None else env
    target = urlsplit(url)
    name = _proxy_variable(target.scheme, env)
    if name is None or _is_exempt(target, _lookup("NO_PROXY", env)[1]):
        return None
    return _spelled_out(env[name].strip())


def trust() -> ssl.SSLContext:
    """Return the TLS context that all clients of the process share: loading the certificates takes 20 ms and 1 MB.

    It trusts the certificates of SSL_CERT_FILE, else SSL_CERT_DIR, else Mozilla's.
    """
    return _loaded(*_certificates())


def own_trust(file: str | None = None) -> ssl.SSLContext:
    """Return a new context for a library that changes it, as requests does: for this file, or as `trust`."""
    return _load(file, None) if file else _load(*_certificates())


def _certificates() -> tuple[str | None, str | None]:
    """Return the file or the directory."""
    file, directory = (os.environ.get(name, "").strip() for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"))
    return (None, directory) if directory and not file else (file or certifi.where(), None)


def _load(file: str | None, directory: str | None) -> ssl.SSLContext:
    # Not `ssl.create_default_context`, which would write our session keys to the file in SSLKEYLOGFILE.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cafile=file, capath=directory)
    return context


_loaded: Final = cache(_load)


def without_credentials(url: str) -> str:
    """Return the URL without user, password, query and fragment, for people to read."""
    try:
        parts = urlsplit(url)
    except ValueError:  # half an IPv6 address
        return "an address that is not a URL"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def is_exposed(url: str) -> bool:
    """Whether requests to this URL leave the machine and its private network without encryption."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    if parts.scheme != "http" or host.endswith((".localhost", ".local", ".internal")):
        return False
    address = _address(host)
    return address.is_global if address else "." in host


def no_files_left(error: BaseException) -> bool:
    """Whether a connection failed because this process may open no more files, which is no one else's fault."""
    given: BaseException | None = error
    while given is not None:
        if getattr(given, "errno", None) in (errno.EMFILE, errno.ENFILE):
            return True
        given = getattr(given, "os_error", None) or given.__cause__ or given.__context__
    return False


def why_unreachable(error: BaseException) -> str:
    """Return the reason of a connection that failed, as the system or TLS words it; it has no address."""
    cause: BaseException = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"certificate not trusted: {cause.verify_message}"
    if isinstance(cause, ssl.SSLError):
        return f"TLS failed: {(getattr(cause, 'reason', None) or 'no reason given').lower().replace('_', ' ')}"
    if isinstance(cause, TimeoutError) and cause.errno is None:
        return "timed out"
    if isinstance(cause, OSError):
        reason = os.strerror(cause.errno) if cause.errno and cause.errno > 0 else cause.strerror
        if reason:
            return reason[0].lower() + reason[1:]
    return type(error).__name__


def forget_key_log() -> None:
    """Call before importing HTTP libraries, whose TLS contexts would open the file in SSLKEYLOGFILE."""
    os.environ.pop("SSLKEYLOGFILE", None)


def problems(env: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield each unusable variable with the reason. Values are not repeated because they may contain a password."""
    if "*" not in _words(_lookup("NO_PROXY", env)[1]):
        for name in sorted({name for scheme in _PORTS if (name := _proxy_variable(scheme, env))}):
            if reason := _why_no_proxy(_spelled_out(env[name].strip())):
                yield name, f"{reason}; unset it for leadhook, or set an HTTP proxy such as http://proxy.example:3128"
    yield from _certificate_problems(env)


def passwords(env: Mapping[str, str] | None = None) -> list[str]:
    """Return the passwords in proxy URLs, so that the log can hide them."""
    env = os.environ if env is None else env
    found = []
    for scheme in _PORTS:
        if name := _proxy_variable(scheme, env):
            address = _spelled_out(env[name].strip())
            password = address.partition("://")[2].rpartition("@")[0].partition(":")[2]
            found += [password, unquote(password)] if password else []
    return found


def _lookup(name: str, env: Mapping[str, str]) -> tuple[str, str]:
    """Return the effective variable and its value. Lower case wins, even if empty."""
    spelled = next((spelled for spelled in (name.lower(), name) if spelled in env), name)
    return spelled, env.get(spelled, "").strip()


def _proxy_variable(scheme: str, env: Mapping[str, str]) -> str | None:
    for name in (f"{scheme.upper()}_PROXY", "ALL_PROXY"):
        spelled, value = _lookup(name, env)
        if value:
            return spelled
    return None


def _spelled_out(proxy: str) -> str:
    return proxy if "://" in proxy else f"http://{proxy}"


def _why_no_proxy(proxy: str) -> str | None:
    try:
        parts = urlsplit(proxy)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "is not a URL with a port from 1 to 65535"
    if parts.scheme.lower() not in _PORTS:
        kind = "SOCKS proxies are" if parts.scheme.lower().startswith("socks") else "a proxy of this kind is"
        return f"{kind} not supported"
    strange = any(character.isspace() or not character.isprintable() for character in proxy)
    if strange or parts.query or parts.fragment or "@" in parts.path:
        return "is not a valid URL; in user name and password, characters such as @ : / # ? must be percent-encoded"
    if port == 0 or not (_HOST.fullmatch(host) or _address(host)):
        return "is not the URL of a host with a port from 1 to 65535"
    return None


def _words(no_proxy: str) -> list[str]:
    return no_proxy.replace(",", " ").lower().split()


def _is_exempt(target: SplitResult, no_proxy: str) -> bool:
    """Match NO_PROXY as curl does: names with subdomains, addresses, networks, each with an optional port, or *."""
    host = (target.hostname or "").rstrip(".")
    address, port = _address(host), target.port or _PORTS.get(target.scheme)
    for word in _words(no_proxy):
        scheme, _, entry = word.rpartition("://")
        name, only_port = _split_port(entry)
        if (scheme and scheme != target.scheme) or (only_port and only_port != str(port)):
            continue
        if name == "*" or (_holds(name, address) if address else _is_under(host, name)):
            return True
    return False


def _split_port(entry: str) -> tuple[str, str]:
    if bracketed := re.fullmatch(r"\[([^\]]*)\](?::(\d+))?", entry):
        return bracketed[1], bracketed[2] or ""
    named = re.fullmatch(r"([^:]*):(\d+)", entry)
    return (named[1], named[2]) if named else (entry, "")


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _holds(network: str, address: IPv4Address | IPv6Address) -> bool:
    try:
        return address in ip_network(network.replace("[", "").replace("]", ""), strict=False)
    except ValueError:
        return False


def _is_under(host: str, name: str) -> bool:
    name = name.removeprefix("*").strip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _certificate_problems(env: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    file, directory = (env.get(name, "").strip() for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"))
    if file:
        try:
            own_trust(file)
        except (OSError, ValueError) as error:
            reason = (isinstance(error, OSError) and error.strerror) or "it contains no certificate"
            yield "SSL_CERT_FILE", f"the certificate file can't be used ({reason}); correct the path or unset it"
    elif directory and not any(map(_holds_certificates, directory.split(os.pathsep))):
        yield (
            "SSL_CERT_DIR",
            "the directory is missing or has no hashed certificates (`openssl rehash`); correct the path or unset it",
        )


def _holds_certificates(directory: str) -> bool:
    try:
        return any(_HASHED_CERTIFICATE.fullmatch(each.name) for each in Path(directory).iterdir())
    except (OSError, ValueError):
        return False
