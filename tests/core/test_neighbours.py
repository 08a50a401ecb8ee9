"""Nearest neighbours against scikit-learn's."""

import numpy as np
import torch
from sklearn.neighbors import NearestNeighbors

from preimage.core.neighbours import nearest


def points(n, seed, offset=0.0):
    return offset + torch.randn(n, 7, generator=torch.Generator().manual_seed(seed))


def test_neighbours_are_scikit_learns_whatever_the_block():
    queries, data = points(50, 0), points(300, 1)
    expected, order = NearestNeighbors(n_neighbors=4).fit(data.numpy()).kneighbors(queries.numpy())
    for block in (1024, 7):
        distances, indices = nearest(queries, data, k=4, block=block)
        assert np.allclose(distances, expected, atol=1e-4)
        assert np.array_equal(indices, order)


def test_distances_survive_points_far_from_the_origin():
    queries, data = points(20, 0, offset=1000.0), points(40, 1, offset=1000.0)
    expected, _ = NearestNeighbors(n_neighbors=1).fit(data.numpy()).kneighbors(queries.numpy())
    distances, _ = nearest(queries, data)
    assert np.allclose(distances, expected, atol=1e-2)


def test_a_point_is_its_own_neighbour_and_k_is_cut_to_the_points():
    data = points(5, 0)
    distances, indices = nearest(data, data, k=9)
    assert distances.shape == (5, 5)
    assert indices[:, 0].tolist() == list(range(5))
    assert distances[:, 0].max() < 1e-2
