"""Named directions of a model: found with or without labels, kept with the run."""
