"""`preimage.edit`: images changed along named directions, with everything else kept."""
