"""Tables from the rows of the experiments, with intervals."""

import numpy as np
import pandas as pd

from lab.material import ADDITIVE_TASTES
from rlhf_lib.learning.planning.search import K_CHANGES
from rlhf_lib.learning.policy.policy import PolicyConfig
from rlhf_lib.steps.evaluation import EVEN, clustered_rate

BASELINES = ("longer is better", "cooler temperature")


def interval(values: pd.Series, songs: pd.Series) -> str:
    """Return a mean with its 95 % interval, clustered by song."""
    rate = clustered_rate(values.to_numpy(float), songs.to_numpy())
    return f"{rate.value:.2f} [{rate.low:.2f}, {rate.high:.2f}]"


def mean_band(values: pd.Series) -> str:
    """Return a mean over runs with twice its standard error."""
    error = values.std() / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return f"{values.mean():.2f} ± {2 * error:.2f}"


def ratio_interval(
    above: pd.Series, below: pd.Series, songs: pd.Series, digits: int = 2, draws: int = 2000
) -> str:
    """Return a ratio of two sums with its 95 % interval, bootstrapped over songs."""
    sums = pd.DataFrame({"above": np.asarray(above), "below": np.asarray(below)})
    sums = sums.groupby(np.asarray(songs)).sum().to_numpy()
    chosen = np.random.default_rng(0).integers(len(sums), size=(draws, len(sums)))
    drawn = sums[chosen].sum(axis=1)
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [0.025, 0.975])
    value = sums[:, 0].sum() / sums[:, 1].sum()
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def accuracy_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return accuracy as a share of the noise ceiling, one row for each taste."""
    table = table.assign(share=table["accuracy"] / table["ceiling"])
    out = {}
    for taste, rows in table.groupby("taste", sort=False):
        line = {"ceiling": f"{rows['ceiling'].iloc[0]:.2f}"}
        for name in (*BASELINES, "v8"):
            line[name] = f"{rows[rows['model'] == name]['share'].mean():.2f}"
        ours = rows[rows["model"] == "reward model"]
        for pairs, some in ours.groupby("pairs"):
            line[f"{pairs} pairs"] = mean_band(some["share"])
        line["ECE"] = f"{ours[ours['pairs'] == ours['pairs'].max()]['ece'].mean():.3f}"
        out[kind(taste)] = line
    return pd.DataFrame(out).T


def baselines_table(table: pd.DataFrame, pairs: int = 50) -> pd.DataFrame:
    """Return the intervals of the model and of the baselines, for the worst seed of each."""
    baselines = table[table["model"].isin(BASELINES)]
    ours = table[(table["model"] == "reward model") & (table["pairs"] == pairs)]
    ours = ours.groupby("taste", sort=False)["low"].min()
    best = baselines.groupby("taste", sort=False)["high"].max()
    names = {"low": f"{pairs} answers, lowest lower end", "high": "baselines, highest upper end"}
    return pd.DataFrame({"low": ours, "high": best}).rename(columns=names).round(2)


def settings_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return accuracy / ceiling on the validation songs by setting, all tastes together."""
    sums = table.groupby(["setting", "value", "pairs"], sort=False)[["right", "best"]].sum()
    out = (sums["right"] / sums["best"]).unstack("pairs")
    return out.round(3).reset_index()


def transformer_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return what the transformer's part adds to accuracy / ceiling, with intervals over songs."""
    table = table[table["setting"] == "mix_prior_sd"]
    table = table.assign(value=table["value"].astype(float))
    keys = ["taste", "pairs", "seed", "song"]
    without = table[table["value"] == 0].set_index(keys)["right"]
    rows = []
    for (value, pairs), some in table[table["value"] > 0].groupby(["value", "pairs"]):
        added = some["right"] - some.set_index(keys).index.map(without).to_numpy()
        rows.append(
            {"mix_prior_sd": value, "pairs": pairs}
            | {"adds": ratio_interval(added, some["best"], some["song"], 3)}
        )
    return pd.DataFrame(rows)


