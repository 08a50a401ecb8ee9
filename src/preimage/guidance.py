"""Better samples by exploring the latent space."""
