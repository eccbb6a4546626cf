"""The web server of `mmnet demo` (aiohttp): access, uploads and errors. No TensorFlow.

Each request must name the address of the server in its header Host and, if a page of a browser
sends it, come from the server's own page (header Origin). Otherwise other web sites could reach the
server through the user's browser. If other machines can connect, each request also needs a token:
the printed address contains it, and a cookie repeats it.
"""

import asyncio
import ipaddress
import json
import logging
import os
import re
import secrets
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, NamedTuple, Optional, Sequence, Tuple

from humanfriendly import format_size

from mmnet.demo.processing import Demo
from mmnet.io.errors import MmnetError
from mmnet.io.optional import import_optional
from mmnet.io.pages import render_page
from mmnet.matting.background import COLOURS

TEMPLATE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "page.html")
HOST_HEADER = re.compile(
    r"(?P<name>(?P<ip>\[[0-9a-f:.]+\]|[0-9.]+)|[^:\[\]]+)(:(?P<port>[0-9]{1,5}))?"
)
UPLOAD_SECONDS = 60  # in which the body of a request must arrive
MAX_UPLOADS = 8  # in memory at a time
HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; script-src 'nonce-{nonce}'; "
    "style-src 'nonce-{nonce}'; connect-src 'self'; img-src blob: data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
}

log = logging.getLogger(__name__)


class Address(NamedTuple):
    """The address that the server opened.

    Attributes:
        port: number of the port.
        names: names and IP addresses of this machine by which clients may call it.
        any_ip: clients may also use any other IP address. No web site can have one as its name.
        token: secret of the clients, or None if only this machine can connect.
    """

    port: int
    names: Sequence[str]
    any_ip: bool = False
    token: Optional[str] = None

    def url(self) -> str:
        """Return the URL of the page. It contains the token."""
        host = f"[{self.names[0]}]" if ":" in self.names[0] else self.names[0]
        return f"http://{host}:{self.port}/" + (f"?token={self.token}" if self.token else "")

    def matches(self, host_header: str) -> bool:
        """Return whether a header Host names this address."""
        match = HOST_HEADER.fullmatch(host_header.lower())
        if match is None or int(match["port"] or 80) != self.port:
            return False
        return match["name"].strip("[]") in self.names or (self.any_ip and bool(match["ip"]))


