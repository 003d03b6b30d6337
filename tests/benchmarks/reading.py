"""Reading against the bare library: time, memory, and how long a listing takes.

A volume of 128 B-scans of 512 x 1024 pixels is loaded by `read_scans` and by the library that it
uses, both to float32 in [0, 1], in turn and in one process; the ratio is that of the medians of five.
The peak is the memory that loading adds in a fresh process, as a share of the float32 array.

    python tests/benchmarks/reading.py [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

SHAPE = (128, 512, 1024)
ROUNDS = 5
TARGETED = ("DICOM", "NIfTI", "MetaImage", "PNG folder")  # the others are told for information
RATIO, PEAK, LISTING = 1.10, 1.3, 1.0  # targets; the last in seconds per hundred files


def make_volume() -> np.ndarray:
    """Return a volume that compresses about as well as OCT: layers under speckle."""
    rng = np.random.default_rng(0)
    rows = np.arange(SHAPE[1])[:, None]
    columns = np.arange(SHAPE[2])
    layers = 70 + 60 * np.sin(rows / 23 + np.sin(columns / 150)) * (rows > 120)
    speckle = rng.gamma(4, 0.25, SHAPE[1:])
    one = np.clip(layers * speckle, 0, 255).astype(np.uint8)
    return np.stack([np.roll(one, 7 * k, axis=1) for k in range(SHAPE[0])])


def write_files(folder: Path) -> dict[str, Path]:
    import samples
    from PIL import Image

    volume = make_volume()
    files = {
        "DICOM": samples.write_dicom(folder / "a.dcm", volume),
        "DICOM RLE": samples.write_dicom(folder / "b.dcm", volume[:16], "1.2.840.10008.1.2.5"),
        "NIfTI": samples.write_itk(folder / "a.nii", volume),
        "NIfTI gzipped": samples.write_itk(folder / "b.nii.gz", volume[:32], compress=True),
        "MetaImage": samples.write_itk(folder / "a.mhd", volume),
        "PNG folder": folder / "pictures",
    }
    files["PNG folder"].mkdir()
    for k, bscan in enumerate(volume):
        Image.fromarray(bscan).save(files["PNG folder"] / f"bscan_{k + 1}.png")
    return files


# `bare` is what the library's own manual shows for numbers in [0, 1]; `floor` is the fewest passes
# over memory that the same library allows. Neither checks ranges or looks for invalid pixels.


def bare_dicom(path: Path) -> np.ndarray:
    import pydicom

    return pydicom.dcmread(path).pixel_array.astype(np.float32) / np.float32(255)


def floor_dicom(path: Path) -> np.ndarray:
    import pydicom

    return np.divide(pydicom.dcmread(path).pixel_array, np.float32(255), dtype=np.float32)


def bare_nifti(path: Path) -> np.ndarray:
    import nibabel

    return nibabel.load(path).get_fdata(dtype=np.float32).T / np.float32(255)


def floor_nifti(path: Path) -> np.ndarray:
    import nibabel

    stored = np.asanyarray(nibabel.load(path).dataobj)
    return np.divide(stored.T, np.float32(255), dtype=np.float32)


def bare_metaimage(path: Path) -> np.ndarray:
    import SimpleITK as sitk

    stored = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    return stored.astype(np.float32) / np.float32(255)


def floor_metaimage(path: Path) -> np.ndarray:
    import SimpleITK as sitk

    image = sitk.ReadImage(str(path))
    return np.divide(sitk.GetArrayViewFromImage(image), np.float32(255), dtype=np.float32)


def bare_pictures(path: Path) -> np.ndarray:
    from PIL import Image

    names = sorted(path.iterdir(), key=lambda file: int(file.stem.split("_")[1]))
    return np.stack([np.asarray(Image.open(name), np.float32) / np.float32(255) for name in names])


def floor_pictures(path: Path) -> np.ndarray:
    from PIL import Image

    names = sorted(path.iterdir(), key=lambda file: int(file.stem.split("_")[1]))
    array = np.empty((len(names), *SHAPE[1:]), np.float32)
    for k, name in enumerate(names):
        with Image.open(name) as picture:
            np.divide(np.asarray(picture), np.float32(255), out=array[k], dtype=np.float32)
    return array


LOADERS = {
    "DICOM": (bare_dicom, floor_dicom),
    "DICOM RLE": (bare_dicom, floor_dicom),
    "NIfTI": (bare_nifti, floor_nifti),
    "NIfTI gzipped": (bare_nifti, floor_nifti),
    "MetaImage": (bare_metaimage, floor_metaimage),
    "PNG folder": (bare_pictures, floor_pictures),
}


def compare(name: str, path: Path) -> dict[str, float]:
    """Load a volume all three ways in turn; the order changes from round to round."""
    from medream.readers import read_scans

    bare, floor = LOADERS[name]
    ways = {"medream": read_scans, "bare": bare, "floor": floor}
    loaded = read_scans(path)
    for way in (bare, floor):
        for scan, image in zip(loaded, way(path), strict=True):
            np.testing.assert_allclose(scan.image, image, atol=1e-7)
    del loaded, image, scan
    seconds: dict[str, list[float]] = {who: [] for who in ways}
    for k in range(ROUNDS):
        for turn in range(len(ways)):
            who = list(ways)[(turn + k) % len(ways)]
            started = time.perf_counter()
            found = ways[who](path)
            seconds[who].append(time.perf_counter() - started)
            del found
    medians = {who: statistics.median(times) for who, times in seconds.items()}
    ratios = {
        "ratio": medians["medream"] / medians["bare"],
        "ratio_to_floor": medians["medream"] / medians["floor"],
    }
    return medians | ratios


def peak_share(path: Path, bscans: int) -> float:
    """Return the memory that `read_scans` adds at its peak, as a share of the array."""
    code = """
