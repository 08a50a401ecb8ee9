"""What people want of a latent space, composed of the rooms below: editing."""
