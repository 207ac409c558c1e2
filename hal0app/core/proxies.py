"""Whose request a proxy hands on: the address behind a chain of proxies that are trusted, read from the right."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def network(text: str) -> Network:
    """An address or a network such as 192.0.2.0/24; ValueError with what would be right."""
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        raise ValueError(f"'{text[:60]}' is no address or network like 192.0.2.7 or 192.0.2.0/24") from None


def address(text: str) -> Address | None:
    """The address, IPv4 where it is one in IPv6's clothes; None for what is none."""
    try:
        found = ipaddress.ip_address(text.strip())
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def is_trusted(text: str, trusted: Iterable[Network]) -> bool:
    """Whether the address is one of a proxy that is trusted."""
    found = address(text)
    return found is not None and any(found in one for one in trusted)


def client(peer: str, forwarded: Sequence[str], trusted: Sequence[Network]) -> str:
    """Whose request it is: `peer`'s, or, where that is a trusted proxy, whoever it took the request from.

    `forwarded` is X-Forwarded-For, split. Only what a trusted proxy wrote counts, so what stands left of the first
    other address is its own claim and ignored.
    """
    for told in reversed(forwarded):
        found = address(told) if is_trusted(peer, trusted) else None
        if found is None:
            break
        peer = str(found)
    return peer
