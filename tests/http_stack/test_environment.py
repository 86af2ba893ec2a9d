"""Proxies and certificates that the environment names: used, or refused in one line that names the variable."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from models.server import Received, models, serving
from models.test_whole import WHOLE
from tpo.errors import InputError, ModelError
from tpo.http import client, retry
from tpo.http.client import HttpClient
from tpo.http.endpoint import Endpoint
from tpo.http.failures import retry_after
from tpo.models.resolve import open_model

VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "_backoff", lambda state: 0.0)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    client.tls.cache_clear()


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        (
            "HTTP_PROXY",
            "localhost:3128",
            r"HTTP_PROXY is 'localhost:3128', which has no scheme: write http://localhost",
        ),
        ("http_proxy", "http://h:port", "http_proxy is 'http://h:port', which is not a URL"),
        (
            "ALL_PROXY",
            "socks5://me:hunter2@h:1080",
            r"ALL_PROXY is 'socks5://me:\*\*\*@h:1080', .* or name 127.0.0.1 in",
        ),
        ("HTTP_PROXY", "http://", "HTTP_PROXY is 'http://'"),
    ],
)
async def test_a_proxy_that_is_none(variable: str, value: str, complaint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(InputError, match=complaint):
        await open_model("http://127.0.0.1:9", "policy")
    # What goes through no proxy minds none.
    assert Endpoint("http://127.0.0.1:9", "policy", proxied=False).proxy is None
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert Endpoint("http://127.0.0.1:9", "policy").proxy is None


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY"])
async def test_a_proxy_is_used(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def respond(request: Received) -> bytes:
        return models("m") if request.path.endswith("/models") else WHOLE

    async with serving(respond) as proxy:
        monkeypatch.setenv(variable, proxy.url.removesuffix("/v1"))
        model = await open_model("http://far.invalid/v1", "policy")
        await model.aclose()
    assert proxy.received[0].path == "http://far.invalid/v1/models"


async def test_errors_name_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(lambda request: None) as gone:
        pass
    monkeypatch.setenv("HTTP_PROXY", gone.url.removesuffix("/v1").replace("://", "://me:hunter2@"))
    with pytest.raises(
        ModelError, match=rf"the proxy {gone.url.removesuffix('/v1')} on the way to http://far.inv"
    ) as e:
        await open_model("http://far.invalid/v1", "policy")
    assert "hunter2" not in str(e.value)


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
async def test_certificates_that_are_not_there(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "/nowhere/ca.pem")
    with pytest.raises(InputError, match=rf"{variable} is '/nowhere/ca.pem', which is not there"):
        await open_model("https://127.0.0.1:9", "policy")
    async with serving(lambda request: models("m")) as server:  # without TLS it does not matter
        await (await open_model(server.url, "policy")).aclose()


async def test_certificates_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with pytest.raises(InputError, match="holds no certificates"):
        await open_model("https://127.0.0.1:9", "policy")


async def test_one_tls_context_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[ssl.SSLContext] = []
    create = ssl.create_default_context

    def counted(**options: str | None) -> ssl.SSLContext:
        made.append(create(**options))  # type: ignore[arg-type]
        return made[-1]

    monkeypatch.setattr(ssl, "create_default_context", counted)
    for port in (9, 10):
        one = HttpClient(Endpoint(f"https://127.0.0.1:{port}", "policy"))
        with pytest.raises(ModelError, match="No connection"):
            await one.get(one.endpoint.at("models"))
        await one.aclose()
    assert len(made) == 1


@pytest.mark.parametrize("value", ["²", "1e9", "-1", "9" * 30, "nan", "Wed, 99 Foo", "\x00"])
def test_a_retry_after_that_is_none(value: str) -> None:
    assert retry_after({"retry-after": value}) is None
