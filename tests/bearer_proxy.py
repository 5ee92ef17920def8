"""A stand-in: a proxy that asks for a bearer token, as Alertmanager by itself has basic auth alone."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext

import aiohttp
from aiohttp import web

from tests.certificates import Pair
from tests.servers import free_port


class Proxy:
    """Passes on what comes with the right token.

    Attributes:
        url: where it listens.
        token: that it asks for now.
        context: certificate that it shows; may be given another one.
        statuses: of its answers so far.
        echoes: it repeats the request's headers in its refusals, as careless servers do.
    """

    def __init__(self, upstream: str, token: str, pair: Pair | None) -> None:
        self.upstream = upstream
        self.token = token
        self.echoes = False
        self.statuses: list[int] = []
        self.context: SSLContext | None = None
        if pair is not None:
            self.context = SSLContext(PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*pair)
        self.port = free_port()
        self.url = f"{'https' if pair else 'http'}://127.0.0.1:{self.port}"

    async def handle(self, request: web.Request) -> web.Response:
        answer = await self._answer(request)
        self.statuses.append(answer.status)
        answer.force_close()  # the next request meets what has changed meanwhile
        return answer

    async def _answer(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            said = str(dict(request.headers)) if self.echoes else "who are you?"
            return web.Response(status=401, text=said)
        body = await request.read()
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                request.method,
                self.upstream + request.path,
                data=body,
                headers={"Content-Type": "application/json"},
            ) as answer,
        ):
            return web.Response(status=answer.status, body=await answer.read())


@contextmanager
def bearer_proxy(upstream: str, token: str, pair: Pair | None = None) -> Iterator[Proxy]:
    """Run one."""
    proxy = Proxy(upstream, token, pair)
    loop = asyncio.new_event_loop()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", proxy.handle)
    runner = web.AppRunner(app, shutdown_timeout=1)

    async def begin() -> None:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", proxy.port, ssl_context=proxy.context).start()

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(begin(), loop).result(20)
    try:
        yield proxy
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


def web_config(pair: Pair, client_ca: Path | None = None, **users: str) -> dict[str, object]:
    """An Alertmanager's own web configuration: TLS, client certificates, basic auth (bcrypt hashes)."""
    tls: dict[str, str] = {"cert_file": str(pair.cert), "key_file": str(pair.key)}
    if client_ca is not None:
        tls |= {"client_auth_type": "RequireAndVerifyClientCert", "client_ca_file": str(client_ca)}
    return {"tls_server_config": tls} | ({"basic_auth_users": users} if users else {})
