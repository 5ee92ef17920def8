"""Tokens and what is sent to other servers: what files may hold, and what happens when they change."""

import io
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from engine.access.credentials import Outgoing, Token
from engine.access.rotation import CredentialsError, Reloaded
from engine.telemetry.log import configure
from engine.telemetry.metrics import EngineMetrics
from tests.certificates import Authority, Pair, put, replace

OLD, NEW = "old-token-0123456789", "new-token-9876543210"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    out = io.StringIO()
    configure(out)
    yield out
    structlog.reset_defaults()


@pytest.fixture
def metrics() -> EngineMetrics:
    return EngineMetrics()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(OLD)
    return path


def opened(metrics: EngineMetrics, path: Path | None = None, value: str | None = None) -> Token:
    token = Token.open("otlp-token", path, value, metrics.credentials_read)
    assert token
    return token


def counted(metrics: EngineMetrics, what: str = "otlp-token") -> tuple[float | None, float | None]:
    """(failures so far, whether the last good ones are used)."""
    ask, labels = metrics.registry.get_sample_value, {"what": what}
    return (
        ask("burnline_credentials_reload_failures_total", labels),
        ask("burnline_credentials_stale", labels),
    )


def events(log: io.StringIO) -> list[tuple[str, str]]:
    return [(line["level"], line["event"]) for line in map(json.loads, log.getvalue().splitlines())]


def test_nothing_given_is_no_token(metrics: EngineMetrics) -> None:
    assert Token.open("otlp-token", None, None, metrics.credentials_read) is None
    assert Outgoing().headers() == {}
    assert Outgoing().ssl() is True
    assert not Outgoing().has_token


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        (f"Bearer {OLD}", True),
        (f"bearer   {OLD} ", True),
        (f"BEARER {NEW}", True),
        (f"Bearer {OLD}x", False),
        (f"Bearer {OLD[:-1]}", False),
        (f"Bearer {OLD},{NEW}", False),
        (f"Bearer {OLD} {NEW}", False),
        (f"Bearer{OLD}", False),
        (f"Basic {OLD}", False),
        (OLD, False),
        ("Bearer", False),
        ("Bearer ", False),
        ("Bearer # a comment", False),
        ("Bearer \udcff\u2028", False),
        ("", False),
    ],
)
def test_what_is_accepted(
    metrics: EngineMetrics, file: Path, header: str, *, accepted: bool
) -> None:
    file.write_bytes(f"# a comment\r\n\r\n  {OLD}\r\n{NEW}".encode())
    token = opened(metrics, file)
    assert token.accepts(header) is accepted
    assert token.header() == f"Bearer {OLD}"  # the first is sent


@given(st.text())
def test_only_the_token_is_accepted(header: str) -> None:
    token = Token((b"secret",))
    assert token.accepts(header) is (
        header[:7].lower() == "bearer " and header[7:].strip() == "secret"
    )


def test_a_token_from_the_environment(metrics: EngineMetrics) -> None:
    token = opened(metrics, value=f"{OLD}\n")
    assert token.accepts(f"Bearer {OLD}")
    assert token.header() == f"Bearer {OLD}"


def test_a_changed_file_counts_at_once(
    metrics: EngineMetrics, file: Path, log: io.StringIO
) -> None:
    token = opened(metrics, file)
    replace(file, f"{OLD}\n{NEW}\n")
    assert token.accepts(f"Bearer {OLD}")
    assert token.accepts(f"Bearer {NEW}")
    replace(file, NEW)
    assert not token.accepts(f"Bearer {OLD}")
    assert token.header() == f"Bearer {NEW}"
    file.write_text("x" + NEW[1:])  # in place, of the same size
    os.utime(file, ns=(1, 1))
    assert token.accepts(f"Bearer x{NEW[1:]}")
    assert counted(metrics) == (0, 0)
    assert events(log) == [("info", "credentials were read anew")] * 3


def test_kubernetes_swaps_a_symbolic_link(metrics: EngineMetrics, tmp_path: Path) -> None:
    """A volume's files are links to `..data/NAME`, and `..data` is a link that is replaced."""
    for version, content in (("v1", OLD), ("v2", NEW)):
        (tmp_path / version).mkdir()
        (tmp_path / version / "token").write_text(content)
        os.utime(tmp_path / version / "token", ns=(5, 5))
    (tmp_path / "..data").symlink_to("v1")
    (tmp_path / "token").symlink_to("..data/token")
    token = opened(metrics, tmp_path / "token")
    (tmp_path / "..new").symlink_to("v2")
    (tmp_path / "..new").replace(tmp_path / "..data")
    assert token.header() == f"Bearer {NEW}"


