"""Caddy in front of hal0: who gets in, as whom, and that it goes again."""

from __future__ import annotations

import json

import pytest
import requests
import urllib3

from tests.installer.conftest import PLAY_S, roles
from tests.installer.host import Host
from tests.installer.test_install import changes

CHAT = {"model": "primary", "max_tokens": 4, "messages": [{"role": "user", "content": "Hello."}]}


class Proxy:
    """The proxy as other machines reach it; `key` is what people log in with, `program` what programs send."""

    def __init__(self, host: Host) -> None:
        self.url = f"https://127.0.0.1:{host.network.forward(443)}"
        self.key, self.program = host.says("cat /etc/hal0/admin.key"), host.says("cat /etc/hal0-proxy/program.key")

    def ask(self, method: str, path: str, login: str = "", bearer: str = "", **body: object) -> int:
        headers = {"Host": "localhost"} | ({"Authorization": f"Bearer {bearer}"} if bearer else {})
        auth = ("hal0", login) if login else None
        with pytest.warns(urllib3.exceptions.InsecureRequestWarning):
            answer = requests.request(
                method, self.url + path, headers=headers, auth=auth, json=body or None, verify=False, timeout=60
            )
        return answer.status_code


@pytest.fixture(scope="module")
def proxied(installed: Host) -> Host:
    installed.run(roles("hal0,proxy", "hal0_proxy=true"), within=PLAY_S)
    return installed


@pytest.fixture(scope="module")
def proxy(proxied: Host) -> Proxy:
    return Proxy(proxied)


def test_people_log_in_with_the_admin_key_and_may_change_things(proxy: Proxy) -> None:
    assert proxy.ask("GET", "/api/slots") == 401
    assert proxy.ask("GET", "/api/slots", login="wrong") == 401
    assert proxy.ask("GET", "/api/requests", login=proxy.key) == 200
    assert proxy.ask("PATCH", "/api/slots/primary", login=proxy.key, priority=61) == 200


def test_programs_get_to_v1_with_their_key_and_no_further(proxy: Proxy) -> None:
    assert proxy.ask("POST", "/v1/chat/completions", bearer=proxy.program, **CHAT) == 200
    assert proxy.ask("POST", "/v1/chat/completions", bearer="wrong", **CHAT) == 401
    for path in ("/api/slots", "/api/requests", "/v1/../api/requests", "/"):
        assert proxy.ask("GET", path, bearer=proxy.program) == 401
    assert proxy.ask("PATCH", "/api/slots/primary", bearer=proxy.program, priority=62) == 401


def test_a_page_over_https_changes_things(proxy: Proxy) -> None:
    with pytest.warns(urllib3.exceptions.InsecureRequestWarning):
        answer = requests.post(
            f"{proxy.url}/api/slots/unknown/unload",
            headers={"Host": "localhost", "Origin": "https://localhost", "Sec-Fetch-Site": "same-origin"},
            auth=("hal0", proxy.key),
            json={},
            verify=False,
            timeout=60,
        )
    assert answer.status_code == 404  # let through: there is no such slot


def test_hal0_listens_on_the_loopback_only_and_the_proxy_is_not_root(proxied: Host) -> None:
    assert "127.0.0.1:8080" in proxied.says("ss -ltn")
    assert "0.0.0.0:8080" not in proxied.says("ss -ltn")
    [user] = set(proxied.says("ps -eo user:32,args | grep '[c]addy run' | cut -d' ' -f1").split())
    assert user != "root"


def test_open_webui_needs_a_digest(installed: Host) -> None:
    installed.write("/root/webui.yml", json.dumps({"hal0_openwebui": True, "hal0_openwebui_image": "open-webui:main"}))
    done = installed.run(roles("preflight", "@/root/webui.yml"), check=False, within=PLAY_S)
    assert done.returncode != 0
    assert "@sha256:DIGEST" in done.stdout


def test_the_role_changes_nothing_twice(proxied: Host) -> None:
    """Nor does it want to be told again that there is a proxy."""
    assert changes(proxied.run(roles("proxy"), within=PLAY_S).stdout) == []


WEBUI = ("/etc/containers/systemd/hal0-openwebui.container", "/etc/hal0-openwebui/secret.env")


def test_what_is_switched_off_goes(proxied: Host) -> None:
    """The proxy; Open WebUI and the kernel's parameters, of which this host has only the files."""
    for file in WEBUI:
        proxied.write(file, "")
    grub = {"loader": "grub", "parameters": ["iommu=pt"], "made": False}
    proxied.write("/opt/hal0/kernel.json", json.dumps(grub))
    proxied.write("/usr/local/sbin/update-grub", "#!/bin/sh\ntouch /root/grub-updated\n")
    proxied.run("chmod +x /usr/local/sbin/update-grub")
    off = "hal0_proxy=false hal0_openwebui=false hal0_tune_kernel=false"

    said = proxied.run(roles("host,hal0,openwebui,proxy", off), within=PLAY_S).stdout

    gone = ("/etc/hal0-proxy", "/etc/systemd/system/hal0-proxy.service", "/opt/hal0/kernel.json", *WEBUI)
    assert proxied.run(f"ls -d {' '.join(gone)}", check=False).stdout.count("No such") == len(gone)
    assert proxied.run("command -v caddy", check=False).returncode != 0
    assert "caddy" not in proxied.says("cat /opt/hal0/installed-packages.json")
    assert proxied.says("ls /root/grub-updated /var/lib/private/hal0-proxy")
    assert "0.0.0.0:8080" in proxied.says("ss -ltn")
    assert "iommu=pt: no longer given to the kernel" in " ".join(said.split()), said[-3000:]
