"""All that is written to disk, and read back without pickle."""
