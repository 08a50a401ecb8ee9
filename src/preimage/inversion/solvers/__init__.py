"""Ways to minimise F(z), one file each, all of the form of `preimage.inversion.search.Solver`."""
