"""Proxies, exemptions and certificates of the environment: used as curl uses them, or refused by name at the start."""

import errno
import socket
import ssl
from pathlib import Path

import certifi
import pytest
from tests.support.settings import settings

from leadhook import network
from leadhook.settings import SettingsError

PROXY = "http://proxy.test:3128"


@pytest.mark.parametrize("name", ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"])
@pytest.mark.parametrize(
    "value",
    [
        "socks5://user:hunter2@127.0.0.1:1080",
        "socks5h://127.0.0.1:1080",
        "socks://127.0.0.1:1080",
        "ftp://hunter2@proxy.test",
        "file:///hunter2",
        "http://proxy.test:99999",
        "http://proxy.test:hunter2",
        "http://proxy.test:0",
        "http://user:hunter2/x@proxy.test:3128",
        "http://user:hunter#2@proxy.test:3128",
        "http://proxy test:3128",
        "http://",
        "://proxy.test",
        ":::",
        "http://[::1",
        "http://[hunter2]:3128",
        "!",
    ],
)
def test_an_unusable_proxy_is_a_settings_error_without_its_value(name: str, value: str) -> None:
    """It may hold a password."""
    with pytest.raises(SettingsError) as caught:
        settings(**{name: value})

    assert f"\n  {name}: " in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        PROXY,
        "proxy.test:3128",
        "proxy",
        "http://user:p%40ss@proxy.test",
        "http://[::1]:3128/",
        "HTTP://10.0.0.1:8080",
        " ",
    ],
)
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "all_proxy"])
def test_a_usable_proxy_is_accepted(name: str, value: str) -> None:
    """With and without scheme, port, user and slash; blank counts as unset."""
    settings(**{name: value})


def test_a_proxy_that_no_request_would_use_is_not_refused() -> None:
    """Desktops set all three variables, and only ALL_PROXY to a SOCKS proxy."""
    settings(http_proxy=PROXY, https_proxy=PROXY, all_proxy="socks://127.0.0.1:1080")
    settings(ALL_PROXY="socks5://127.0.0.1:1080", NO_PROXY="*")
    settings(HTTPS_PROXY="ftp://proxy.test", https_proxy="")


def test_each_scheme_has_its_proxy_and_lower_case_wins() -> None:
    """As curl and Python have it; ALL_PROXY is for what has none."""
    env = {"HTTPS_PROXY": PROXY, "ALL_PROXY": "other.test:1", "https_proxy": "http://lower.test:2"}
    assert network.proxy_for("https://abc.supabase.co", env) == "http://lower.test:2"
    assert network.proxy_for("http://abc.supabase.co", env) == "http://other.test:1"
    assert network.proxy_for("https://abc.supabase.co", {"HTTPS_PROXY": PROXY, "https_proxy": ""}) is None
    assert network.proxy_for("https://abc.supabase.co", {}) is None


@pytest.mark.parametrize(
    ("no_proxy", "exempt", "not_exempt"),
    [
        ("*", "https://abc.supabase.co", None),
        ("supabase.co", "https://abc.supabase.co", "https://notsupabase.co"),
        (".supabase.co", "https://abc.supabase.co", "https://supabase.com"),
        ("*.supabase.co", "https://ABC.supabase.co", "https://example.com"),
        ("localhost,127.0.0.1", "http://127.0.0.1:54321", "http://127.0.0.2"),
        ("a.test b.test,, c.test", "https://c.test", "https://d.test"),
        ("10.0.0.0/8", "http://10.1.2.3:8000", "http://11.1.2.3"),
        ("fd00:b5::/64", "http://[fd00:b5::7]:8000", "http://[fd00:b6::7]"),
        ("[::1]", "http://[::1]:8000", "http://[::2]:8000"),
        ("[::1]:8000", "http://[::1]:8000", "http://[::1]:9000"),
        ("::1", "http://[0:0::1]", "http://[::3]"),
        ("supabase.co:443", "https://abc.supabase.co", "https://abc.supabase.co:8443"),
        ("https://supabase.co", "https://abc.supabase.co", "http://abc.supabase.co"),
        ("[, ///, 300.1.2.3/99, ::::, a:b:c, %%, ok.test", "https://ok.test", "https://other.test"),
    ],
)
def test_no_proxy_is_read_as_curl_reads_it(no_proxy: str, exempt: str, not_exempt: str | None) -> None:
    """Names, addresses and networks of both families, ports, blanks; what means nothing is no error."""
    for spelled in ("NO_PROXY", "no_proxy"):
        env = {"HTTP_PROXY": PROXY, "HTTPS_PROXY": PROXY, spelled: no_proxy}
        settings(**env)
        assert network.proxy_for(exempt, env) is None
        assert not_exempt is None or network.proxy_for(not_exempt, env) == PROXY


