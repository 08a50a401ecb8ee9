"""Walks through a latent space: interpolation, arithmetic, directions, maps, guided sampling."""
