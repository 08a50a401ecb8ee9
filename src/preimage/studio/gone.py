"""What is asked for is not there."""

from preimage.core import InputError


class Gone(InputError):
    """There is nothing of that id: status 404."""