@pytest.mark.parametrize("kind", ["missing", "empty", "folder", "no certificate", "NUL"])
def test_an_unusable_certificate_file_is_a_settings_error(kind: str, tmp_path: Path) -> None:
    """SSL_CERT_FILE, by name."""
    paths = {"missing": tmp_path / "none.pem", "folder": tmp_path}
    path = paths.get(kind, tmp_path / "file.pem")
    if kind in {"empty", "no certificate"}:
        path.write_text("" if kind == "empty" else "-----BEGIN CERTIFICATE-----\nhunter2\n-----END CERTIFICATE-----\n")
    with pytest.raises(SettingsError, match="\n  SSL_CERT_FILE: "):
        settings(SSL_CERT_FILE="\0" if kind == "NUL" else str(path))


def test_an_unusable_certificate_folder_is_a_settings_error(tmp_path: Path) -> None:
    """Missing, empty, a file, or without hashed names; the file of SSL_CERT_FILE, which wins, makes it harmless."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "unhashed").mkdir()
    (tmp_path / "unhashed" / "ca.pem").write_text(Path(certifi.where()).read_text(encoding="utf-8"))
    for name in ("none", "folder", "file", "unhashed"):
        with pytest.raises(SettingsError, match="\n  SSL_CERT_DIR: "):
            settings(SSL_CERT_DIR=str(tmp_path / name))
        settings(SSL_CERT_DIR=str(tmp_path / name), SSL_CERT_FILE=certifi.where())
    (tmp_path / "folder" / "0123abcd.0").touch()
    settings(SSL_CERT_DIR=f"{tmp_path / 'none'}:{tmp_path / 'folder'}")


def test_certificates_are_checked_and_their_keys_never_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SSLKEYLOGFILE is for debugging other programs."""
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    context = network.own_trust()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.get_ca_certs()
    assert not context.keylog_filename
    assert not (tmp_path / "keys").exists()


def test_clients_share_one_context_and_a_library_that_changes_its_context_gets_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loading the certificates takes 20 ms and 1 MB; requests adds certificates to the context it is given."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    shared = network.trust()
    assert network.trust() is shared
    assert network.own_trust() is not shared

    (tmp_path / "ca.pem").write_text(Path(certifi.where()).read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    assert network.trust() is not shared


def test_passwords_of_proxies_are_known_to_the_log() -> None:
    """Also with characters that a URL must encode."""
    assert network.passwords({"ALL_PROXY": "http://user:hunter%402@proxy.test"}) == ["hunter%402", "hunter@2"] * 2
    assert network.passwords({"ALL_PROXY": PROXY}) == []


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('10.0.0.1', 1)"), "connection refused"),
        (OSError(errno.ENETUNREACH, "no"), "network is unreachable"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "name or service not known"),
        (ssl.SSLError(1, "[SSL] wrong version"), "TLS failed: no reason given"),
        (TimeoutError(), "timed out"),
        (ValueError("http://user:hunter2@host"), "ValueError"),
    ],
)
def test_the_reason_of_a_failed_connection_has_no_address(error: Exception, words: str) -> None:
    assert network.why_unreachable(error) == words
