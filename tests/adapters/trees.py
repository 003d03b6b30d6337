"""Small trees in exactly the layouts of the public data sets.

Scans are gradients that tell subject, B-scan, row and column, and references are off the middle in
every direction, so that a transposed axis, a reversed order, a shifted index or a swapped label
shows.
"""

from __future__ import annotations

import json

import numpy as np
import scipy.io
from PIL import Image
from samples import write_mat73

DEPTH, WIDTH = 10, 14


def scan(number=0, shape=(DEPTH, WIDTH)):
    """uint8; `number` in the corner, darker down and right."""
    r, c = np.mgrid[: shape[0], : shape[1]]
    return (40 + number + 3 * r + c).astype(np.uint8)


def spots(shape=(DEPTH, WIDTH), **values):
    """A reference with value `values["a"]` in region a (top left), b (right) and c (bottom)."""
    labels = np.zeros(shape, np.uint8)
    labels[1:3, 0:4] = values.get("a", 0)
    labels[4:5, 9:14] = values.get("b", 0)
    labels[8:10, 2:5] = values.get("c", 0)
    return labels


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **({"quality": 100} if path.suffix == ".jpg" else {}))


def save_pages(path, volume):
    path.parent.mkdir(parents=True, exist_ok=True)
    pages = [Image.fromarray(page) for page in volume]
    pages[0].save(path, save_all=True, append_images=pages[1:], compression="tiff_lzw")


def retouch(root):
    from test_retouch import tree

    return tree(root)


def duke_volume(subject, annotated=(1, 3), bscans=5):
    """images, manualFluid1, manualFluid2, automaticFluidDME of (depth, width, B-scan)."""
    images = np.stack([scan(10 * subject + k) for k in range(bscans)], axis=-1)
    fluids = {}
    for name, lesions in (("manualFluid1", {"a": 1, "b": 7}), ("manualFluid2", {"b": 2}),
                          ("automaticFluidDME", {"c": 3})):  # fmt: skip
        fluid = np.full(images.shape, np.nan)
        for k in annotated:
            fluid[:, :, k] = spots(**lesions) * (k == annotated[-1])
        fluids[name] = fluid
    return {"images": images, **fluids, "manualLayers1": np.zeros((8, WIDTH, bscans))}


def duke_dme(root, subjects=(1, 2, 10)):
    root.mkdir(exist_ok=True)
    for subject in subjects:
        scipy.io.savemat(
            root / f"Subject_{subject:02d}.mat", duke_volume(subject), do_compression=True
        )
    return root


def duke_v73(root, subject=1):
    write_mat73(root / f"Subject_{subject:02d}.mat", **duke_volume(subject))
    return root


def umn_cells():
    """AllSubjects, ManualFluid1 and ManualFluid2: cells of (depth, width, B-scan)."""
    shapes = [(DEPTH, WIDTH, 3), (DEPTH, WIDTH, 2), (DEPTH, WIDTH, 2)]
    scans, first, second = (
        np.empty((1, n), object) for n in (3, 2, 2)
    )  # the last has no reference
    for j, shape in enumerate(shapes):
        scans[0, j] = np.stack([scan(20 * j + k) for k in range(shape[2])], axis=-1)
        if j < 2:
            first[0, j] = np.stack([spots(a=int(k == 1)) for k in range(shape[2])], axis=-1)
            second[0, j] = np.stack([spots(b=int(k == 0)) for k in range(shape[2])], axis=-1)
    return {"AllSubjects": scans, "ManualFluid1": first, "ManualFluid2": second}


def umn(root, folder="DME", name="UMN_Dataset.mat", packed=False):
    (root / folder).mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(root / folder / name, umn_cells(), do_compression=packed)
    return root


def umn_packed(root, folder="DME", name="UMN_Dataset.mat"):
    return umn(root, folder, name, packed=True)


def umn_v73(root, folder="DME", name="UMN_Dataset.mat"):
    (root / folder).mkdir(parents=True, exist_ok=True)
    write_mat73(root / folder / name, **umn_cells())
    return root


