"""Tables of the win rates over v14, and of the shares of the way to the annealed reference."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from lab.policies import BEST_OF, BEST_PLAN, DIRECT, MEAN_PLAN, POLICY, TRAINED, TRAINED_PLAN
from lab.tables import columns, interval, kind, ratio_interval


def answers_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return the greedy win rate of the policy over v14, by taste and number of answers."""
    return _by_taste(_lines(table, POLICY), lambda rows: interval(*columns(rows)))


def reference_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return the share of the way from v14 to the annealed reference, by number of answers."""
    return _by_taste(_lines(table, POLICY), _share)


def parts_table(table: pd.DataFrame, pairs: int) -> pd.DataFrame:
    """Return the greedy win rates of the parts of the policy, before and after PPO."""
    table = _lines(table, MEAN_PLAN, BEST_PLAN, POLICY, TRAINED_PLAN, TRAINED)
    return _by_line(table[table["pairs"] == pairs])


def methods_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return win rate and share of the reference of each method, all tastes together."""
    lines = {
        TRAINED: "reward model, search and PPO",
        POLICY: "reward model and search",
        TRAINED_PLAN: "reward model and PPO, mean plan",
        MEAN_PLAN: "reward model, mean plan",
        DIRECT: "DPO, mean plan",
        BEST_OF: "reward model, best of 16 of v14",
    }
    table = _lines(table, *lines)
    table = table[table["pairs"].isin(_policy_pairs(table))]
    rows = []
    for line, name in lines.items():
        row = {"method": name}
        for pairs, some in table[table["line"] == line].groupby("pairs"):
            row[f"{pairs}: win rate"] = interval(*columns(some))
            row[f"{pairs}: share"] = _share(some)
        rows.append(row)
    return pd.DataFrame(rows)


def others_table(table: pd.DataFrame, pairs: int) -> pd.DataFrame:
    """Return the greedy win rates of what the policy is compared with, by taste."""
    table = _lines(table, TRAINED, DIRECT, BEST_OF)
    return _by_line(table[table["pairs"] == pairs])


def ppo_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return what PPO adds to the win rate of the mean plan and of the whole policy, by taste."""
    keys = ["taste", "pairs", "seed", "song", "target"]
    out = {}
    for after, before in ((TRAINED_PLAN, MEAN_PLAN), (TRAINED, POLICY)):
        was = _lines(table, before).set_index(keys)["win"]
        now = _lines(table, after)
        now = now.assign(win=now["win"] - now.set_index(keys).index.map(was).to_numpy())
        each = _by_taste(now, lambda rows: interval(*columns(rows)))
        out |= {f"{name.split()[0]}: {before}": each[name] for name in each}
    return pd.DataFrame(out)


def sampled_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return the win rate of sampled edits over v14's, and how much it is below the greedy one."""
    table = table[(table["line"] == POLICY) & table["pairs"].isin(_policy_pairs(table))]
    wins = table.pivot_table(index="taste", columns=["pairs", "mode"], values="win", sort=False)
    wins.loc["mean"] = wins.mean()
    out = {}
    for pairs in wins.columns.levels[0]:
        out[f"{pairs}: sampled"] = wins[pairs, "sampled"]
        out[f"{pairs}: below greedy"] = wins[pairs, "greedy"] - wins[pairs, "sampled"]
    return pd.DataFrame(out).round(2)


def moves_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return loops and reorders per edit of the policy after PPO, by taste."""
    ours = _lines(table, TRAINED)
    ours = ours[ours["pairs"] == ours["pairs"].max()]
    names = ["loops", "reorders"]
    return ours.groupby("taste", sort=False)[names].mean().round(2)


def room_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return how far v14 lies below the annealed reference, and what the reference uses."""
    table = table.assign(room=table["reference"] - table["v14"])
    names = ["v14", "reference", "room", "loops", "reorders", "steps"]
    return table.groupby("taste", sort=False)[names].mean().round(2)


def with_room(tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return the tables, with what there is to gain (`room`) in each row of the win rates."""
    if not {"win_rates", "reference"} <= set(tables):
        return tables
    keys = ["taste", "song", "target"]
    best = tables["reference"].assign(room=lambda t: t["reference"] - t["v14"])
    wins = tables["win_rates"].merge(best[[*keys, "room"]], on=keys, how="left")
    return tables | {"win_rates": wins}


def _lines(table: pd.DataFrame, *lines: str) -> pd.DataFrame:
    return table[table["line"].isin(lines) & (table["mode"] == "greedy")]


def _policy_pairs(table: pd.DataFrame) -> np.ndarray:
    return table.loc[table["line"] != POLICY, "pairs"].unique()


def _by_taste(table: pd.DataFrame, value: Callable[[pd.DataFrame], str]) -> pd.DataFrame:
    """Return a value of the rows for each taste, and all tastes, by number of answers."""
    groups = [*table.groupby("taste", sort=False), ("all", table)]
    return pd.DataFrame(
        {
            kind(taste): {f"{pairs} answers": value(some) for pairs, some in rows.groupby("pairs")}
            for taste, rows in groups
        }
    ).T


def _by_line(table: pd.DataFrame) -> pd.DataFrame:
    groups = [*table.groupby("taste", sort=False), ("all", table)]
    return pd.DataFrame(
        {
            kind(taste): {
                line: interval(*columns(some)) for line, some in rows.groupby("line", sort=False)
            }
            for taste, rows in groups
        }
    ).T


def _share(rows: pd.DataFrame) -> str:
    if "room" not in rows:
        return ""
    return ratio_interval(rows["gain"], rows["room"], rows["song"])
