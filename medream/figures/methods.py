"""The paragraph on methods: every setting of a dream and of what was measured of it, in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from string import Formatter
from typing import Any

from medream.errors import ConfigError, nearest
from medream.figures.provenance import without_paths
from medream.figures.words import listed

_GRADIENTS = {
    "std": "divided by its standard deviation",
    "standardize": "freed of its mean and divided by its standard deviation",
    "l2": "divided by its Euclidean length",
    "rms": "divided by its root mean square",
    "sign": "replaced by its sign",
    "none": "taken as it was",
}
_OPTIMIZERS = {
    "plain": "Steps followed this gradient itself",
    "momentum": "Steps followed this gradient with a momentum of {momentum:g}",
    "adam": "Steps followed Adam (Kingma and Ba 2015)",
}
_SCHEDULES = {
    "constant": "and had one size throughout",
    "linear": "and their size fell linearly to 0",
    "cosine": "and their size fell to 0 along a cosine",
}
_BOUNDS = {"clip": "clipped to", "reflect": "reflected at the ends of"}
_TRANSFORMS = {
    "jitter": "shifted by up to {pixels:g} pixels along each axis",
    "rotate": "rotated by up to {degrees:g} degrees",
    "scale": "scaled by a factor of {low:g} to {high:g}",
    "blur": "blurred with a Gaussian of up to {sigma:g} pixels",
    "noise": "given Gaussian noise of standard deviation {deviation:g}",
}
_PARAMETRIZATIONS = {
    "pixels": "pixels",
    "fourier": "Fourier coefficients",
    "maco": "Fourier phases at fixed magnitudes",
    "laplacian": "a Laplacian pyramid",
    "lowrank": "a low-rank product",
}

PARTS = {
    "control": (
        "As controls, the same ascent was made on copies of the network: with all weights re-"
        "drawn{stages} (Adebayo et al. 2018, arXiv:1810.03292). What dreams and "
        "controls changed in the scan was scaled to a standard deviation of 1 and compared by "
        "SSIM and by Spearman's correlation, signed and by magnitude. The ceiling is the same "
        "comparison with a second dream of the same network, of the scan with Gaussian noise of "
        "standard deviation {noise:g}."
    ),
    "localization": (
        "Where maps put their energy was measured within the retina as relevance mass and "
        "relevance rank (Arras et al. 2022, doi:10.1016/j.inffus.2021.11.008) and by the pointing "
        "game (Zhang et al. 2018, doi:10.1007/s11263-017-1059-x), against {count} random toroidal "
        "shifts of the lesions within the same retina; p is the one-sided share of shifts that "
        "are as large (Phipson and Smyth 2010, doi:10.2202/1544-6115.1585), which speaks of these "
        "scans and not of other people, and is not corrected."
    ),
    "deletion": (
        "For deletion and insertion (Petsiuk et al. 2018, arXiv:1806.07421) the pixels of a scan "
        "were replaced by, or put into, the scan blurred by 8 pixels, those where a map is "
        "largest first, in {steps} equal shares; the network's summed logit over the lesions was "
        "scaled to 1 for the scan and 0 for the blurred one, and the area under its course taken."
    ),
    "response": (
        "The trained network segmented the scan, and the image {every} along the ascent on itself "
        "and along that on re-drawn weights."
    ),
    "field": (
        "Effective receptive fields (Luo et al. 2016, arXiv:1701.04128) are mean magnitudes of "
        "gradients, averaged over {positions} random places in the retina of each scan and "
        "{draws} draws of random signs of the units (seed {seed}); their extent holds 95.45 % of "
        "the energy along an axis."
    ),
    "dissection": (
        "Units were named by network dissection (Bau et al. 2017, arXiv:1704.05796): the concept "
        "with the highest IoU with the unit's area, if above {least:g} and above that with the "
        "concept at {rounds} other places of its scan."
    ),
    "ablation": (
        "Units that bear the name of a class were set to their mean over the scans, and the fall "
        "of Dice was compared with that without as many other living units; p is the one-sided "
        "share of choices of such units that cost as much, the named ones included."
    ),
    "tests": (
        "Over subjects it was tested whether {which}, by exact two-sided Wilcoxon signed-rank "
        "tests (differences of zero ranked as by Pratt 1959, doi:10.1080/01621459.1959.10501526), "
        "where there were subjects enough for p < {alpha:g}. All p-values of the findings "
        "together were corrected by Holm's method (1979); a finding counts as shown with p < {alpha:g} "
        "and a difference in the direction that it asks for."
    ),
    "activation": (
        "Units of a layer were ordered by the mean square of their maps over the valid pixels of "
        "the scan."
    ),
    "curves": (
        "For feature curves (Couteaux et al. 2019, doi:10.1007/978-3-030-33850-3_7) the score of "
        "the class was ascended in an elliptical region of {size} pixels that is free of lesions, "
        "beginning with {starts} ({seeds}), on the trained network and on re-drawn weights. "
        "Features were measured at the start and {every} up to step {steps}, in that region and in "
        "what the network segmented as the class in and around it: {features}. A movement is the "
        "last value of a feature less the first one, on the trained network less that on re-drawn "
        "weights, in {unit}; its interval of 95 % resamples subjects {draws} times. Movements were "
        "tested over subjects by exact two-sided Wilcoxon signed-rank tests, corrected by Holm's "
        "method (1979) for the number of features in each kind of region, where there were "
        "subjects enough for p < {alpha:g} after correction. A feature moved where p < {alpha:g}; it "
        "did not move where, failing that, the interval lies within {margin:g} of 0."
    ),
}
"""What is said of each part of the evidence; the names in braces are its settings."""


def methods_text(
    settings: Mapping[str, Any],
    *,
    objective: str,
    network: str,
    scans: int,
    subjects: int,
    versions: Mapping[str, str],
    parts: Mapping[str, Mapping[str, Any]] | None = None,
    resamples: int | None = None,
) -> str:
    """Describe how dreams were made and measured, with every setting.

    Parameters
    ----------
    settings : mapping
        `DreamConfig.to_json()`.
    objective, network : str
        What was ascended, and in which network: "dec1_conv2", "a U-Net of 3 levels, trained on ...".
        Of paths of this machine only the last part is kept.
    scans, subjects : int
    versions : {package: version}
        As a `RunRecord` holds them.
    parts : {part: settings}, optional
        Which of `PARTS` were run, each with the settings named there.
    resamples : int, optional
        Of the bootstrap intervals; default: none are spoken of.

    Returns
    -------
    str
        A paragraph for each of: the dream, its measurement, the software.

    Raises
    ------
    ConfigError
        When a setting of the dream or of a part is missing or unknown.

    Examples
    --------
    >>> from medream.dream.config import DreamConfig
    >>> text = methods_text(DreamConfig(steps=20, octaves=None).to_json(), objective="dec1_conv2",
    ...     network="a U-Net of 2 levels", scans=4, subjects=2, versions={"medream": "1.0"})
    >>> text.split(". ")[0]
    'Dreams were made of 4 scans of 2 subjects by ascent of dec1_conv2 in a U-Net of 2 levels'
    """
    of = "1 scan" if scans == 1 else f"{scans} scans"
    people = "1 subject" if subjects == 1 else f"{subjects} subjects"
    opening = f"Dreams were made of {of} of {people} by ascent of {objective} in {network}."
    paragraphs = [f"{without_paths(opening)} {_dream(settings)}"]
    told = [_part(name, own) for name, own in (parts or {}).items()]
    if resamples is not None:
        told.append(
            "Means are over subjects, the scans of each averaged first. Intervals of 95 % resample subjects "
            f"({resamples} times, bias-corrected and accelerated bootstrap, Efron 1987); from fewer than "
            "about ten subjects they tend to be too narrow, and from one there is none."
        )
    if told:
        paragraphs.append(" ".join(told))
    named = ", ".join(f"{name} {number}" for name, number in versions.items())
    paragraphs.append(f"Software: {named}.")
    return "\n\n".join(paragraphs)


def _dream(settings: Mapping[str, Any]) -> str:
    """Say every setting of a dream."""
    try:
        said = [*_ascent(settings), *_image(settings), *_running(settings)]
    except KeyError as error:
        raise ConfigError(
            f"The settings of a dream lack {error}, or hold a value of it that has no words; give "
            "what DreamConfig.to_json() gives."
        ) from error
    return " ".join(said)


def _ascent(s: Mapping[str, Any]) -> list[str]:
    stop = (
        "All steps were made." if s["patience"] is None
        else f"The ascent stopped when the objective had not risen for {s['patience']} steps."
    )  # fmt: skip
    return [
        f"Each ascent took {s['steps']} steps of {s['step_size']:g} on the intensity scale from 0 to 1; at each "
        f"step the gradient on the image was {_GRADIENTS[s['gradient']]}.",
        f"{_OPTIMIZERS[s['optimizer']].format(**s)} {_SCHEDULES[s['schedule']]}.",
        stop,
        f"Intensities were {_BOUNDS[s['bounds']]} [0, 1].",
    ]


def _image(s: Mapping[str, Any]) -> list[str]:
    transforms = [_TRANSFORMS[each["kind"]].format(**each) for each in s["transforms"]]
    spec = s["parametrization"]
    kind, own = (spec, {}) if isinstance(spec, str) else (spec["kind"], dict(spec))
    own.pop("kind", None)
    details = ", ".join(f"{name} {value}" for name, value in own.items())
    climbed = _PARAMETRIZATIONS[kind] + (f" ({details})" if details else "")
    said = [
        f"Before each step the image was, at random, {listed(transforms)}." if transforms
        else "The image went through no random transforms.",
        f"The change of the image was parametrised by {climbed}.",
    ]  # fmt: skip
    if s["diversity"]:
        said.append(
            "Dreams were climbed together, and the mean cosine of the Gram matrices of their activations was "
            f"subtracted with a weight of {s['diversity']:g}."
        )
    if s["octaves"] is None:
        said.append("There were no octaves.")
    else:
        octaves = ", ".join(f"{octave}" for octave in s["octaves"]).replace("-", "\N{MINUS SIGN}")
        said.append(
            f"The enhanced dream was climbed from the smallest image to the largest over octaves {octaves} of "
            f"a scale of {s['octave_scale']:g}, with {s['octave_steps']} steps in each."
        )
    return said


def _running(s: Mapping[str, Any]) -> list[str]:
    said = [
        f"The network computed in {s['precision']} precision." if s["precision"] != "auto"
        else "The network computed in the precision chosen for the processor (float32 or bfloat16).",
        f"The seed of random draws and of the control's weights was {s['seed']}.",
    ]  # fmt: skip
    if s["tile"] is not None:
        shared = "the receptive field" if s["overlap"] is None else f"{s['overlap']} pixels"
        said.append(f"Images were seen in tiles of {s['tile']} pixels that overlap by {shared}.")
    elif s["overlap"] is not None:
        said.append(f"Tiles would overlap by {s['overlap']} pixels; the image was seen as a whole.")
    if s["every"] is not None:
        said.append(f"The image was kept {_every(s['every'])}.")
    return said


def _part(name: str, settings: Mapping[str, Any]) -> str:
    if name not in PARTS:
        raise ConfigError(f"There are no words for the part {name!r}. {nearest(name, PARTS)}")
    fields = [field for _, field, _, _ in Formatter().parse(PARTS[name]) if field]
    wanted = list(dict.fromkeys(fields))
    wrong = sorted(set(wanted) ^ set(settings))
    if wrong:
        raise ConfigError(
            f"The part {name!r} has the settings {', '.join(wanted) or 'none'}; missing or unknown: "
            f"{', '.join(wrong)}."
        )
    said = {k: _SAID[k](v) if k in _SAID else v for k, v in settings.items()}
    return PARTS[name].format(**said)


def _every(steps: int) -> str:
    return "after every step" if steps == 1 else f"every {steps} steps"


def _stages(count: int | None) -> str:
    if count == 0:
        return ""
    return (
        ", and by cascading randomisation with weights re-drawn from the dreamt layer downwards in "
        + ("a stage for each layer" if count is None else "1 stage" if count == 1 else f"{count} stages")
        + ", the last of which has all weights re-drawn that a dream of the layer depends on"
    )  # fmt: skip


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed{'s' * (len(seeds) != 1)} {listed([str(seed) for seed in seeds])}"


_STARTS = {"scan": "the scan itself", "noise": "noise of the scan's mean and spread"}
# How settings of parts are said that are more than a number or a word.
_SAID: dict[str, Callable[[Any], str]] = {
    "every": _every,
    "stages": _stages,
    "seeds": _seeds,
    "starts": lambda starts: listed([_STARTS.get(each, each) for each in starts]),
    "size": lambda lengths: " x ".join(map(str, lengths)),
    "which": listed,
    "features": lambda known: "; ".join(f"{name} ({words})" for name, words in known.items()),
}