def open_socket(host: str, port: int) -> Tuple[socket.socket, Address]:
    """Listen on a host name or IP address, and on any free port for 0.

    Raises:
        MmnetError: the address is unknown, not of this machine, or in use.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        server = socket.socket(family)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(address)
        server.listen()
    except (OSError, UnicodeError) as error:  # UnicodeError: no host name
        reason = getattr(error, "strerror", None) or error
        message = f"--host {host} --port {port}: {reason}; give another port, or 0 for any"
        raise MmnetError(message) from None
    ip, port = server.getsockname()[:2]
    ip = ipaddress.ip_address(ip.partition("%")[0])
    if ip.is_loopback:
        return server, Address(port, [host.lower(), "localhost", "127.0.0.1", "::1"])
    names = [socket.gethostname().lower(), "localhost"] if ip.is_unspecified else [host.lower()]
    return server, Address(port, names, ip.is_unspecified, secrets.token_urlsafe(24))


class Server:
    """The page and its two functions. Images stay in memory; network runs are serialized."""

    def __init__(self, demo: Demo, address: Address, upload_limit: int, weights: Sequence[str]):
        """Offer ``weights``, by default the first ones."""
        self.web = import_optional("aiohttp.web", "demo", "demo")
        self.demo, self.address, self.upload_limit = demo, address, upload_limit
        nonce = secrets.token_urlsafe(16)
        self.headers = {name: text.format(nonce=nonce) for name, text in HEADERS.items()}
        self.page = render_page(
            TEMPLATE,
            nonce=nonce,
            weights=weights,
            is_local=address.token is None,
            limit=upload_limit,
            colours=COLOURS,
            limit_text=format_size(upload_limit, binary=True),
        )
        self.worker = ThreadPoolExecutor(1)
        self.uploads = 0  # in progress

    def run(self, listener: socket.socket) -> int:
        """Print the URL and serve until SIGINT or SIGTERM. Return the signal."""
        for name in ("aiohttp", "asyncio"):  # damaged requests, too many connections
            logging.getLogger(name).setLevel(logging.CRITICAL)
        signals = []
        protocol, handle_error = self.web.RequestHandler, self.web.RequestHandler.handle_error

        def refuse(connection, request, status=500, error=None, message=None):
            reason = json.dumps({"error": (message or "damaged request").splitlines()[0]})
            response = handle_error(connection, request, status, error, reason)
            response.content_type = "application/json"
            return response

        def stop(number):
            signals.append(number)
            raise self.web.GracefulExit

        async def start(app):
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_event_loop().add_signal_handler(number, stop, number)
            print(self.address.url(), flush=True)
            log.info("the page is open; Ctrl-C closes it")

        protocol.handle_error = refuse  # requests that are not HTTP do not reach the application
        app = self.application()
        app.on_startup.append(start)
        self.web.run_app(
            app,
            sock=listener,
            access_log=None,
            print=None,
            handle_signals=False,
            shutdown_timeout=0.1,
        )
        return signals[0]

    def application(self) -> Any:
        """Return the aiohttp application."""

        @self.web.middleware
        async def middleware(request, handler):
            return await self.handle(request, handler)

        async def add_headers(request, response):
            response.headers.update(self.headers)

        app = self.web.Application(client_max_size=self.upload_limit, middlewares=[middleware])
        app.on_response_prepare.append(add_headers)
        app.router.add_get("/", self.show_page)
        app.router.add_post("/photo", self.cut_out(self.demo.cut_out_photo))
        app.router.add_post("/frame", self.cut_out(self.demo.cut_out_frame))
        return app

    async def handle(self, request: Any, handler: Callable) -> Any:
        """Check the client, call the handler, and return errors as one line of JSON."""
        try:
            self.check_access(request)
            return await handler(request)
        except self.web.HTTPException as error:
            status, message = error.status, error.reason
            if status == 413:
                message = f"larger than {format_size(self.upload_limit, binary=True)}"
        except (MmnetError, OSError, MemoryError) as error:
            status, message = 400, " ".join(str(error).split())
        except asyncio.CancelledError:  # an Exception on Python 3.7
            raise
        except Exception:
            log.exception("bug in mmnet: %s %s", request.method, request.path)
            status, message = 500, "bug in mmnet; the terminal shows its traceback"
        return self.web.json_response({"error": message}, status=status)

    def check_access(self, request: Any) -> None:
        """Raise HTTPForbidden unless the request comes from the page or a program of the user."""
        host = request.headers.get("Host", "")
        origin = request.headers.get("Origin", f"http://{host}")
        if not self.address.matches(host) or origin != f"http://{host}":
            raise self.web.HTTPForbidden(reason="the headers Host and Origin must name this server")
        if self.address.token is None:
            return
        tokens = request.cookies.get(self.cookie_name()), request.query.get("token")
        texts = [(text or "").encode("utf-8", "replace") for text in tokens]
        if not any(secrets.compare_digest(data, self.address.token.encode()) for data in texts):
            raise self.web.HTTPForbidden(reason="open the address with the token that was printed")

    def cookie_name(self) -> str:
        """Return a name that other servers of this host do not use."""
        return f"mmnet-{self.address.port}"

    async def show_page(self, request: Any) -> Any:
        response = self.web.Response(text=self.page, content_type="text/html")
        if self.address.token is not None:
            response.set_cookie(
                self.cookie_name(), self.address.token, httponly=True, samesite="Strict"
            )
        return response

    def cut_out(self, function: Callable) -> Callable:
        """Return the handler that calls a function of Demo."""

        async def handler(request):
            if self.uploads == MAX_UPLOADS:
                raise self.web.HTTPTooManyRequests(reason="busy; try again")
            self.uploads += 1
            try:
                body = await self.read_body(request)
                run = asyncio.get_event_loop().run_in_executor
                result = await run(self.worker, function, request.query, body)
            finally:
                self.uploads -= 1
            headers = {"Result-Text": result.text, "Before-Length": str(len(result.before))}
            return self.web.Response(body=result.before + result.after, headers=headers)

        return handler

    async def read_body(self, request: Any) -> bytes:
        try:
            return await asyncio.wait_for(request.read(), UPLOAD_SECONDS)
        except asyncio.TimeoutError:
            raise self.web.HTTPRequestTimeout from None
        except self.web.RequestPayloadError:
            raise self.web.HTTPBadRequest from None
