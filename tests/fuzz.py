"""Mutation fuzzer over every reader, and over data sets of volumes: nothing but a ScanError may
come of a broken file.

    python tests/fuzz.py --inputs 20000 --seed 1 --keep out/fuzz

Small sound files of each format are broken (bits, pieces cut, moved or taken from another file,
numbers and words of the header replaced) and read in a process of their own with bounded memory and
time. Input k of a seed is always the same. A crash is anything but a list of scans or a ScanError:
another exception, the death of the process, more than `SECONDS`, or more memory than `MEMORY`.
"""

from __future__ import annotations

import argparse
import gzip
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SECONDS = 10
MEMORY = 6 << 30
_NUMBERS = (0, 1, 2, 3, 255, 256, 32767, 65535, 1 << 24, 0x7FFFFFFF, 0xFFFFFFFF, 10**9)
_WORDS = (b"-1", b"0", b"nan", b"1e400", b"999999999", b"", b"../x", b"%s%n", b"\xff\xff", b"LIST")
_SHORT = 1024  # where headers are


@dataclass(frozen=True)
class Sample:
    """A sound file, or several that belong together; `path` is the one that is read.

    Of a `data_set` the folder is opened instead.
    """

    name: str
    path: Path
    files: tuple[Path, ...]
    data_set: bool = False


def make_samples(folder: Path) -> list[Sample]:
    """Write one small file of each format that the registry reads."""
    import samples
    import test_cirrus
    import test_dicom_damage
    import test_heidelberg
    import test_topcon_bioptigen as topcon

    found = {name: (path,) for name, path in samples.write_all(folder / "standard").items()}
    found["mhd"] += (found["mhd"][0].with_suffix(".raw"),)
    found["nhdr"] += (found["nhdr"][0].with_suffix(".raw"),)
    found["nii pair"] += (found["nii pair"][0].with_suffix(".hdr"),)
    found["dicom deflated"] = (test_dicom_damage.deflated(folder / "standard" / "deflated.dcm"),)
    vendor = folder / "vendor"
    vendor.mkdir()
    for name, content in {
        "a.vol": test_heidelberg.vol_bytes(),
        "a.e2e": test_heidelberg.e2e_bytes(test_heidelberg.CODES),
        "a.fda": topcon.topcon(),
        "b.fda": topcon.topcon("@IMG_JPEG", topcon.compressed(topcon.VOLUME.astype(np.uint8))),
        "a.OCT": topcon.bioptigen(),
    }.items():
        (vendor / name).write_bytes(content)
        found[name] = (vendor / name,)
    found["cirrus"] = (test_cirrus.write(vendor, test_cirrus.cube(10, 16)),)
    export = folder / "export"
    export.mkdir()
    found["xml"] = (test_heidelberg.xml_export(export), *sorted(export.glob("*.tif")))
    alone = [Sample(name, files[0], files) for name, files in sorted(found.items())]
    return alone + make_data_sets(folder / "sets")


def make_data_sets(folder: Path) -> list[Sample]:
    """Write small data sets whose files lie in one folder."""
    sys.path.insert(0, str(Path(__file__).resolve().parent / "adapters"))
    import test_retouch
    import trees

    found = []
    for name, write in {
        "set duke": lambda root: trees.duke_dme(root, (1,)),
        "set duke 7.3": trees.duke_v73,
        "set umn": lambda root: trees.umn(root, "."),
        "set umn packed": lambda root: trees.umn_packed(root, "."),
        "set umn 7.3": lambda root: trees.umn_v73(root, "."),
        "set retouch": lambda root: test_retouch.write(root / "TRAIN001"),
    }.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        write(folder / name)
        files = tuple(sorted(f for f in folder.joinpath(name).rglob("*") if f.is_file()))
        found.append(Sample(name, files[0], files, data_set=True))
    return found


