"""core/proxies: whose request a chain of proxies hands on."""

from __future__ import annotations

import pytest

from hal0app.core import plain_head
from hal0app.core.proxies import client, network
from hal0app.core.schema import SchemaError
from hal0app.core.settings import read_settings

TRUSTED = [network("127.0.0.1"), network("10.0.0.0/8"), network("2001:db8::/32")]


@pytest.mark.parametrize(
    ("peer", "forwarded", "whose"),
    [
        ("192.0.2.1", ["198.51.100.7"], "192.0.2.1"),  # nobody believes a stranger
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("::ffff:127.0.0.1", [" 198.51.100.7 "], "198.51.100.7"),
        ("127.0.0.1", ["203.0.113.9", "198.51.100.7"], "198.51.100.7"),  # the first is the second's own claim
        ("127.0.0.1", ["198.51.100.7", "10.1.2.3"], "198.51.100.7"),  # two proxies
        ("127.0.0.1", ["10.9.9.9", "10.1.2.3"], "10.9.9.9"),
        ("2001:db8::1", ["::ffff:198.51.100.7"], "198.51.100.7"),
        ("127.0.0.1", ["198.51.100.7", "unknown"], "127.0.0.1"),
        ("127.0.0.1", ["198.51.100.7:4711"], "127.0.0.1"),
        ("", ["198.51.100.7"], ""),
    ],
)
def test_the_client_is_the_first_that_is_no_trusted_proxy(peer: str, forwarded: list[str], whose: str) -> None:
    assert client(peer, forwarded, TRUSTED) == whose


@pytest.mark.parametrize("text", ["proxy.lan", "10.0.0.1/8", "", "300.0.0.1", "*"])
def test_what_is_no_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(SchemaError, match=r"like 192\.0\.2\.7 or"):
        read_settings({"server": {"trusted_proxies": [text]}})


@pytest.mark.parametrize("name", ["X-Forwarded-For", "x-forwarded-proto"])
def test_what_a_proxy_hands_on_is_no_plain_request(name: str) -> None:
    plain = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n"
    assert plain_head.read(plain + b"\r\n{}") is not None
    assert plain_head.read(plain + f"{name}: 192.0.2.7\r\n\r\n{{}}".encode()) is None
