"""Packed scans: the same bits from memory and from disk, built once, rebuilt when damaged."""

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

import medream as md
from medream import shards
from medream.errors import OutputError
from medream.packed import Packed, packed
from medream.phantom import save_phantom
from medream.pipeline import read_errors, training_batches
from medream.shards import fingerprint, pack


def scan(kind=np.uint8, size=(40, 56), seed=0, wedge=False):
    """A scan as a reader makes it of pixels of that type."""
    random = np.random.default_rng(seed)
    if kind is np.float32:
        image = random.random(size, np.float32)
    else:
        stored = random.integers(0, np.iinfo(kind).max, size, kind, endpoint=True)
        image = (stored / np.float32(np.iinfo(kind).max)).astype(np.float32)
    mask = np.zeros(size, np.uint8)
    mask[5 + seed : 9 + seed, 20:30] = 1
    valid = np.ones(size, bool)
    valid[:, -6:] = False
    source = md.Source("toy", f"subject{seed % 3}", bscan_index=seed, sha256=f"{seed:064x}")
    return md.Scan(
        image, mask, valid=valid if wedge else None, spacing_mm=(0.004, 0.011), source=source
    )


@pytest.fixture
def scans():
    kinds = (np.uint8, np.uint16, np.float32)
    return [
        scan(kinds[k % 3], (40, 56) if k % 2 else (48, 64), k, wedge=k in (1, 4)) for k in range(7)
    ]


def assert_same(a, b):
    np.testing.assert_array_equal(a.image, b.image)
    assert a.image.dtype == b.image.dtype
    counts = slice(None) if a.valid is None else a.valid
    np.testing.assert_array_equal(a.mask[counts], b.mask[counts])
    np.testing.assert_array_equal(
        np.ones(a.shape, bool) if a.valid is None else a.valid,
        np.ones(b.shape, bool) if b.valid is None else b.valid,
    )
    assert (a.classes, a.spacing_mm, a.source) == (b.classes, b.spacing_mm, b.source)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_every_value_of_an_integer_type_survives(kind):
    every = np.arange(np.iinfo(kind).max + 1, dtype=kind)[None]
    image = (every / float(np.iinfo(kind).max)).astype(np.float32)
    assert packed(image).dtype == kind
    np.testing.assert_array_equal(packed(image), every)
    changed = image.copy()
    changed[0, 100] = np.nextafter(changed[0, 100], np.float32(1))
    assert packed(changed).dtype == np.float32


@pytest.mark.parametrize("on_disk", [False, True])
def test_scans_come_back_to_the_bit(scans, tmp_path, on_disk):
    kept = pack(scans, tmp_path if on_disk else None)
    assert (kept.file is not None) == on_disk
    for one, again in zip(scans, kept, strict=True):
        assert_same(one, again)
    assert_same(scans[-1], kept[-1])
    for one, again in zip(scans[1:5:2], kept[1:5:2], strict=True):
        assert_same(one, again)
    assert_same(scans[6], kept.subset([2, 6])[1:][0])
    with pytest.raises(IndexError):
        kept[7]
    bare = pack([md.Scan(scans[0].image)], tmp_path if on_disk else None)
    assert bare[0].mask is None
    assert bare[0].spacing_mm is None


def test_the_table_counts_the_lesion_pixels_that_are_valid(scans):
    valid = np.ones(scans[0].shape, bool)
    valid[:, :25] = False
    half = md.Scan(scans[0].image, scans[0].mask, valid=valid)
    healthy = md.Scan(scans[0].image, np.zeros_like(scans[0].mask))
    assert pack([scans[0], half, healthy]).table["lesion"].tolist() == [40, 20, 0]


def test_samples_from_disk_are_those_from_memory(scans, tmp_path):
    memory = training_batches(pack(scans), (32, 32), 5, seed=3).take(8)
    disk = training_batches(pack(scans, tmp_path), (32, 32), 5, seed=3).take(8)
    later = training_batches(pack(scans, tmp_path), (32, 32), 5, seed=3, first_sample=20)
    seen = []
    for (image, label), (other, labels) in zip(memory, disk, strict=True):
        np.testing.assert_array_equal(image, other)
        np.testing.assert_array_equal(label, labels)
        seen.append(image.numpy())
    np.testing.assert_array_equal(seen[4], next(iter(later))[0])
    assert not np.array_equal(seen[0], seen[1])


def test_the_file_is_built_once_and_again_when_damaged(scans, tmp_path, monkeypatch):
    built = []
    build = shards._build
    monkeypatch.setattr(shards, "_build", lambda *args: (built.append(1), build(*args)))
    path = pack(scans, tmp_path).file
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    pack(scans, tmp_path)
    assert len(built) == 1
    pack(scans[:-1], tmp_path)
    assert len(built) == 2
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    for one, again in zip(scans, pack(scans, tmp_path), strict=True):
        assert_same(one, again)
    assert len(built) == 3