@pytest.mark.parametrize("bad", ["", "\n# all gone\n", "two words\n", "caf\u00e9\n", None])
def test_a_change_for_the_worse_keeps_the_last_good(
    metrics: EngineMetrics, file: Path, log: io.StringIO, bad: str | None
) -> None:
    token = opened(metrics, file)
    for _ in range(2):
        if bad is None:
            file.unlink(missing_ok=True)
        else:
            replace(file, bad)
        for _ in range(3):
            assert token.accepts(f"Bearer {OLD}")
    # Read again because it changed again; a file that is gone did not.
    assert counted(metrics) == (1 if bad is None else 2, 1)
    assert events(log) == [("error", "the last good credentials stay in use")]
    replace(file, OLD)
    assert token.accepts(f"Bearer {OLD}")
    assert counted(metrics)[1] == 0
    assert events(log)[1:] == [("info", "credentials were read anew")]
    assert OLD not in log.getvalue()


def test_a_touched_file_is_no_news(metrics: EngineMetrics, file: Path, log: io.StringIO) -> None:
    token = opened(metrics, file)
    os.utime(file, ns=(9, 9))
    assert token.accepts(f"Bearer {OLD}")
    assert events(log) == []


def test_permissions_that_are_mended_are_noticed(
    metrics: EngineMetrics, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root can read everything, so the refusal is made here; what is real is that chmod is seen."""
    token = opened(metrics, file)
    replace(file, NEW)
    with monkeypatch.context() as patch:
        patch.setattr(
            Path, "read_bytes", lambda _self: (_ for _ in ()).throw(PermissionError(13, "no"))
        )
        assert token.accepts(f"Bearer {OLD}")
    file.chmod(0o600)
    assert token.accepts(f"Bearer {NEW}")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "--otlp-token-file {path} holds no token; write one, or leave it out"),
        (b"\n\n#\n", "--otlp-token-file {path} holds no token; write one, or leave it out"),
        (b"good\nBearer good\n", "{path}, line 2: a token has no spaces and only ASCII; write one"),
        (b"a\x00b", "{path}, line 1: a token has no spaces and only ASCII; write one a line"),
        (b"x" * (1 << 20) + b"x", "--otlp-token-file {path} has more than 1048576 bytes; name"),
    ],
)
def test_files_that_hold_no_tokens(
    metrics: EngineMetrics, file: Path, content: bytes, says: str
) -> None:
    file.write_bytes(content)
    with pytest.raises(CredentialsError) as caught:
        opened(metrics, file)
    assert says.format(path=file) in str(caught.value)


def test_paths_that_are_no_files(metrics: EngineMetrics, tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match="is no regular file; name one"):
        opened(metrics, tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CredentialsError, match="is no regular file; name one"):
        opened(metrics, tmp_path / "pipe")


@pytest.mark.parametrize("given", [OLD, "x" * 5000, f"{OLD}/deeper"])
def test_a_token_given_as_a_path_is_not_shown(metrics: EngineMetrics, given: str) -> None:
    with pytest.raises(
        CredentialsError, match=r"^--otlp-token-file: .*; give the path of"
    ) as caught:
        opened(metrics, Path(given))
    assert given not in str(caught.value)


def test_environment_that_holds_no_token(metrics: EngineMetrics, file: Path) -> None:
    with pytest.raises(CredentialsError, match=r"^BURNLINE_OTLP_TOKEN holds no token; write one"):
        opened(metrics, value="")
    with pytest.raises(
        CredentialsError, match=r"^BURNLINE_OTLP_TOKEN, line 1: a token has no"
    ) as caught:
        opened(metrics, value="two words")
    assert "two" not in str(caught.value)
    with pytest.raises(
        CredentialsError, match="--otlp-token-file and BURNLINE_OTLP_TOKEN are both"
    ):
        opened(metrics, file, OLD)


def test_reprs_show_no_secret(metrics: EngineMetrics, file: Path) -> None:
    token = opened(metrics, file)
    outgoing = Outgoing(token)
    assert OLD not in repr(token) + repr(outgoing) + str(token) + repr(opened(metrics, value=OLD))


def test_many_threads_read_a_change_once(metrics: EngineMetrics, file: Path) -> None:
    read: list[bytes] = []

    def make() -> bytes:
        read.append(file.read_bytes())
        return read[-1]

    value = Reloaded("it", [file], make, metrics.credentials_read)
    replace(file, NEW)
    gate, got = threading.Barrier(8), []

    def get() -> None:
        gate.wait()
        got.append(value.get())

    threads = [threading.Thread(target=get) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert value.get() == NEW.encode()
    assert set(got) <= {OLD.encode(), NEW.encode()}  # a thread may come before the change is read
    assert len(read) == 2


# Outgoing


def test_outgoing_headers_follow_the_file(metrics: EngineMetrics, file: Path) -> None:
    outgoing = Outgoing.open("alertmanager", metrics.credentials_read, token_file=file)
    assert outgoing.headers() == {"Authorization": f"Bearer {OLD}"}
    replace(file, NEW)
    assert outgoing.headers() == {"Authorization": f"Bearer {NEW}"}
    assert outgoing.ssl() is True


def test_outgoing_tls_follows_the_files(
    metrics: EngineMetrics, tmp_path: Path, log: io.StringIO
) -> None:
    first, second = Authority(tmp_path, "first"), Authority(tmp_path, "second")
    pair = first.issue("client")
    ca = tmp_path / "ca.pem"
    ca.write_bytes(first.pem.read_bytes())
    outgoing = Outgoing.open(
        "alertmanager", metrics.credentials_read, ca=ca, cert=pair.cert, key=pair.key
    )
    context = outgoing.ssl()
    assert context is outgoing.ssl()
    assert context.verify_mode == 2  # CERT_REQUIRED
    assert context.check_hostname
    assert [cert["subject"] for cert in context.get_ca_certs()] == [
        ((("organizationName", "first"),), *_rest(context))
    ]
    replace(ca, second.pem.read_bytes())
    changed = outgoing.ssl()
    assert changed is not context
    # A key that does not fit keeps what was.
    other = second.issue("other")
    replace(pair.key, other.key.read_bytes())
    assert outgoing.ssl() is changed
    assert counted(metrics, "alertmanager-tls") == (1, 1)
    put(other, pair)
    assert outgoing.ssl() is not changed
    assert counted(metrics, "alertmanager-tls") == (1, 0)
    assert "PRIVATE KEY" not in log.getvalue()


def _rest(context) -> tuple:
    return tuple(context.get_ca_certs()[0]["subject"][1:])


def _broken(tmp_path: Path) -> dict[str, tuple[Pair, Path, str]]:
    """Kinds of unusable files, and what is said of them."""
    ca = Authority(tmp_path, "ca")
    good, other = ca.issue("good"), ca.issue("other")
    text = tmp_path / "text"
    text.write_text("hello")
    locked = tmp_path / "locked.key"
    locked.write_bytes(_locked(good.key.read_bytes()))
    cut = tmp_path / "cut.crt"
    cut.write_bytes(good.cert.read_bytes()[:300] + b"\n-----END CERTIFICATE-----\n")
    gone = tmp_path / "gone"
    return {
        "not a pair": (Pair(good.cert, other.key), ca.pem, "--x-key .*other.key is not the key of"),
        "swapped": (Pair(good.key, good.cert), ca.pem, "--x-cert .* holds no certificate; give it"),
        "no key": (Pair(good.cert, good.cert), ca.pem, "--x-key .* holds no private key; give it"),
        "locked": (Pair(good.cert, locked), ca.pem, "--x-key .* is locked with a passphrase, and"),
        "cut": (Pair(cut, good.key), ca.pem, "--x-cert .*cut.crt and --x-key .* can't be used"),
        "gone": (
            Pair(gone, good.key),
            ca.pem,
            "--x-cert: No such file or directory; give the path",
        ),
        "no ca": (good, text, "--x-ca .*text holds no certificates; give them in PEM"),
        "key as ca": (good, good.key, "--x-ca .*good.key holds no certificates; give them in PEM"),
        "no file": (good, tmp_path, "--x-ca .* is no regular file; name one"),
    }


def _locked(key: bytes) -> bytes:
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
        load_pem_private_key,
    )

    return load_pem_private_key(key, None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"hunter2")
    )


def test_unusable_files_are_told_apart(metrics: EngineMetrics, tmp_path: Path) -> None:
    for pair, ca, says in _broken(tmp_path).values():
        with pytest.raises(CredentialsError, match=says):
            Outgoing.open("x", metrics.credentials_read, ca=ca, cert=pair.cert, key=pair.key)


def test_half_a_pair(metrics: EngineMetrics, tmp_path: Path) -> None:
    told = metrics.credentials_read
    with pytest.raises(CredentialsError, match=r"^--x-cert needs --x-key beside it; give both"):
        Outgoing.open("x", told, cert=tmp_path)
    with pytest.raises(CredentialsError, match=r"^--x-key needs --x-cert beside it; give both"):
        Outgoing.open("x", told, key=tmp_path)
