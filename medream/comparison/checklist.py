"""Reporting checklists, filled in as far as a run can know: CLAIM 2024 and TRIPOD+AI.

Item numbers are those of the checklists, topics are in our words. Tejani et al., "Checklist for Artificial
Intelligence in Medical Imaging (CLAIM): 2024 Update", Radiology: Artificial Intelligence 2024,
https://doi.org/10.1148/ryai.240300; Collins et al., "TRIPOD+AI statement", BMJ 2024,
https://doi.org/10.1136/bmj-2023-078378.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

OPEN = "to be filled in by the authors"

# Number, topic, and the fact of the run (a key of `facts`) that answers it; None for the authors.
CLAIM = (
    (1, "Title or abstract: a study of AI, and of which kind", "method"),
    (2, "Abstract: design, methods, results, conclusions", None),
    (3, "Background, intended use and role", None),
    (4, "Aims and hypotheses", "aim"),
    (5, "Prospective or retrospective", None),
    (6, "Goal of the study", "aim"),
    (7, "Where the data come from", "data"),
    (8, "Inclusion and exclusion criteria", None),
    (9, "Pre-processing", "preprocessing"),
    (10, "Selection of parts of the data", "subset"),
    (11, "De-identification", "pseudonyms"),
    (12, "Missing data", "missing"),
    (13, "Acquisition of the images", "acquisition"),
    (14, "How the reference standard was obtained", None),
    (15, "Why this reference standard", None),
    (16, "Who annotated", None),
    (17, "Annotation of the test set", None),
    (18, "Variability between and within graders", None),
    (19, "How data were assigned to partitions", "partitions"),
    (20, "Level at which partitions are disjoint", "disjoint"),
    (21, "Intended sample size", "sample"),
    (22, "Description of the model", "model"),
    (23, "Software, frameworks, packages", "software"),
    (24, "Initialisation of the weights", "initialisation"),
    (25, "Training", "training"),
    (26, "How the final model was selected", "selection"),
    (27, "Ensembles", "ensembles"),
    (28, "Measures of performance", "measures"),
    (29, "Significance and uncertainty", "statistics"),
    (30, "Robustness or sensitivity", "robustness"),
    (31, "Explainability", None),
    (32, "Evaluation on internal data", "internal"),
    (33, "Testing on external data", "external"),
    (34, "Registration of the trial", None),
    (35, "Patients or examinations included and excluded", "included"),
    (36, "Demographic and clinical characteristics by partition", None),
    (37, "Performance with its uncertainty", "performance"),
    (38, "Diagnostic performance and its precision", "detection"),
    (39, "Failures analysed", "failures"),
    (40, "Limitations", "limits"),
    (41, "Implications for practice", None),
    (42, "Protocol or further technical details", "details"),
    (43, "Availability of software, model, data", "availability"),
    (44, "Funding and role of funders", None),
)
TRIPOD_AI = (
    ("1", "Title", None),
    ("2", "Abstract", None),
    ("3a", "Healthcare context and rationale", None),
    ("3b", "Target population, purpose, users", None),
    ("3c", "Known health inequalities", None),
    ("4", "Objectives", "aim"),
    ("5a", "Sources of data", "data"),
    ("5b", "Dates of data", None),
    ("6a", "Setting and centres", None),
    ("6b", "Eligibility", None),
    ("6c", "Treatments received", None),
    ("7", "Preparation of data", "preprocessing"),
    ("8a", "Outcome", "outcome"),
    ("8b", "Who assessed the outcome", None),
    ("8c", "Blinding of the assessment", None),
    ("9a", "Choice of predictors", "predictors"),
    ("9b", "Definition of predictors", "predictors"),
    ("9c", "Who assessed predictors", None),
    ("10", "Sample size", "sample"),
    ("11", "Missing data", "missing"),
    ("12a", "Use of data for development and evaluation", "partitions"),
    ("12b", "Handling of predictors", "preprocessing"),
    ("12c", "Model, its building and internal validation", "model"),
    ("12d", "Heterogeneity between clusters", None),
    ("12e", "Measures of performance", "measures"),
    ("12f", "Updating of the model", "updating"),
    ("12g", "How predictions were calculated", "predictions"),
    ("13", "Class imbalance", "imbalance"),
    ("14", "Fairness", None),
    ("15", "Output of the model", "output"),
    ("16", "Differences between development and evaluation data", "external"),
    ("17", "Ethical approval", None),
    ("18a", "Funding", None),
    ("18b", "Conflicts of interest", None),
    ("18c", "Protocol", None),
    ("18d", "Registration", None),
    ("18e", "Sharing of data", "availability"),
    ("18f", "Sharing of code", "availability"),
    ("19", "Involvement of patients and public", None),
    ("20a", "Flow of participants", "included"),
    ("20b", "Characteristics of participants", None),
    ("20c", "Comparison with the development data", "external"),
    ("21", "Participants and outcomes in each analysis", "included"),
    ("22", "The full model", "details"),
    ("23a", "Performance with intervals", "performance"),
    ("23b", "Heterogeneity of performance", None),
    ("24", "Results of updating", "updating"),
    ("25", "Interpretation", None),
    ("26", "Limitations", "limits"),
    ("27a", "Poor or missing input in use", None),
    ("27b", "What users have to do", None),
    ("27c", "Next steps", None),
)


def checklist_table(
    items: tuple[tuple[object, str, str | None], ...], facts: Mapping[str, str]
) -> pd.DataFrame:
    """Return item, topic and answer of a checklist; without a fact the answer is the authors'.

    Examples
    --------
    >>> checklist_table(CLAIM[:1], {"method": "Deep learning."}).values.tolist()
    [['1', 'Title or abstract: a study of AI, and of which kind', 'Deep learning.']]
    """
    rows = [(str(number), topic, facts.get(fact or "", OPEN)) for number, topic, fact in items]
    return pd.DataFrame(rows, columns=["Item", "Topic", "From this run"])