def aroi(root, values=(5, 6, 7), top=4):
    base = root / "24 patient"
    for patient, number in ((1, 2), (1, 10), (3, 7)):
        name = f"patient{patient}_raw{number:04d}.png"
        save(base / f"patient{patient}" / "raw" / "labeled" / name, scan(10 * patient + number))
        mask = spots(a=values[0], b=values[1], c=values[2])
        mask[6, :] = top  # a layer, or below BM
        save(base / f"patient{patient}" / "mask" / "number" / name, mask)
    save(base / "patient1" / "raw" / "unlabeled" / "patient1_raw0003.png", scan())
    return root


def nnunet(root, labels=None, ending=".tif"):
    base = root / "nnUNet_raw" / "Dataset001_OCTAVE"
    for case, number in (("OCTAVE_AMD_002", 1), ("OCTAVE_DME_010", 2)):
        volume = np.stack([scan(10 * number + k) for k in range(3)])
        marks = np.stack([spots(a=3 * (k == number), b=6) for k in range(3)])
        save_pages(base / "imagesTr" / f"{case}_0000{ending}", volume)
        save_pages(base / "labelsTr" / f"{case}{ending}", marks)
    save_pages(base / "imagesTs" / f"OCTAVE_NOR_001_0000{ending}", volume[:2])
    names = labels or {"background": 0, "SRM": 1, "HRM": 2, "FLU": 3, "HTD": 4, "RPE": 5, "RET": 6}
    (base / "dataset.json").write_text(
        json.dumps({"channel_names": {"0": "OCT"}, "labels": names, "file_ending": ending})
    )
    return root


def amd_dme_3d(root):
    for disease, stem, region in (("AMD", "00012L01", "a"), ("DME", "00345R02", "b")):
        volume = np.stack([scan(10 * k) for k in range(4)])
        mask = np.stack([spots(**{region: 255 * (k == 2)}) for k in range(4)])
        save_pages(root / f"{disease}_labeled" / "input" / f"{stem}.tif", volume)
        save_pages(root / f"{disease}_labeled" / "label" / f"{stem}_mask.tif", mask)
    return root


def paint(**colours):
    """A reference in colours: regions a, b, c as in `spots`."""
    return np.stack(
        [spots(**{name: colour[i] for name, colour in colours.items()}) for i in range(3)], axis=-1
    )


def pair(path, number, reference):
    left = np.repeat(scan(number)[..., None], 3, axis=-1)
    save(path, np.concatenate([left, reference], axis=1))


def amd_sd(root, lists=True):
    reference = paint(a=(255, 0, 0), b=(0, 255, 0), c=(0, 0, 255))
    reference[6, 0:6] = (255, 0, 255)
    reference[6, 6:12] = (255, 255, 0)
    reference[7, 0:3] = 255
    for patient, number in ((2, 1), (2, 11), (2, 3), (10, 4), (30, 5)):
        pair(root / "images" / f"{patient}" / f"{patient}_{number}.png", number, reference)
    if lists:
        (root / "training.txt").write_text("2_1.png\n2_11.png\n2_3.png\n10_4.png\n")
        (root / "validation.txt").write_text("30_5.png\n")
    return root


def oimhs(root):
    reference = paint(a=(0, 0, 255), b=(255, 0, 0), c=(0, 255, 0))
    reference[6, :] = (255, 255, 0)
    for eye, number in ((1, 2), (1, 10), (7, 3)):
        pair(root / "Images" / f"{eye}" / f"{number}.png", number, reference)
    return root


def rvo_lesion(root, train=("1_2", "1_10"), test=("22_3",)):
    base = root / "Image_Seg"
    for stem in ("1_2", "1_10", "22_3"):
        save(base / "images" / f"{stem}.jpg", scan(int(stem.split("_")[1])))
        mask = spots(a=1, b=2, c=3)
        mask[6, :] = 4
        save(base / "masks" / f"{stem}.png", mask)
    (base / "train.txt").write_text("\n".join(train) + "\n")
    (base / "test.txt").write_text("\n".join(f"images\\{stem}.jpg" for stem in test) + "\n")
    return root


