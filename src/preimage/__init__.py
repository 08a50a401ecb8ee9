"""Preimage learns the latent space of your images, and finds the point in it behind any image."""

__version__ = "0.1.0"
