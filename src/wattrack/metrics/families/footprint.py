"""CO2 and money, where an intensity or a price is configured."""

from wattrack.metrics.metric import Metric
from wattrack.metrics.shown import ComparisonTable, JobTable

_PART = "it is a part of cost/usd, which is shown"
_RATIO = "it follows from cost/usd, which is shown, and a count"

ROWS = {
    "carbon/co2e_g": Metric(
        "g",
        "lower",
        "codecarbon's energy of the whole job x PUE x configured carbon intensity",
        (JobTable(8501), ComparisonTable(8501)),
    ),
    "carbon/measured_co2e_g": Metric(
        "g",
        "lower",
        "measured energy of the whole job x PUE x configured intensity",
        not_shown="tables show the figure that every machine has, carbon/co2e_g",
    ),
    "cost/usd": Metric(
        "USD",
        "lower",
        "whole job: rent and energy, of which at least one is configured",
        (JobTable(8502), ComparisonTable(8502)),
    ),
    "cost/rental_usd": Metric("USD", "lower", "job hours x configured hourly rate", not_shown=_PART),
    "cost/energy_usd": Metric(
        "USD", "lower", "energy of the whole job (codecarbon's) x PUE x configured tariff", not_shown=_PART
    ),
    "cost/usd_per_1m_output_tokens": Metric("USD", "lower", "cost / output tokens x 1e6", not_shown=_RATIO),
    "cost/usd_per_1k_correct": Metric("USD", "lower", "cost / correct answers x 1000", not_shown=_RATIO),
}
