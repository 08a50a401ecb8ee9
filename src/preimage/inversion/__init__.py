"""Inversion: the latent behind an image."""
