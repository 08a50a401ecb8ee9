"""Waiting for what is done in the background."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from preimage.studio.workspace import Workspace

PATIENCE = 60.0  # seconds: other tests may run beside


def settled(workspace: Workspace) -> Workspace:
    """All that comes in the background has come."""
    workspace.settle()
    assert workspace._thread is not None
    workspace._thread.join(PATIENCE)
    assert not workspace._thread.is_alive()
    return workspace


def run_alone(work: Coroutine[Any, Any, Any]) -> Any:
    """`asyncio.run` on a thread of its own: a browser's loop may be running on this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()
