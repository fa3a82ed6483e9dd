"""Tables from the rows of the experiments, with intervals."""

import numpy as np
import pandas as pd

from lab.material import ADDITIVE_TASTES
from lab.policies import NETWORK
from rlhf_lib.steps.evaluation import clustered_rate

BASELINES = ("longer is better", "cooler temperature")


def interval(values: pd.Series, songs: pd.Series) -> str:
    """Return a mean with its 95 % interval, clustered by song."""
    rate = clustered_rate(values.to_numpy(float), songs.to_numpy())
    return f"{rate.value:.2f} [{rate.low:.2f}, {rate.high:.2f}]"


def mean_band(values: pd.Series) -> str:
    """Return a mean over runs with twice its standard error."""
    error = values.std() / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return f"{values.mean():.2f} ± {2 * error:.2f}"


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
        out[_kind(taste)] = line
    return pd.DataFrame(out).T


def baselines_table(table: pd.DataFrame, pairs: int = 50) -> pd.DataFrame:
    """Return the intervals of the model and of the baselines, for the worst seed of each."""
    baselines = table[table["model"].isin(BASELINES)]
    ours = table[(table["model"] == "reward model") & (table["pairs"] == pairs)]
    ours = ours.groupby("taste", sort=False)["low"].min()
    best = baselines.groupby("taste", sort=False)["high"].max()
    names = {"low": f"{pairs} answers, lowest lower end", "high": "baselines, highest upper end"}
    return pd.DataFrame({"low": ours, "high": best}).rename(columns=names).round(2)


def parts_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return accuracy / ceiling of the whole model and of its parts alone, mean over tastes."""
    table = table[table["pairs"] > 0].assign(share=lambda t: t["accuracy"] / t["ceiling"])
    return table.pivot_table(index="model", columns="pairs", values="share").round(3)


def settings_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return accuracy / ceiling on the validation songs by setting, mean over tastes."""
    table = table.assign(share=table["accuracy"] / table["ceiling"])
    out = table.pivot_table(index=["setting", "value"], columns="pairs", values="share", sort=False)
    return out.round(3).reset_index()


def win_table(table: pd.DataFrame, mode: str = "greedy") -> pd.DataFrame:
    """Return the win rate over v14 by taste and line, with intervals clustered by song."""
    table = table[table["line"] != NETWORK]  # fewer seeds: see `parts_of_policy_table`
    whole = table.loc[table["line"] == "planner", "pairs"].unique()
    table = table[table["pairs"].isin(whole) | (table["line"] == "bound")]
    out = {}
    for taste, rows in table.groupby("taste", sort=False):
        line = {"bound": interval(*_columns(rows[rows["line"] == "bound"]))}
        for (pairs, name), some in rows[(rows["mode"] == mode) & (rows["line"] != "bound")].groupby(
            ["pairs", "line"], sort=False
        ):
            line[f"{pairs}: {name}"] = interval(*_columns(some))
        out[_kind(taste)] = line
    return pd.DataFrame(out).T


def answers_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return the greedy win rate over v14, with search, by taste and number of answers."""
    table = table[(table["line"] == "planner + search") & (table["mode"] == "greedy")]
    out = {
        _kind(taste): {
            f"{pairs} answers": interval(*_columns(some)) for pairs, some in rows.groupby("pairs")
        }
        for taste, rows in table.groupby("taste", sort=False)
    }
    return pd.DataFrame(out).T


def _columns(rows: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    return rows["win"], rows["song"]


def _kind(taste: str) -> str:
    if taste in ADDITIVE_TASTES:
        return f"{taste} (additive)"
    return f"{taste} (by ear)" if taste == "ear" else taste


def parts_of_policy_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return the gains of search over planner, and of PPO over both, on seeds with all three."""
    table = table[table["mode"] == "greedy"]
    whole = table[table["line"] == NETWORK]
    table = table[table["seed"].isin(whole["seed"].unique())]
    wins = table.pivot_table(index="taste", columns=["pairs", "line"], values="win", sort=False)
    out = {}
    for pairs in whole["pairs"].unique():
        lines = [wins[pairs, "planner" + more] for more in ("", " + search", " + search + network")]
        out[f"{pairs}: search"], out[f"{pairs}: network"] = np.diff(lines, axis=0)
    out = pd.DataFrame(out, index=wins.index)
    runs = whole.groupby(["taste", "pairs", "seed"])["best_episode"].first()
    out["runs whose start stayed best"] = (runs == 0).groupby("taste").mean()
    out.loc["mean"] = out.mean()
    return out.round(2)


def moves_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return loops and reorders per edit of the whole policy and of the bound, by taste."""
    last = table.loc[table["line"] == "planner", "pairs"].max()
    ours = table[(table["line"] == NETWORK) & (table["pairs"] == last)]
    ours = ours[ours["mode"] == "greedy"].groupby("taste", sort=False)
    bound = table[table["line"] == "bound"].groupby("taste", sort=False)
    names = ["loops", "reorders"]
    return ours[names].mean().join(bound[names].mean(), rsuffix=" of the bound").round(2)


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
    """Return gains of learned and true reward at the end of a climb, and the share of exploits."""
    table = table.assign(exploited=(table["learned"] > 0) & (table["gold"] < 0))
    keys = ["taste", "pairs", "k"]
    out = table.groupby(keys, sort=False)[["learned", "gold", "exploited"]].mean()
    return out.round(2).reset_index()


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
            | {"win rate": interval(*_columns(some)), "gain": round(some["gain"].mean(), 2)}
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
