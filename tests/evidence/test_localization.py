"""Localisation, against cases whose answer is known on paper."""

import numpy as np
import pytest

from medream.errors import ConfigError
from medream.evidence.localization import (
    Shifts,
    against_chance,
    chance,
    energy_by_distance,
    energy_by_zone,
    enrichment_by_subject,
    pointing,
    relevance_mass,
    relevance_rank,
)


def square(shape=(40, 60), rows=(10, 20), columns=(20, 30)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[slice(*rows), slice(*columns)] = True
    return mask


def flat(shape=(40, 60)) -> Shifts:
    return Shifts(np.zeros(shape[1]), np.full(shape[1], float(shape[0])), shape[0])


def test_an_even_map_has_the_lesions_share_of_the_area():
    mask = square()
    assert relevance_mass(np.ones(mask.shape), mask) == pytest.approx(100 / 2400)
    # Every pixel is tied: the places are shared among all.
    assert relevance_rank(np.ones(mask.shape), mask) == pytest.approx(100 / 2400)
    assert pointing(np.ones(mask.shape), mask) == pytest.approx(100 / 2400)


def test_a_map_of_the_lesion_itself_is_right_in_all():
    mask = square()
    assert relevance_mass(mask * 2.0, mask) == 1
    assert relevance_rank(mask * 2.0, mask) == 1
    assert pointing(mask * 2.0, mask) == 1


def test_empty_maps_and_masks_have_no_answer():
    mask = square()
    for measure in (relevance_mass, relevance_rank, pointing):
        assert np.isnan(measure(np.zeros(mask.shape), mask))
        assert np.isnan(measure(np.ones(mask.shape), mask & False))


def test_bad_maps_are_refused():
    with pytest.raises(ConfigError, match="magnitude"):
        relevance_mass(np.full((2, 2), -1.0), np.ones((2, 2), bool))
    with pytest.raises(ConfigError, match=r"\(2, 3\)"):
        relevance_mass(np.ones((2, 3)), np.ones((2, 2), bool))


def test_pointing_within_a_tolerance_in_micrometres():
    energy = np.zeros((9, 9))
    energy[4, 6] = 1.0
    mask = square((9, 9), (4, 5), (4, 5))
    assert pointing(energy, mask) == 0
    assert pointing(energy, mask, 100, (0.01, 0.05)) == 1  # two columns of 50 um
    assert pointing(energy, mask, 99, (0.01, 0.05)) == 0
    with pytest.raises(ConfigError, match="spacing"):
        pointing(energy, mask, 10)


def test_energy_by_distance_counts_rings():
    mask = square((9, 9), (3, 6), (3, 6))
    table = energy_by_distance(np.ones((9, 9)), mask, (0.01, 0.01), (-np.inf, 0, 10, np.inf))
    # 9 pixels inside, a ring of 12 (without the corners' diagonal of 14 um), the rest outside.
    assert table.pixels.tolist() == [9, 16, 56]
    assert table.density.tolist() == pytest.approx([1, 1, 1])
    assert table.share.sum() == pytest.approx(1)


def test_energy_by_zone():
    zones = np.repeat([[1, 2, 0]], 4, axis=0)
    energy = np.where(zones == 2, 3.0, np.where(zones == 1, 1.0, 100.0))
    table = energy_by_zone(energy, zones, {1: "INL", 2: "ONL", 3: "RPE"})
    assert table.share.tolist() == [0.25, 0.75, 0.0]
    assert table.density.tolist()[:2] == [0.5, 1.5]
    assert np.isnan(table.density[2])


def test_shifts_keep_area_and_stay_in_a_retina_of_even_thickness():
    mask = square((40, 60), (15, 20), (20, 30))
    inner = 10 + 5 * np.sin(np.arange(60) / 5)
    shifts = Shifts(np.round(inner), np.round(inner) + 20, 40)
    for lateral, axial in ((7, 0.0), (55, 0.35), (30, 0.9)):
        moved = shifts.shift(mask & shifts.retina, lateral, axial)
        assert moved.sum() == (mask & shifts.retina).sum()
        assert not (moved & ~shifts.retina).any()
    assert np.array_equal(shifts.shift(mask & shifts.retina, 60, 0.0), mask & shifts.retina)


def test_a_map_of_chance_is_chance_and_one_of_the_lesion_is_not():
    rng = np.random.default_rng(0)
    mask, shifts = square(), flat()
    noise = [chance(rng.random(mask.shape), mask, shifts, 199, k) for k in range(6)]
    true = [chance(rng.random(mask.shape) + mask, mask, shifts, 199, k) for k in range(6)]
    people = ["a", "a", "b", "b", "c", "d"]
    table = against_chance(noise, people).set_index("measure")
    assert table.loc["relevance_mass", "enrichment"] == pytest.approx(1, abs=0.05)
    assert table.loc["relevance_mass", "p"] > 0.05
    table = against_chance(true, people).set_index("measure")
    # 1.5 in the lesion; elsewhere about 0.5, and what a shift overlaps by.
    assert 2.3 < table.loc["relevance_mass", "enrichment"] < 3
    assert table.loc["relevance_mass", "p"] == pytest.approx(1 / 200)
    assert table.loc["relevance_mass", "subjects"] == 4
    assert set(enrichment_by_subject(true, people, "relevance_mass")) == set(people)


def test_p_values_are_even_when_there_is_nothing_to_find():
    rng = np.random.default_rng(1)
    mask, shifts = square((20, 60), (5, 10), (20, 30)), flat((20, 60))
    found = []
    for k in range(200):
        measured = [chance(rng.random(mask.shape), mask, shifts, 39, k)]
        found.append(against_chance(measured, ["a"]).set_index("measure").p["relevance_mass"])
    assert abs(np.mean(np.array(found) <= 0.25) - 0.25) < 0.1


def test_energy_outside_of_the_retina_counts_for_nothing():
    mask = square((40, 60), (15, 20), (20, 30))
    shifts = Shifts(np.full(60, 10.0), np.full(60, 30.0), 40)
    energy = np.random.default_rng(0).random((40, 60))
    far = energy + 50.0 * (np.arange(40) > 32)[:, None]
    assert chance(energy, mask, shifts, 5)["relevance_mass"] == pytest.approx(
        chance(far, mask, shifts, 5)["relevance_mass"]
    )
