"""What closes an engine: its tokens and certificates, from the settings."""

from typing import NamedTuple
from urllib.parse import urlsplit

from dataflows.data_dir import StartError
from dataflows.settings import Settings
from engine.access.credentials import Outgoing, Token, check_pair
from engine.access.rotation import CredentialsError
from engine.access.tls import ServerTls
from engine.telemetry.metrics import EngineMetrics


class Closing(NamedTuple):
    """Credentials, read.

    Attributes:
        tls: of the listeners.
        otlp_token: what senders must show.
        http_token: what readers of `/metrics` must.
        alertmanager: what Alertmanagers are shown.
        remote_write: what receivers of remote write are.
    """

    tls: ServerTls | None
    otlp_token: Token | None
    http_token: Token | None
    alertmanager: Outgoing
    remote_write: Outgoing


def read(settings: Settings, metrics: EngineMetrics) -> Closing:
    """Read what the settings name.

    Raises:
        StartError: it can't be used; the message names the option.
    """
    if "@" in urlsplit(settings.external_url).netloc:
        raise StartError(
            "--external-url has credentials, and every alert shows it; write it without"
        )
    told = metrics.credentials_read
    try:
        return Closing(
            tls=_tls(settings, metrics),
            otlp_token=Token.open(
                "otlp-token", settings.otlp_token_file, settings.otlp_token, told
            ),
            http_token=Token.open(
                "http-token", settings.http_token_file, settings.http_token, told
            ),
            alertmanager=Outgoing.open(
                "alertmanager",
                told,
                token_file=settings.alertmanager_token_file,
                token=settings.alertmanager_token,
                ca=settings.alertmanager_ca,
                cert=settings.alertmanager_cert,
                key=settings.alertmanager_key,
            ),
            remote_write=Outgoing.open(
                "remote-write",
                told,
                token_file=settings.remote_write_token_file,
                token=settings.remote_write_token,
                ca=settings.remote_write_ca,
                cert=settings.remote_write_cert,
                key=settings.remote_write_key,
            ),
        )
    except CredentialsError as error:
        raise StartError(str(error)) from error


def _tls(settings: Settings, metrics: EngineMetrics) -> ServerTls | None:
    check_pair("--tls-cert", settings.tls_cert, "--tls-key", settings.tls_key)
    if settings.tls_cert is None or settings.tls_key is None:
        if settings.tls_client_ca is not None:
            raise CredentialsError("--tls-client-ca needs --tls-cert and --tls-key beside it")
        return None
    return ServerTls(settings.tls_cert, settings.tls_key, settings.tls_client_ca, metrics)
