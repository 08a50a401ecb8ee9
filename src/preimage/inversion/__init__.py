"""Inversion: the latent behind an image."""

from preimage.inversion.inverter import Inverter
from preimage.inversion.result import Inversion
from preimage.inversion.search import Status
from preimage.inversion.settings import Settings
from preimage.inversion.stream import Inverting, Targets
from preimage.inversion.verdict import Verdict

__all__ = ["Inversion", "Inverter", "Inverting", "Settings", "Status", "Targets", "Verdict"]
