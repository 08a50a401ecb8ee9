"""Maps of a data set, the manifold of a model, and what its latent dimensions do."""
