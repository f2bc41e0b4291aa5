"""MMLU: exam questions of 57 subjects with four choices (Hendrycks et al. 2021, arXiv:2009.03300).

Row: {"question": "...", "subject": "abstract_algebra", "choices": ["...", "...", "...", "..."], "answer": 2}.
`quality/score` is the micro mean (every question weighs the same), `quality/acc_macro` the mean over subjects, and
`quality/acc_<category>` the micro mean inside one of the paper's four categories. lm-evaluation-harness counts anatomy
as STEM; the paper and we count it as other.
"""

from dataclasses import replace

from wattrack.schema import Response, Sample, Score
from wattrack.scorers import choice

CATEGORIES = {
    "stem": [
        "abstract_algebra",
        "astronomy",
        "college_biology",
        "college_chemistry",
        "college_computer_science",
        "college_mathematics",
        "college_physics",
        "computer_security",
        "conceptual_physics",
        "electrical_engineering",
        "elementary_mathematics",
        "high_school_biology",
        "high_school_chemistry",
        "high_school_computer_science",
        "high_school_mathematics",
        "high_school_physics",
        "high_school_statistics",
        "machine_learning",
    ],
    "humanities": [
        "formal_logic",
        "high_school_european_history",
        "high_school_us_history",
        "high_school_world_history",
        "international_law",
        "jurisprudence",
        "logical_fallacies",
        "moral_disputes",
        "moral_scenarios",
        "philosophy",
        "prehistory",
        "professional_law",
        "world_religions",
    ],
    "social_sciences": [
        "econometrics",
        "high_school_geography",
        "high_school_government_and_politics",
        "high_school_macroeconomics",
        "high_school_microeconomics",
        "high_school_psychology",
        "human_sexuality",
        "professional_psychology",
        "public_relations",
        "security_studies",
        "sociology",
        "us_foreign_policy",
    ],
    "other": [
        "anatomy",
        "business_ethics",
        "clinical_knowledge",
        "college_medicine",
        "global_facts",
        "human_aging",
        "management",
        "marketing",
        "medical_genetics",
        "miscellaneous",
        "nutrition",
        "professional_accounting",
        "professional_medicine",
        "virology",
    ],
}
"""The paper's categories and their subjects."""

_CATEGORY = {subject: category for category, subjects in CATEGORIES.items() for subject in subjects}


def score(sample: Sample, response: Response) -> Score:
    """acc, and the same value under the name of the subject's category."""
    verdict = choice.score(sample, response)
    category = _CATEGORY.get(sample.group or "")
    if category is None:
        return verdict
    return replace(verdict, metrics={**verdict.metrics, f"acc_{category}": verdict.metrics["acc"]})
