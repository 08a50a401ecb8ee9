"""Long work of the studio, each piece in a process of its own: see `queue`."""