def columns(rows: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Return what `interval` takes: wins and songs."""
    return rows["win"], rows["song"]


def kind(taste: str) -> str:
    """Return a taste with what a reader should know of it."""
    if taste in ADDITIVE_TASTES:
        return f"{taste} (additive)"
    return f"{taste} (by ear)" if taste == "ear" else taste


def dense_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return the position of policies on the dense scale, by length."""
    out = table.pivot_table(index=["line", "mode"], columns="target", values="value", sort=False)
    return out.round(3).reset_index()


def active_table(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return accuracy / ceiling by rule, and the answers needed to match 100 random ones."""
    table = table.assign(share=table["accuracy"] / table["ceiling"])
    curves = table.pivot_table(index=["taste", "rule"], columns="pairs", values="share", sort=False)
    rows = []
    for taste, some in curves.groupby("taste", sort=False):
        goal = some.xs("random", level="rule").iloc[0, -1]
        for rule in ("disagreement", "information"):
            course = np.maximum.accumulate(some.xs(rule, level="rule").iloc[0].to_numpy())
            reached = np.flatnonzero(course >= goal)
            needed = curves.columns[reached[0]] if len(reached) else np.nan
            rows.append({"taste": taste, "rule": rule, "answers needed": needed})
    return curves.round(3).reset_index(), pd.DataFrame(rows)


def course_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return gains of learned and true reward since the start, by run and episode, with KL."""
    keys = ["taste", "run", "seed", "song", "target"]
    start = table[table["episode"] == 0].set_index(keys)[["learned", "gold"]]
    joined = table.join(start, on=keys, rsuffix="_start")
    joined["learned"] -= joined["learned_start"]
    joined["gold"] -= joined["gold_start"]
    return joined


def climb_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return gains over v14's edits by number of changes tried, all tastes together."""
    table = _exploits_marked(table)
    means = table.groupby(["pairs", "k", "tried"])[["learned", "gold", "exploited", "lost"]].mean()
    means = means.round(3).reset_index()
    return means.assign(k=means["k"].map("{:g}".format))


def exploits_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return gain in true reward and share of exploits of the default policy, by taste."""
    table = _exploits_marked(table)
    table = table[(table["k"] == K_CHANGES) & (table["tried"] == PolicyConfig.climb)]
    out = {}
    for name in ("gold", "exploited", "lost"):
        each = table.pivot_table(index="taste", columns="pairs", values=name, sort=False)
        out |= {f"{pairs}: {name}": each[pairs] for pairs in each}
    out = pd.DataFrame(out)
    out.loc["all"] = out.mean()
    return out.round(2)


def _exploits_marked(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with two marks.

    An edit is exploited when it has a higher learned but a lower true reward than v14's; lost to
    the climb, when the climb made its true reward lower than that of the best plan.
    """
    keys = ["taste", "pairs", "seed", "k", "song", "target"]
    plan = table[table["tried"] == 0].set_index(keys)["gold"]
    return table.assign(
        exploited=(table["learned"] > 0) & (table["gold"] < -EVEN),
        lost=table["gold"] < table.set_index(keys).index.map(plan).to_numpy() - EVEN,
    )


def caution_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return win rate and gain on the validation songs by setting, all tastes together."""
    keys = ["setting", "value"]
    out = table.pivot_table(index=keys, columns="pairs", values=["win", "gain"], sort=False)
    out.columns = [f"{pairs}: {name}" for name, pairs in out.columns]
    out = out.round(3).reset_index()
    return out.assign(value=out["value"].map("{:g}".format))


def exploits(course: pd.DataFrame) -> pd.DataFrame:
    """Return the share of edits with higher learned but lower true reward at the end of a run."""
    last = course[
        course["episode"] == course.groupby(["taste", "run", "seed"])["episode"].transform("max")
    ]
    last = last.assign(exploited=(last["learned"] > 0.01) & (last["gold"] < -0.01))
    return (
        last.groupby(["taste", "run"], sort=False)[["learned", "gold", "kl", "exploited"]]
        .mean()
        .round(3)
        .reset_index()
    )


def cycle_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return win rate over v14, consistency and alignment after each cycle."""
    rows = []
    for (taste, cycle), some in table.groupby(["taste", "cycle"], sort=False):
        rows.append(
            {"taste": taste, "cycle": cycle, "answers": int(some["answers"].max())}
            | {"win rate": interval(*columns(some)), "gain": round(some["gain"].mean(), 2)}
            | {"consistency": round(some["consistency"].mean(), 2)}
            | {"alignment": round(some["alignment"].mean(), 2)}
        )
    return pd.DataFrame(rows)


def length_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return the regret of the recommended length, as a share of best less worst length."""
    out = table.groupby(["taste", "pairs"], sort=False)[["regret", "random", "best_chosen"]].mean()
    return out.round(2).reset_index()


def share_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return the win rate over v14 on validation songs by share of the learned reward."""
    out = table.pivot_table(index="taste", columns=["pairs", "share"], values="win", sort=False)
    out.loc["mean"] = out.mean()
    out.columns = [f"{pairs} pairs, {share:.0%}" for pairs, share in out.columns]
    return out.round(2).reset_index()
