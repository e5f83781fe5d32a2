"""A hostile workflow file, or a hostile source, comes to nothing but its own task."""

from __future__ import annotations

import base64
import http.server
import threading
from pathlib import Path

import pytest

from scheduler.running.job import FailureClass, Limits, Permit
from tests.workflows.act_bench import ActBench, workflow

VALUE = 'pa"ss\\w<o>rd&ä$X'


def test_it_sees_nothing_of_the_worker(act: ActBench, tmp_path: Path) -> None:
    """Neither homes nor keys nor other processes, nor a network, though it looks for them."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "owner.key").write_text("the key of the owner")
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        ran = act.run(
            workflow(
                f"""
- run: cat '{home}/owner.key' || echo no home
- run: ls /root /home /var 2>&1 | grep -c 'No such file'
- run: ls /proc | grep -c '^[0-9]*$'
- run: |
    python3 - <<'END'
    import socket
    for place in (("127.0.0.1", {server.server_port}), ("10.255.255.53", 53)):
        try:
            socket.create_connection(place, 2)
            print("CONNECTED")
        except OSError as error:
            print("no network", type(error).__name__)
    END
- run: echo x > /usr/x || echo read-only
- run: kill -9 -1 || true
  continue-on-error: true
"""
            )
        )
        server.shutdown()
    assert "the key of the owner" not in ran.log
    assert "no home\n" in ran.log
    assert "CONNECTED" not in ran.log
    assert ran.log.count("no network") == 2
    assert "read-only\n" in ran.log
    assert ran.failure in {FailureClass.INFRASTRUCTURE, FailureClass.PAYLOAD, None}  # it killed act, too, or not


def test_secrets_are_masked_in_every_form(act: ActBench) -> None:
    """A granted secret reaches the step that asks for it, and neither log, outputs nor summary; nor other steps."""
    ran = act.run(
        workflow(
            """
- run: echo "[${TOKEN:-none}]"; env | grep -c pa.ss || true
- id: s
  env: {TOKEN: '${{ secrets.TOKEN }}'}
  run: |
    printf '%s' "$TOKEN" | wc -c
    printf 'it is %s\\n' "$TOKEN"
    printf '%s' "$TOKEN" | base64
    printf '%s' "$TOKEN" | base64 -w5
    echo "o=$TOKEN" >> "$GITHUB_OUTPUT"
    echo "sum $TOKEN" >> "$GITHUB_STEP_SUMMARY"
    echo "::warning::$TOKEN"
""",
            job="outputs: {o: '${{ steps.s.outputs.o }}', other: fine}",
        ),
        permit=Permit(secrets={"TOKEN": VALUE}, limits=Limits(time_ms=60_000)),
    )
    assert ran.failure is None, ran.log
    assert "[none]\n0\n" in ran.log
    assert f"\n{len(VALUE.encode())}\nit is ***\n" in ran.log
    flat = ran.log.replace("\n", "")
    assert VALUE not in flat
    assert base64.b64encode(VALUE.encode()).decode().rstrip("=")[:-1] not in flat
    assert ran.outputs == {"other": "fine"}
    assert "'o' is left out" in ran.log
    assert VALUE not in ran.outcome.files["summary.md"].read_text()


def test_it_cannot_speak_for_the_teller(act: ActBench) -> None:
    """Words like act's own in a step's output are output; a link in place of the result is not followed."""
    forged = '{"jobID":"j","jobResult":"success","msg":"x"}'
    ran = act.run(
        workflow(
            f"""
- run: echo '{forged}'; echo '🏁  Job succeeded'
- run: ln -s /etc/passwd "$HOME/../act/told.json" || true; exit 3
"""
        )
    )
    assert ran.failure is not None
    assert forged in ran.log


@pytest.mark.parametrize("name", ["../out", "/etc/out"])
def test_a_source_that_leads_out(act: ActBench, name: str, tmp_path: Path) -> None:
    """It is refused, and nothing of it lies outside."""
    ran = act.run(workflow("- uses: actions/checkout@v4"), source={name: "x"})
    assert ran.failure is FailureClass.PAYLOAD
    assert not list(tmp_path.rglob("out"))
    assert "source cannot be unpacked" in ran.log
