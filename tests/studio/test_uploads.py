"""Images that a person brings: what becomes of good files, odd ones, and ones made to harm."""

from __future__ import annotations

import io
import os
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

from preimage.studio import images as room
from preimage.studio.app import Studio
from preimage.studio.args import parse
from preimage.studio.render import find

RAW = {"content-type": "application/octet-stream"}


def file(kind: str = "PNG", size: tuple[int, int] = (40, 30), **options: object) -> bytes:
    """A picture with a gradient, as a file."""
    y, x = np.mgrid[: size[1], : size[0]]
    rgb = np.stack([x * 255 // size[0], y * 255 // size[1], x * 0 + 128], 2).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, kind, **options)
    return buffer.getvalue()


def bring(client: TestClient, content: bytes):
    return client.post("/api/images", content=content, headers=RAW)


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def test_an_image_comes_back_as_the_model_takes_it_and_as_it_was(
    client: TestClient, studio: Studio
) -> None:
    said = bring(client, file()).json()
    assert (said["width"], said["height"], said["latent"]) == (40, 30, True)
    name = said["id"]
    small = opened(client.get(f"/api/images/{name}").content)
    whole = opened(client.get(f"/api/images/{name}/original").content)
    assert (small.format, small.size) == ("PNG", (8, 8))
    assert (whole.format, whole.size) == ("PNG", (40, 30))
    assert np.array_equal(np.asarray(whole), np.asarray(opened(file())))
    held = studio.workspace.images[name]
    assert held.x.shape == (1, 1, 8, 8)
    assert -1 <= held.x.min() < held.x.max() <= 1
    model = studio.workspace.model
    z = model.encode(held.x).mean
    base = {"base": {"kind": "image", "id": name}}
    assert torch.allclose(find(studio.workspace, parse(base)).z, z, atol=1e-5)
    studio.workspace.images.found(name, z + 1)  # a search has found a better one
    assert torch.allclose(find(studio.workspace, parse(base)).z, z + 1)
    assert client.delete(f"/api/images/{name}").status_code == 200
    assert client.get(f"/api/images/{name}/original").status_code == 404
    assert not held.original.exists()


def test_pages_are_told_of_a_latent_that_has_improved_and_of_no_other(
    client: TestClient, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict] = []
    workspace = studio.workspace
    monkeypatch.setattr(workspace, "publish", told.append)
    name = bring(client, file()).json()["id"]
    z = torch.randn(1, *workspace.model.space.shape)
    for latent, news in ((z, 1), (z.clone(), 1), (z + 1, 2)):
        workspace.images.found(name, latent)
        assert told == news * [{"latent": True}]
    kept = workspace.keep(z)
    workspace.keep(z.clone(), name=kept)
    assert len(told) == 2
    workspace.keep(z + 1, name=kept)
    assert len(told) == 3


def test_an_upload_is_fitted_as_the_runs_own_images_were(
    client: TestClient, studio: Studio, tmp_path: Path
) -> None:
    import preimage as pi

    path = tmp_path / "a.png"
    path.write_bytes(file())
    expected = pi.fitted(path, studio.workspace.run).batch([0])
    name = bring(client, file()).json()["id"]
    assert torch.equal(studio.workspace.images[name].x, expected)
    client.delete(f"/api/images/{name}")


def test_nothing_of_the_file_but_its_pixels_is_kept(client: TestClient, studio: Studio) -> None:
    exif = Image.Exif()
    exif[0x010E] = "<script>alert(1)</script>"
    exif[0x0112] = 6  # turn it by a quarter
    folder = studio.workspace.images.folder
    before = set(folder.iterdir())
    name = bring(client, file("JPEG", exif=exif, comment=b"<script>secret")).json()["id"]
    content = client.get(f"/api/images/{name}/original")
    assert opened(content.content).size == (30, 40)
    assert not opened(content.content).getexif()
    assert b"script" not in content.content
    assert content.headers["content-type"] == "image/png"
    assert "content-disposition" not in content.headers
    assert {path.name for path in set(folder.iterdir()) - before} == {f"{name}.png"}
    client.delete(f"/api/images/{name}")


BAD = {
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "html": b"<!doctype html><script>alert(1)</script>",
    "pickle": b"\x80\x04\x95\x0e\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94.",
    "empty": b"",
    "noise": os.urandom(5000),
    "cut short": file(size=(400, 300))[:400],
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\nquit\n",
    "many pixels": None,
}


def bomb() -> bytes:
    """A PNG of 20,000 by 20,000 pixels in a few kilobytes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content).to_bytes(4, "big")
        return len(content).to_bytes(4, "big") + kind + content + check

    size = (20_000).to_bytes(4, "big")
    head = chunk(b"IHDR", size + size + b"\1\0\0\0\0")
    rows = zlib.compress(b"\0" * (2501 * 20_000), 9)
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("what", BAD)
def test_what_is_no_image_is_refused_in_a_line(client: TestClient, what: str) -> None:
    content = BAD[what] if BAD[what] is not None else bomb()
    assert content is not None
    said = bring(client, content)
    assert said.status_code == 400, what
    assert "\n" not in said.json()["error"]
    assert said.json()["error"].startswith("this file cannot be used")


def test_images_are_counted(
    client: TestClient, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = len(studio.workspace.images)
    monkeypatch.setattr(room, "COUNT", there + 2)
    names = [bring(client, file()).json()["id"] for _ in range(2)]
    said = bring(client, file())
    assert said.status_code == 400
    assert "remove some" in said.json()["error"]
    for name in names:
        client.delete(f"/api/images/{name}")
    assert len(studio.workspace.images) == there


def resident() -> int:
    """Megabytes of memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_hostile_files_by_the_hundred_leave_the_server_as_it_was(
    client: TestClient, studio: Studio, real_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = real_data / "pillow-test-images"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    monkeypatch.setattr(room, "PATIENCE", 10.0)
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.stat().st_size < 8 << 20)
    files = files[:: max(1, len(files) // 400)]
    taken, grown = 0, []
    for number, path in enumerate(files):
        said = bring(client, path.read_bytes())
        assert said.status_code in (200, 400), (path, said.text[:200])
        if said.status_code == 200:
            taken += 1
            assert client.get(f"/api/images/{said.json()['id']}").status_code == 200
            client.delete(f"/api/images/{said.json()['id']}")
        if number % 50 == 49:
            grown.append(resident())
    assert len(files) > 300
    assert taken > 100
    assert max(grown[1:]) - grown[0] < 64, grown
    assert client.get("/api/session").status_code == 200
