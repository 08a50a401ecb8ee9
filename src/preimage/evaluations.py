"""`preimage.evaluate`: every score with an interval, a null and a meaning."""