def test_a_flipped_bit_is_noticed_and_the_file_removed(scans, tmp_path):
    path = pack(scans, tmp_path).file
    with h5py.File(path) as file:
        place = file["uint8_48x64/images"].id.get_chunk_info(0).byte_offset
    damaged = bytearray(path.read_bytes())
    damaged[place + 7] ^= 1
    path.write_bytes(damaged)
    kept = pack(scans, tmp_path)
    with pytest.raises(OutputError, match=r"damaged.*--resume"):
        list(kept)
    assert not path.exists()
    with pytest.raises(OutputError, match=r"damaged.*--resume"), read_errors(kept):
        next(iter(training_batches(kept, (32, 32), len(kept))))
    assert_same(scans[0], pack(scans, tmp_path)[0])


def test_a_killed_build_leaves_no_file_under_the_name(scans, tmp_path, monkeypatch):
    def killed(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(shards._File, "finish", killed)
    with pytest.raises(KeyboardInterrupt):
        pack(scans, tmp_path)
    assert not list(tmp_path.iterdir())
    left = tmp_path / ".partial-left.h5"
    left.write_bytes(b"half")
    recent = tmp_path / ".partial-now.h5"
    recent.write_bytes(b"half")
    monkeypatch.undo()
    os.utime(left, (0, 0))
    pack(scans, tmp_path)
    assert not left.exists()
    assert recent.exists()


def test_too_little_room_is_said_before_and_during(scans, tmp_path, monkeypatch):
    full = shutil._ntuple_diskusage(10**9, 10**9, 0)
    monkeypatch.setattr(shards.shutil, "disk_usage", lambda folder: full)
    with pytest.raises(OutputError, match=r"0.0 GB left.*--cache-dir"):
        pack(scans, tmp_path)
    monkeypatch.undo()
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="--cache-dir"):
        pack(scans, tmp_path / "file" / "below")
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


FULL = """
import sys
from test_shards import scan, pack
from medream.errors import OutputError
try:
    pack([scan(seed=k % 8) for k in range(600)], sys.argv[1])
except OutputError as error:
    print("said:", error)
"""


@pytest.mark.slow
def test_a_disk_that_fills_up_leaves_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "cache")], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)),
    )  # fmt: skip
    assert "said: " in done.stdout, done.stderr
    assert "--cache-dir" in done.stdout
    assert not list((tmp_path / "cache").iterdir())


def test_memory_is_that_of_this_machine_and_job(tmp_path):
    assert 2**28 < shards.memory_bytes() < 2**50
    told = tmp_path / "cgroup"
    told.write_text("12:cpu,cpuacct:/a\n5:memory:/slurm/job_7\n0::/system/slurm/job_7/step_0\n")
    limits = [str(file) for file in shards._group_limits(told)]
    for file in ("memory/slurm/job_7/memory.limit_in_bytes", "system/slurm/job_7/memory.max"):
        assert f"/sys/fs/cgroup/{file}" in limits
    assert not any("cpu" in file for file in limits)


def test_large_scans_go_to_the_users_cache(scans, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert pack(scans).file is None
    monkeypatch.setattr(shards, "memory_bytes", lambda: 40_000)
    assert pack(scans).file.parent == tmp_path / "medream"
    kept = pack(scans)
    assert pack(kept) is kept


def test_a_data_set_is_known_by_its_files(tmp_path):
    save_phantom(md.phantom_scans(24, size=(48, 64)), tmp_path / "data")
    opened = md.open_dataset(tmp_path / "data", split="train")
    first = fingerprint(opened)
    assert fingerprint(md.open_dataset(tmp_path / "data", split="train")) == first
    assert fingerprint(md.open_dataset(tmp_path / "data", split="test")) != first
    assert fingerprint(opened[1:]) != first
    kept = pack(opened, tmp_path / "cache")
    for one, again in zip(opened, kept, strict=True):
        assert_same(one, again)
    # Results beside the scans are no part of them.
    (tmp_path / "data" / "runs").mkdir()
    (tmp_path / "data" / "runs" / "run.json").write_text("{}")
    assert fingerprint(opened) == first
    image = opened.sources[0].path
    other = next(s.path for s in opened.sources if s.path != image)
    shutil.copy(other, image)
    assert fingerprint(opened) != first


def test_packed_is_a_sequence_of_scans(scans):
    kept = pack(scans)
    assert isinstance(kept, Packed)
    assert [s.bscan_index for s in kept.sources] == list(range(7))
    assert kept.shapes.tolist() == [list(s.shape) for s in scans]


@pytest.mark.slow
def test_training_from_disk_gives_the_weights_of_training_from_memory(tmp_path):
    scans = md.phantom_scans(12, seed=3, size=(64, 64))
    config = md.TrainConfig(epochs=2, batch_size=2, image_size=(32, 32))
    unet = md.UNetConfig(levels=1, base_filters=4)
    memory = md.load_model(md.train(scans, unet, config, tmp_path / "memory"))
    disk = md.load_model(md.train(scans, unet, config, tmp_path / "disk", cache=tmp_path / "cache"))
    assert list((tmp_path / "cache").glob("*.h5"))
    for a, b in zip(memory.get_weights(), disk.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
