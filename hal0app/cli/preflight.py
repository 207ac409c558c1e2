"""`python -m hal0app.cli.preflight`: whether this host can run hal0. Runs from the wheel, with nothing installed.

With `--json` it prints `{"findings": [...], "machine": {...}}`, the latter what the installer's roles decide by.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from hal0app.adapters import host_tree
from hal0app.cli.exits import REFUSED
from hal0app.core import tuning
from hal0app.core.readiness import Finding, Host, Port, findings

FETCHED = ("ppa", "deb", "tarball")  # where Lemonade comes by itself, whatever the distribution carries


def ports(hal0: int, lemonade: int, proxy: int = 0, webui: int = 0) -> tuple[Port, ...]:
    """The ports that an installed host needs; 0 is one that it does not."""
    wanted = (
        Port(hal0, "hal0", "hal0_port"),
        Port(lemonade, "Lemonade", "hal0_lemonade_port"),
        Port(proxy, "the proxy", "hal0_proxy_port"),
        Port(webui, "Open WebUI", "hal0_openwebui_port"),
    )
    return tuple(one for one in wanted if one.number)


def told(found: Iterable[Finding]) -> list[str]:
    """The findings as lines for a person."""
    lines = []
    for one in found:
        lines.append(f"{one.level:<4}  {one.what}" + (f": {one.evidence}" if one.evidence else ""))
        lines += [f"      -> {one.fix}"] if one.fix else []
    return lines


def machine(host: Host) -> dict[str, Any]:
    """What the host has. `parameters`: what its kernel's command line should have for hal0, `tuned`: what it has."""
    devices = {name: getattr(host, name) for name in ("gpu", "npu", "amdxdna")}
    return {**devices, "loader": host.loader, "parameters": tuning.wanted(host), "tuned": host.tuned}


def main() -> None:
    """Print the findings; exit status 1 when one is a failure."""
    parser = argparse.ArgumentParser(prog="preflight", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path("/"))
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--lemonade-port", type=int, default=13305)
    parser.add_argument("--proxy-port", type=int, default=0)
    parser.add_argument("--openwebui-port", type=int, default=0)
    parser.add_argument("--disk", type=Path, default=Path("/var/lib"))
    parser.add_argument("--method", choices=["auto", "apt", "ppa", "deb", "tarball", "existing"], default="auto")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    wanted = ports(given.port, given.lemonade_port, given.proxy_port, given.openwebui_port)
    host = host_tree.read(given.root, wanted, given.disk)
    found = findings(replace(host, lemonade=host.lemonade or given.method in FETCHED))
    seen = {"findings": [asdict(one) for one in found], "machine": machine(host)}
    print(json.dumps(seen) if given.json else "\n".join(told(found)))
    sys.exit(REFUSED if any(one.level == "fail" for one in found) else 0)


if __name__ == "__main__":
    main()
