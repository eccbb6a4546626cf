"""Tests of mmnet.demo.app with aiohttp's client."""

import asyncio
import json
import types

import pytest

from helpers import assert_message, assert_raises
from mmnet.demo import app as app_module
from mmnet.demo.app import Address, Server, open_socket
from mmnet.demo.processing import PageResult
from mmnet.io.errors import MmnetError

LOCAL = Address(7860, ["127.0.0.1", "localhost", "::1"])
REMOTE = Address(7860, ["mmnet.example"], token="secret")
WILDCARD = Address(7860, ["mmnet.example", "localhost"], any_ip=True, token="secret")


class EchoDemo:
    """A Demo whose results contain the fields and the body of the request."""

    def cut_out_photo(self, fields, body):
        return PageResult(json.dumps(dict(fields)), body, b"before")

    def cut_out_frame(self, fields, body):
        if body == b"bug":
            raise ZeroDivisionError
        raise MmnetError("frame:\nbad")


def make_server(address):
    return Server(EchoDemo(), address, 1000, ["a<b", "c"])


def send(address, *requests):
    """Send requests (method, path, headers, body) to a server. Return (status, headers, text)."""
    test_utils = pytest.importorskip("aiohttp.test_utils")
    server = make_server(address)

    async def send_all():
        results = []
        async with test_utils.TestClient(test_utils.TestServer(server.application())) as client:
            for method, path, headers, body in requests:
                headers = dict({"Host": f"{address.names[0]}:{address.port}"}, **headers)
                async with client.request(method, path, headers=headers, data=body) as response:
                    results.append((response.status, response.headers, await response.text()))
        return results

    return asyncio.run(send_all())


def assert_error(result, status):
    """Assert that a response is one line of JSON."""
    assert result[0] == status and "\n" not in result[2]
    assert json.loads(result[2])["error"]


def test_page_loads_nothing_from_elsewhere():
    ((status, headers, page),) = send(LOCAL, ("GET", "/", {}, None))
    assert status == 200 and "a&lt;b" in page and "http" not in page
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy
    assert headers["Cache-Control"] == "no-store" and "Set-Cookie" not in headers


def test_photo_returns_images_and_text():
    path = "/photo?weights=a%3Cb&length=1"
    ((status, headers, body),) = send(LOCAL, ("POST", path, {}, b"x" * 999))
    assert status == 200 and body == "before" + "x" * 999
    assert json.loads(headers["Result-Text"]) == {"weights": "a<b", "length": "1"}
    assert headers["Before-Length"] == "6"


@pytest.mark.parametrize(
    "host, origin, status",
    [
        ("localhost:7860", None, 200),
        ("LOCALHOST:7860", None, 200),
        ("[::1]:7860", "http://[::1]:7860", 200),
        ("127.0.0.1:7860", "http://127.0.0.1:7860", 200),
        ("127.0.0.1:7860", "http://localhost:7860", 403),
        ("127.0.0.1:7860", "http://evil.example", 403),
        ("127.0.0.1:7860", "https://127.0.0.1:7860", 403),
        ("127.0.0.1:7860", "null", 403),
        ("127.0.0.1", None, 403),
        ("127.0.0.1:80", None, 403),
        ("127.0.0.1:78600", None, 403),
        ("192.168.0.1:7860", None, 403),
        ("evil.example:7860", None, 403),
        ("evil.example:7860", "http://evil.example:7860", 403),
        ("evil@localhost:7860", None, 403),
        ("[localhost]:7860", None, 403),
        ("[", None, 403),
    ],
)
def test_server_accepts_its_own_host_and_origin_only(host, origin, status):
    headers = {"Host": host}
    if origin is not None:
        headers["Origin"] = origin
    (result,) = send(LOCAL, ("GET", "/", headers, None))
    assert result[0] == status
    if status != 200:
        assert_error(result, status)


