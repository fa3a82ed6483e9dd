"""The results of a demo run, as tables and as an HTML page."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from rlhf_lib import plots
from rlhf_lib.app.report import Section, write_report
from rlhf_lib.learning.policy.training import PolicyHistory
from rlhf_lib.learning.reward.fit import RewardHistory


@dataclass(frozen=True, eq=False)
class DemoResults:
    """The results of one demo run.

    Attributes
    ----------
    n_songs, n_held_out, n_answers : int
    taste : str
        Name of the simulated rater's taste.
    minutes : float
        Duration of the run.
    wins : DataFrame
        From `rlhf_lib.steps.evaluation.compare_policies`.
    accuracies : dict of model → DataFrame
        From `rlhf_lib.steps.evaluation.accuracy_table`.
    lengths : DataFrame
        From `rlhf_lib.steps.evaluation.lengths_by_temperature`.
    v8_history, v9_history : RewardHistory
    v15_history : PolicyHistory
    """

    n_songs: int
    n_held_out: int
    n_answers: int
    taste: str
    minutes: float
    wins: pd.DataFrame
    accuracies: dict[str, pd.DataFrame]
    lengths: pd.DataFrame
    v8_history: RewardHistory
    v9_history: RewardHistory
    v15_history: PolicyHistory

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return the tables to print, by title."""
        columns = ["target", "keep_ratio", "duration"]
        return {
            "Win rate of v15 over v14 (simulated taste, held-out songs)": self.wins,
            "Accuracy of the reward models (held-out songs, noise-free taste)": self.accuracy(),
            "Mean keep ratio and duration (s) by temperature": self.mean_lengths(columns),
        }

    def accuracy(self) -> pd.DataFrame:
        """Return the accuracies of both models in one table."""
        named = [table.assign(model=name) for name, table in self.accuracies.items()]
        table = pd.concat(named, ignore_index=True)
        return table[["model", *table.columns.drop("model")]]

    def mean_lengths(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return the means of some columns of `lengths` by temperature."""
        return self.lengths.groupby("temperature")[list(columns)].mean().reset_index()


def write_demo_report(path: Path, results: DemoResults, sounds: Sequence[tuple[str, Path]]) -> Path:
    """Write the page of a demo run and return its path.

    Parameters
    ----------
    path : Path
    results : DemoResults
    sounds : sequence of (label, path)
        Sounds to play on the page.
    """
    lengths = list(results.tables().values())[2]
    sections = [
        Section(
            "Summary",
            f"The models are trained on {results.n_songs} composed songs; {results.n_held_out} "
            f"others are held out. All {results.n_answers} answers come from a simulated rater "
            f"with the hidden taste {results.taste!r}, none from people. The run took "
            f"{results.minutes:.1f} minutes.",
        ),
        Section(
            "New policy against old policy",
            "Share of held-out songs and lengths for which the noise-free taste prefers the edit "
            "to that of v14. Intervals are clustered by song. The plan under the true taste is "
            "the optimum for additive tastes.",
            table=results.wins,
            figure=plots.win_rates(results.wins),
        ),
        Section(
            "Accuracy of the reward models",
            "v8 scores by the dense reward; v9 is fitted to the simulated preferences. The "
            "transformer gives every edit the score 0 (accuracy 0.5): it has no part in the score "
            "unless asked for (RewardTraining.mix_prior_sd).",
            table=results.accuracy(),
            figure=plots.accuracies(results.accuracies),
        ),
        Section(
            "Training v8",
            "The transformer is trained on the preferences of synthetic raters.",
            figure=plots.reward_curves(results.v8_history),
        ),
        Section(
            "Training v9",
            "The weights of the descriptors and of the auxiliary scores are fitted to the "
            "simulated preferences; an epoch is one pass of the optimiser.",
            figure=plots.reward_curves(results.v9_history),
        ),
        Section(
            "Fine-tuning v15",
            f"{results.v15_history.stopped}; best after {results.v15_history.best_episode} "
            "episodes.",
            figure=plots.policy_curves(results.v15_history.rows),
        ),
        Section(
            "Lengths",
            "Achieved length against target.",
            table=lengths,
            figure=plots.durations(results.lengths),
        ),
        Section("Listen", "The first song and edits of it by v14.", audio=sounds),
    ]
    return write_report(path, "Music retargeting learned from preferences", sections)
