"""Killed writers, requests that fail and a store that is gone: what is lost is what is promised, nothing else."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from places import HELPERS, ROOT, environment


def check(fault: str) -> None:
    """Lets one happen in a process of its own."""
    command = [sys.executable, str(HELPERS / "store_faults.py"), fault]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=1500)
    assert ran.returncode == 0, ran.stderr[-3000:]
    found = json.loads(ran.stdout.splitlines()[-1])
    assert found["is_reached"], found


@pytest.mark.long
@pytest.mark.parametrize("fault", ["kills", "kills_in_full", "failing", "gone"])
def test_what_is_lost_is_what_is_promised(fault: str) -> None:
    pytest.importorskip("moto.server", reason="needs s3fs and moto: .venv-stores")
    check(fault)


@pytest.mark.long
def test_a_training_whose_store_is_gone_is_the_same_to_the_last_bit() -> None:
    pytest.importorskip("tensorflow")
    pytest.importorskip("s3fs")
    if not (ROOT / ".venv-stores/bin/python").exists():
        pytest.skip("needs moto: make .venv-stores/.ready")
    check("training")