def mirage(root):
    for split, name in (("train", "TRAIN001_002"), ("train", "TRAIN001_010"),
                        ("val", "TRAIN026_001"), ("test", "TEST003_000")):  # fmt: skip
        save(root / split / "bscan" / f"{name}.png", scan(int(name[-3:])))
        if split != "test":
            save(root / split / "semseg" / f"{name}.png", spots(a=85, b=170, c=255))
    info = {"Elsewhere": 0, "IRF": 85, "SRF": 170, "PED": 255}
    (root / "INFO.json").write_text(
        json.dumps({str(k): {"value": v, "label": n} for k, (n, v) in enumerate(info.items())})
    )
    return root


def oct5k(root):
    for subject, visit, k in (("AMD (1)", "2- 25- 2017 9- 10- 42 PM", 9),
                              ("AMD (1)", "2- 25- 2017 9- 10- 42 PM", 10),
                              ("AMD (12)", "3- 1- 2016 8- 1- 2 AM", 2)):  # fmt: skip
        below = f"AMD Part1/{subject}.E2E/{visit}/Image {k}"
        save(root / "Images" / "Images_Manual" / f"{below}.png", scan(k))
        save(root / "Masks" / "Masks_Manual" / "Grading_1" / f"{below}.png", spots(a=1, b=2))
    save(root / "Images" / "Images_Original" / f"{below}.TIFF", scan(99))
    return root


def octdl(root):
    for folder, name in (("AMD", "amd_1047099_1"), ("AMD", "amd_1047099_2"), ("ERM", "erm_77_1")):
        save(root / "OCTDL" / folder / f"{name}.jpg", scan(int(name[-1])))
    save(root / "OCTDL" / "AMD" / "amd_notes_9.jpg", scan())
    (root / "OCTDL_labels.csv").write_text(
        "file_name,disease,patient_id,eye,sex,year\namd_1047099_1,AMD,5,OS,F,2019\n"
        "amd_1047099_2,AMD,5,OD,F,2019\nerm_77_1,ERM,12,,M,2018\n"
    )
    return root


def kermany(root, test="DME-30521-1"):
    for split, name in (("train", "CNV-1016042-2"), ("train", "CNV-1016042-11"),
                        ("val", "NORMAL-9053621-1"), ("test", test)):  # fmt: skip
        folder = root / "OCT2017 " / split / name.split("-")[0]
        save(folder / f"{name}.jpeg", scan(int(name.rpartition("-")[2])))
    return root


def octid(root):
    for folder, name in (("AMRD", "AMRD2"), ("AMRD", "AMRD10"), ("CSR", "CSR1"), ("MH", "MH3")):
        save(root / folder / f"{name}.jpeg", scan(int(name.strip("AMRDCSH"))))
    return root


def optima(root):
    for device, number in (("Cirrus", 1), ("Nidek", 2)):
        folder = root / "Training" / device
        save_pages(folder / f"P{number}.tif", np.stack([scan(10 * number + k) for k in range(3)]))
        for grader in (1, 2):
            (folder / f"P{number}_grader{grader}.xml").write_text("<unknown/>")
    return root


def original(root):
    """The original project's folders."""
    for device, (train, test) in {"cirrus_3": (12, 5), "nidek_1": (4, 6)}.items():
        for k in range(1, train + test + 1):
            folder = root / "Data" / device / ("train" if k <= train else "test")
            save(folder / "Image" / f"bscan_{k}.jpg", scan(k))
            save(folder / "GT" / f"bscan_{k}.jpg", spots(a=255))
    return root


TREES = {
    "retouch": retouch, "duke_dme": duke_dme, "umn": umn, "aroi": aroi, "nnunet": nnunet,
    "amd_dme_3d": amd_dme_3d, "amd_sd": amd_sd, "oimhs": oimhs, "rvo_lesion": rvo_lesion,
    "mirage": mirage, "oct5k": oct5k, "octdl": octdl, "kermany": kermany, "octid": octid,
    "optima": optima, "folder": original,
}  # fmt: skip
