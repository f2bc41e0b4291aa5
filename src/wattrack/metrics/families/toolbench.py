"""ToolBench, its first step alone and without calling anything."""

from wattrack.metrics.metric import Better, Metric
from wattrack.metrics.shown import JobTable, ScorePlot

_PARTS: tuple[tuple[str, Better, str, bool], ...] = (
    ("offline", "higher", "calls known tools with fitting arguments and does not finish yet", True),
    ("parsed", "higher", "an action can be read", True),
    ("known_tools", "higher", "no tool is invented", True),
    ("arguments_covered", "higher", "every required argument is there and no unknown one", True),
    ("finished", "neither", "finishes at once", True),
    ("gave_up", "lower", "gives up at once", False),
)
"""(name, better direction, meaning, whether the job's table shows it)."""

ROWS = {
    f"quality/toolbench_{name}": Metric(
        "1",
        better,
        f"ToolBench, first step, offline (no pass rate): {meaning}",
        (*((JobTable(order),) if in_table else ()), ScorePlot()),
    )
    for order, (name, better, meaning, in_table) in enumerate(_PARTS, start=1001)
}
