"""Numbers and their nouns."""

from preimage.core.words import counted


def test_one_is_singular_and_all_else_plural():
    assert counted(1, "image") == "1 image"
    assert counted(0, "image") == "0 images"
    assert counted(2, "class", "classes") == "2 classes"
    assert counted(1, "class", "classes") == "1 class"
