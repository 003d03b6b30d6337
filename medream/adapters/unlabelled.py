"""OCTDL, Kermany (OCT2017) and OCTID: scans sorted by disease, without masks, grouped by person."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from medream.adapters.dataset import Contents, Item
from medream.adapters.listing import Listing, numbered, read_manifest
from medream.errors import ScanError
from medream.scan import LATERALITIES, Source

_TABLE = r"(?P<base>(?:.*/)?)OCTDL_labels\.csv"
_PICTURE = r"(?P<stem>[^/]+)\.(?:jpe?g|png|JPE?G|PNG)"

_KERMANY = r"(?:.*/)?(?P<name>(?P<disease>CNV|DME|DRUSEN|NORMAL)-(?P<person>\d+)-\d+\.jpe?g)"
_KERMANY_SPLITS = {"train": "train", "val": "validation", "test": "test"}

_OCTID = r"(?:.*/)?(?P<disease>AMRD|CSR|DR|MH|NORMAL)/[^/]+\.(?:jpe?g|png)"


def recognise_octdl(listing: Listing) -> bool:
    return listing.first(_TABLE) is not None


def read_octdl(listing: Listing) -> Contents:
    """List `<class>/<file>` with the people and eyes of OCTDL_labels.csv."""
    table = listing.first(_TABLE)
    if table is None:
        raise ScanError(f"{listing.root} holds no OCTDL_labels.csv, which names the people.")
    path = listing.path(table.string)
    people = {}
    try:
        for row in csv.DictReader(io.StringIO(read_manifest(path))):
            stem = row["file_name"].rpartition("/")[2]
            stem = stem.rpartition(".")[0] or stem
            eye = (row.get("eye") or "").strip().upper()
            people[stem] = row["patient_id"].strip(), eye if eye in LATERALITIES else None
    except (KeyError, AttributeError, csv.Error) as error:
        raise ScanError(
            f"{path} cannot be used ({error}); expected a table with the columns file_name and "
            "patient_id."
        ) from error
    items, ignored = [], []
    for found in listing.find(rf"(?:.*/)?{_PICTURE}"):
        image = listing.path(found.string)
        if found["stem"] not in people:
            ignored.append(image)
            continue
        person, eye = people[found["stem"]]
        source = Source(
            "OCTDL", person, f"{person}_{eye}" if eye else person, laterality=eye, path=str(image)
        )
        items.append(Item(image, None, source, None))
    return _contents("OCTDL", "octdl", listing, items, ignored=tuple(ignored))


def recognise_kermany(listing: Listing) -> bool:
    return listing.first(_KERMANY) is not None


def read_kermany(listing: Listing) -> Contents:
    """List `{train,val,test}/<CLASS>/<CLASS>-<person>-<n>.jpeg`.

    A picture that lies several times in one part, as in some copies, is listed once.
    """
    items: dict[tuple[str | None, str], Item] = {}
    ignored = []
    for found in listing.find(_KERMANY):
        folders = [listing.name, *found.string.split("/")[:-1]]
        # One copy's folder is called "OCT2017 ", with a blank at the end.
        splits = [_KERMANY_SPLITS[f.strip()] for f in folders if f.strip() in _KERMANY_SPLITS]
        split = splits[-1] if splits else None
        image = listing.path(found.string)
        if (split, found["name"]) in items:
            ignored.append(image)
            continue
        person = found["person"]
        source = Source("Kermany", person, f"{person}_{found['disease']}", path=str(image))
        items[split, found["name"]] = Item(image, None, source, split)
    return _contents("Kermany", "kermany", listing, list(items.values()), ignored=tuple(ignored))


def recognise_octid(listing: Listing) -> bool:
    diseases = {found["disease"] for found in listing.find(_OCTID)}
    return len(diseases & {"AMRD", "CSR", "MH"}) > 1


def read_octid(listing: Listing) -> Contents:
    """List `<class>/<file>`; nothing in it tells people apart, so all count as one."""
    items = []
    for found in listing.find(_OCTID):
        image = listing.path(found.string)
        items.append(
            Item(image, None, Source("OCTID", "OCTID", found["disease"], path=str(image)), None)
        )
    return _contents("OCTID", "octid", listing, items)


def _contents(
    name: str, adapter: str, listing: Listing, items: list[Item], ignored: tuple[Path, ...] = ()
) -> Contents:
    return Contents(
        name=name,
        adapter=adapter,
        path=listing.root,
        items=numbered(items),
        names=("fluid",),
        ignored=ignored,
    )
