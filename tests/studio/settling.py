"""Waiting for what a workspace does in the background."""

from __future__ import annotations

from preimage.studio.workspace import Workspace

PATIENCE = 60.0  # seconds: other tests may run beside


def settled(workspace: Workspace) -> Workspace:
    """All that comes in the background has come."""
    workspace.settle()
    assert workspace._thread is not None
    workspace._thread.join(PATIENCE)
    assert not workspace._thread.is_alive()
    return workspace