import sys
import medream.readers as readers
for name in ("pydicom.pixels", "nibabel", "SimpleITK", "PIL.PngImagePlugin"):
    __import__(name)
readers.read_scans(sys.argv[1], only=[0])
def status(key):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(key))
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # the peak begins anew
before = status("VmRSS")
scans = readers.read_scans(sys.argv[1])
print((status("VmHWM") - before) * 1024)
"""
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(path)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return float(run.stdout) / (bscans * SHAPE[1] * SHAPE[2] * 4)


def listing(folder: Path) -> float:
    """Return the seconds per hundred files for the headers of 1,000 small files of all kinds."""
    import samples

    from medream.readers import read_headers

    kinds = list(samples.write_all(folder / "kinds").values())
    many = folder / "many"
    many.mkdir()
    for k in range(1000):
        kind = kinds[k % len(kinds)]
        place = many / str(k)
        place.mkdir()
        for file in kind.parent.glob(f"{kind.stem}.*"):
            os.link(file, place / file.name)
    paths = [place / kinds[int(place.name) % len(kinds)].name for place in many.iterdir()]
    read_headers(paths[0])
    started = time.perf_counter()
    for path in paths:
        read_headers(path)
    return (time.perf_counter() - started) / len(paths) * 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path, help="also write the numbers there")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    told: dict[str, object] = {}
    missed = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind, path in write_files(folder).items():
            found = compare(kind, path)
            bscans = {"DICOM RLE": 16, "NIfTI gzipped": 32}.get(kind, SHAPE[0])
            found["peak"] = peak_share(path, bscans)
            told[kind] = found
            print(
                f"{kind:14} medream {found['medream']:.3f} s, bare {found['bare']:.3f} s, "
                f"ratio {found['ratio']:.2f} (floor {found['floor']:.3f} s, ratio "
                f"{found['ratio_to_floor']:.2f}), peak {found['peak']:.2f} x the array",
                flush=True,
            )
            if kind in TARGETED and (found["ratio"] > RATIO or found["peak"] > PEAK):
                missed.append(kind)
        told["listing"] = seconds = listing(folder)
        print(f"headers of 100 files: {seconds:.3f} s")
        if seconds > LISTING:
            missed.append("listing")
    if options.json:
        options.json.write_text(json.dumps(told, indent=2))
    print(f"targets: ratio {RATIO}, peak {PEAK}, listing {LISTING} s; "
          f"missed by: {', '.join(missed) or 'none'}")  # fmt: skip


if __name__ == "__main__":
    main()
