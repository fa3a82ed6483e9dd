"""Every plot of the project, in one style; each function returns its figure."""

from rlhf_lib.plots.edits import dense_terms, durations, edit_map
from rlhf_lib.plots.evaluation import (
    accuracies,
    calibration,
    climbs,
    reward_course,
    win_rates,
    win_rates_by_song,
)
from rlhf_lib.plots.feedback import answers, disagreement
from rlhf_lib.plots.lab import explanation, learning_curves, over_optimisation
from rlhf_lib.plots.lines import lines
from rlhf_lib.plots.quality import quality
from rlhf_lib.plots.song import feature_map, waveform
from rlhf_lib.plots.style import save
from rlhf_lib.plots.training import policy_curves, reward_curves, weights

__all__ = [
    "accuracies",
    "answers",
    "calibration",
    "climbs",
    "dense_terms",
    "disagreement",
    "durations",
    "edit_map",
    "explanation",
    "feature_map",
    "learning_curves",
    "lines",
    "over_optimisation",
    "policy_curves",
    "quality",
    "reward_course",
    "reward_curves",
    "save",
    "waveform",
    "weights",
    "win_rates",
    "win_rates_by_song",
]