@pytest.mark.parametrize(
    "host, accepted",
    [
        ("10.1.2.3:7860", True),
        ("[fe80::1]:7860", True),
        ("localhost:7860", True),
        ("evil.example:7860", False),
        ("10.1.2.3:7861", False),
        ("10.1.2.3.evil.example:7860", False),
        ("", False),
    ],
)
def test_wildcard_address_accepts_ip_addresses(host, accepted):
    assert WILDCARD.matches(host) is accepted


def test_server_of_other_machines_needs_the_token():
    cookie = {"Cookie": "mmnet-7860=secret"}
    results = send(
        REMOTE,
        ("GET", "/", {}, None),
        ("GET", "/?token=wrong", {}, None),
        ("POST", "/photo", {"Cookie": "mmnet-7860=é"}, b"x"),
        ("GET", "/?token=secret", {}, None),
        ("GET", "/", cookie, None),
        ("POST", "/photo", cookie, b"x"),
        ("POST", "/photo", {"Host": "localhost:7860", **cookie}, b"x"),
    )
    assert [result[0] for result in results] == [403, 403, 403, 200, 200, 200, 403]
    cookies = results[3][1]["Set-Cookie"]
    assert "mmnet-7860=secret" in cookies and "HttpOnly" in cookies and "SameSite=Strict" in cookies
    assert REMOTE.url() == "http://mmnet.example:7860/?token=secret"


def test_server_refuses_tokens_that_are_not_utf8():
    pytest.importorskip("aiohttp")
    server = make_server(REMOTE)
    headers, cookies = {"Host": "mmnet.example:7860"}, {server.cookie_name(): "\udcff"}
    request = types.SimpleNamespace(headers=headers, cookies=cookies, query={})
    with pytest.raises(server.web.HTTPForbidden):
        server.check_access(request)


@pytest.mark.parametrize(
    "method, path, body, status",
    [
        ("GET", "/photo", None, 405),
        ("PUT", "/", b"x", 405),
        ("TRACE", "/frame", None, 405),
        ("GET", "/x", None, 404),
        ("POST", "/file=/etc/passwd", None, 404),
        ("GET", "/%00", None, 404),
        ("POST", "/frame", b"x", 400),
        ("POST", "/photo", b"x" * 1001, 413),
    ],
)
def test_errors_are_one_line_of_json(method, path, body, status):
    (result,) = send(LOCAL, (method, path, {}, body))
    assert_error(result, status)


def test_slow_and_damaged_uploads_are_errors(monkeypatch):
    monkeypatch.setattr(app_module, "UPLOAD_SECONDS", 0.1)

    async def slow():
        yield b"x"
        await asyncio.sleep(0.5)

    (result,) = send(LOCAL, ("POST", "/photo", {}, slow()))
    assert_error(result, 408)
    headers = {"Content-Encoding": "gzip"}
    (result,) = send(LOCAL, ("POST", "/photo", headers, b"\x1f\x8b damaged"))
    assert_error(result, 400)


def test_server_logs_bugs(caplog):
    (result,) = send(LOCAL, ("POST", "/frame", {}, b"bug"))
    assert_error(result, 500)
    assert_message(caplog.text, "/frame", "Traceback", "ZeroDivisionError")


def test_server_limits_the_uploads_in_memory(monkeypatch):
    monkeypatch.setattr(app_module, "MAX_UPLOADS", 0)
    (result,) = send(LOCAL, ("POST", "/photo", {}, b"x"))
    assert_error(result, 429)


def test_open_socket_returns_its_address():
    listener, address = open_socket("127.0.0.1", 0)
    with listener:
        assert address.token is None and not address.any_ip
        assert address.url() == f"http://127.0.0.1:{address.port}/"
        assert address.port == listener.getsockname()[1]
        with assert_raises(MmnetError, "--port", address.port):
            open_socket("127.0.0.1", address.port)
    listener, address = open_socket("0.0.0.0", 0)
    with listener:
        assert address.any_ip and address.token and address.token in address.url()


@pytest.mark.parametrize("host", ["192.0.2.1", "x" * 300, "a b", "", "http://localhost"])
def test_open_socket_rejects_other_hosts(host):
    with assert_raises(MmnetError, "--host", host):
        open_socket(host, 0)
