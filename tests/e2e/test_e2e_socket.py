"""The Unix socket of the real daemon: open to every client, and the only way of ours."""

import http.client
import json
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

pytestmark = pytest.mark.e2e


def test_other_clients_reach_it_at_its_socket_and_our_command_line_only_there(running: Any) -> None:
    waiaas, daemon = running
    address = json.loads((waiaas.data / "daemon.json").read_bytes())
    place, pid = waiaas.data / address["socket"], address["pid"]
    connection = http.client.HTTPConnection(urlsplit(daemon.url).netloc)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(place))
    cookie = (waiaas.data / "operator.cookie").read_text("ascii")
    connection.request("GET", "/v1/admin/status", headers={"Authorization": f"Bearer {cookie}"})
    response = connection.getresponse()
    assert (response.status, json.loads(response.read())["status"]) == (200, "ok")
    connection.close()

    assert waiaas.json("status")["socket"] == str(place)
    aside = place.rename(waiaas.folder / "aside")
    try:
        told = waiaas.run("status", code=1).stderr
        assert f"a daemon runs (process {pid})" in told.replace("\n", " ")
        assert f"`kill {pid}`" in told.replace("\n", " ")
        assert "waiaas start" not in told, "it would find the directory in use"
        assert daemon.operator().get("/v1/admin/status")["status"] == "ok"  # The port does.
    finally:
        aside.rename(place)


@pytest.mark.parametrize("name", ["daemon.json", "operator.cookie"])
def test_a_daemon_that_lost_what_it_is_reached_by_is_named_by_what_would_stop_it(
    running: Any, name: str
) -> None:
    waiaas, daemon = running
    aside = (waiaas.data / name).rename(waiaas.folder / "aside")
    try:
        told = waiaas.run("stop", code=1).stderr.replace("\n", " ")
    finally:
        aside.rename(waiaas.data / name)
    assert f"a daemon runs (process {daemon.process.pid})" in told
    assert f"`kill {daemon.process.pid}`" in told
    assert daemon.process.poll() is None