def mutate(content: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    """Break a file in one to four places."""
    broken = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        if not broken:
            break
        # Half of the places lie in the header.
        end = len(broken) if rng.random() < 0.5 else min(len(broken), _SHORT)
        at = int(rng.integers(end))
        kind = rng.integers(9)
        if kind == 0:
            broken[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            broken[at] = int(rng.integers(256))
        elif kind == 2:
            del broken[at:]
        elif kind == 3:
            length = int(rng.integers(1, 65))
            del broken[at : at + length]
        elif kind == 4:
            other = others[int(rng.integers(len(others)))]
            start, length = int(rng.integers(len(other))), int(rng.integers(1, 257))
            broken[at : at + length] = other[start : start + length]
        elif kind == 5:
            number = _NUMBERS[int(rng.integers(len(_NUMBERS)))]
            size = int(rng.choice([1, 2, 4, 8]))
            order = "little" if rng.random() < 0.8 else "big"
            broken[at : at + size] = (number % (1 << 8 * size)).to_bytes(size, order)
        elif kind == 6:
            length = int(rng.integers(1, 129))
            broken[at : at + length] = bytes(length)
        elif kind == 7:
            word = _WORDS[int(rng.integers(len(_WORDS)))]
            broken[at : at + int(rng.integers(0, 9))] = word
        else:
            length = int(rng.integers(1, 129))
            broken[at:at] = broken[at : at + length]
    return bytes(broken)


def write_input(number: int, seed: int, samples: list[Sample], folder: Path) -> tuple[str, Path]:
    """Write input `number` into an empty folder; return the sample's name and the file to read.

    The first inputs are the sound files themselves.
    """
    rng = np.random.default_rng([seed, number])
    sample = samples[number % len(samples)]
    others = [one.path.read_bytes() for one in rng.choice(np.array(samples, object), 2)]
    target = sample.files[int(rng.integers(len(sample.files)))]
    for file in sample.files:
        content = file.read_bytes()
        if file == target and number >= len(samples):
            inside = file.suffix == ".gz" and rng.random() < 0.7
            content = mutate(gzip.decompress(content) if inside else content, others, rng)
            content = gzip.compress(content, 1) if inside else content
        (folder / file.name).write_bytes(content)
    return sample.name, folder / sample.path.name


def _attempt(path: Path, data_set: bool) -> str:
    """Read a file in every way; return what came of it: 'read', 'refused' or a traceback."""
    from medream.adapters import check_dataset, open_dataset
    from medream.errors import ScanError
    from medream.readers import read_headers, read_scans

    outcome = "read"
    of_file = (
        read_headers,
        read_scans,
        lambda path: read_scans(path, only=[0]),
        lambda path: read_headers(path.parent),
    )
    of_folder = (
        lambda path: [scan.image.sum() for scan in open_dataset(path.parent)],
        lambda path: check_dataset(path.parent),
    )
    for deed in of_folder if data_set else of_file:
        try:
            deed(path)
        except ScanError as error:
            outcome = "refused"
            if "more memory" in str(error):
                return f"memory: {error}"
            if path.parent.name not in str(error):
                return f"an error that names no file: {error}"
        except BaseException:
            return traceback.format_exc()
    return outcome


def _work(seed: int, numbers: range, samples: list[Sample], folder: Path, tell) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 1)
    os.dup2(sink, 2)  # the libraries in C complain there
    warnings.simplefilter("ignore")
    scratch = folder / f"input-{os.getpid()}"
    for number in numbers:
        scratch.mkdir()
        name, path = write_input(number, seed, samples, scratch)
        tell.send((number, name, None, 0.0))
        started = time.monotonic()
        outcome = _attempt(path, samples[number % len(samples)].data_set)
        tell.send((number, name, outcome, time.monotonic() - started))
        shutil.rmtree(scratch)


def fuzz(inputs: int, seed: int, keep: Path | None = None) -> tuple[Counter, list[str]]:
    """Read `inputs` broken files; return how each sample fared and what crashed.

    Parameters
    ----------
    inputs, seed : int
    keep : Path, optional
        Folder for the inputs that crashed.
    """
    context = multiprocessing.get_context("spawn" if "tensorflow" in sys.modules else "fork")
    counts: Counter = Counter()
    crashes: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        samples = make_samples(folder / "samples")
        position = 0
        while position < inputs:
            hear, tell = context.Pipe(False)
            worker = context.Process(
                target=_work, args=(seed, range(position, inputs), samples, folder, tell)
            )
            worker.start()
            tell.close()
            running = (position, "?")
            fault = None
            try:
                while fault is None:
                    if not hear.poll(SECONDS):
                        fault = f"more than {SECONDS} s"
                        break
                    number, sample, outcome, _seconds = hear.recv()
                    running = (number, sample)
                    if outcome is None:
                        continue
                    position = number + 1
                    if number < len(samples) and outcome == "refused":
                        outcome = "a sound file is refused"
                    counts[sample, outcome if outcome in ("read", "refused") else "crash"] += 1
                    if outcome not in ("read", "refused"):
                        crashes.append(f"input {number} of seed {seed} ({sample}): {outcome}")
                        _keep(keep, number, seed, samples)
            except EOFError:
                worker.join()
                if worker.exitcode != 0:
                    fault = f"died with exit code {worker.exitcode}"
            if fault is not None:
                worker.kill()
                number, sample = running
                counts[sample, "crash"] += 1
                crashes.append(f"input {number} of seed {seed} ({sample}): {fault}")
                _keep(keep, number, seed, samples)
                position = number + 1
            elif worker.exitcode == 0:
                break
            worker.join()
            for left in folder.glob("input-*"):
                shutil.rmtree(left)
    return counts, crashes


def _keep(keep: Path | None, number: int, seed: int, samples: list[Sample]) -> None:
    if keep is not None:
        folder = keep / f"seed{seed}-input{number}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        write_input(number, seed, samples, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--inputs", type=int, default=50000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--keep", type=Path, default=Path("out/fuzz"))
    options = parser.parse_args()
    started = time.monotonic()
    counts, crashes = fuzz(options.inputs, options.seed, options.keep)
    for sample in sorted({name for name, _ in counts}):
        told = ", ".join(f"{counts[sample, o]} {o}" for o in ("read", "refused", "crash"))
        print(f"{sample:16} {told}")
    for crash in crashes:
        print(crash)
    seconds = time.monotonic() - started
    print(f"{sum(counts.values())} inputs of seed {options.seed} in {seconds:.0f} s, "
          f"{len(crashes)} crashes")  # fmt: skip
    sys.exit(1 if crashes else 0)


if __name__ == "__main__":
    main()
