"""Write tables and plots into docs/results.md."""

from pathlib import Path

import pandas as pd
from measuring import between, markdown

from lab.material import AGREEMENT, Material
from lab.policies import NETWORK
from lab.tables import (
    accuracy_table,
    active_table,
    answers_table,
    baselines_table,
    climb_table,
    course_table,
    cycle_table,
    dense_table,
    exploits,
    length_table,
    moves_table,
    parts_of_policy_table,
    parts_table,
    settings_table,
    share_table,
    win_table,
)
from rlhf_lib.paths import atomic_path
from rlhf_lib.plots.lab import learning_curves, over_optimisation
from rlhf_lib.steps.evaluation import clustered_rate

SECTIONS = {
    "accuracies": (
        (
            f"Accuracy / noise ceiling on test songs (raters agree on {AGREEMENT:.0%})",
            accuracy_table,
        ),
        ("95 % intervals of the accuracy, clustered by song", baselines_table),
        ("Parts of the model alone, mean over tastes", parts_table),
    ),
    "settings": (("Settings, validation songs, mean over tastes", settings_table),),
    "shares": (("Share of the learned reward, validation songs, planner + search", share_table),),
    "dense_scale": (("The dense scale: 0 a random single cut, 1 the optimum", dense_table),),
    "win_rates": (
        ("How many answers? Win rate over v14, greedy, planner + search", answers_table),
        ("Win rate over v14, greedy", win_table),
        ("Win rate over v14, sampled", lambda table: win_table(table, "sampled")),
        ("What search and network add to the win rate, same seeds", parts_of_policy_table),
        ("LOOP and REORDER per edit", moves_table),
    ),
    "over_optimisation": (("Over-optimisation", lambda t: exploits(course_table(t))),),
    "exploits": (("Climbing the reward model from v14's edits", climb_table),),
    "active": (
        ("Active learning: accuracy / ceiling by answers", lambda t: active_table(t)[0]),
        ("Answers needed for what 100 random ones give", lambda t: active_table(t)[1]),
    ),
    "cycles": (("Cycles", cycle_table),),
    "free_length": (("Free length", length_table),),
}


def show(tables: dict[str, pd.DataFrame], material: Material) -> None:
    """Print every table."""
    for name, table in tables.items():
        for title, make in SECTIONS[name]:
            print(f"\n== {title}\n{make(table).to_string()}")


def plots(tables: dict[str, pd.DataFrame], folder: Path) -> dict[str, list[str]]:
    """Write the plots; return their file names by experiment."""
    folder.mkdir(parents=True, exist_ok=True)
    out: dict[str, list[str]] = {name: [] for name in tables}

    def save(name: str, kind: str, figure) -> None:
        with atomic_path(folder / f"results_{kind}.png") as part:
            figure.savefig(part, format="png", dpi=110)
        out[name].append(f"results_{kind}.png")

    if "accuracies" in tables:
        rows = tables["accuracies"].query("pairs > 0")
        curve = rows.groupby(["taste", "model", "pairs"], sort=False, as_index=False)[
            ["accuracy", "low", "high", "ceiling"]
        ].mean()
        curve = curve.rename(columns={"accuracy": "value", "model": "line"})
        save("accuracies", "accuracy", learning_curves(curve, "agreement with a simulated vote"))
    if "win_rates" in tables:
        save(
            "win_rates",
            "wins",
            learning_curves(_win_curve(tables["win_rates"]), "win rate over v14"),
        )
    if "over_optimisation" in tables:
        course = course_table(tables["over_optimisation"])
        course = course[course["run"] == "no penalty, no rule"]
        for taste, some in course.groupby("taste"):
            some = some.groupby("episode").agg(
                kl=("kl", "mean"),
                learned=("learned", "mean"),
                gold=("gold", "mean"),
                sd=("gold", "sem"),
            )
            some = some.assign(
                low=some["gold"] - 2 * some["sd"], high=some["gold"] + 2 * some["sd"]
            )
            save("over_optimisation", f"kl_{taste}", over_optimisation(some.reset_index()))
    return out


def _win_curve(table: pd.DataFrame) -> pd.DataFrame:
    rows = []
    table = table[(table["mode"] == "greedy") & ~table["line"].isin(("bound", NETWORK))]
    for (taste, line, pairs), some in table.groupby(["taste", "line", "pairs"], sort=False):
        rate = clustered_rate(some["win"].to_numpy(float), some["song"].to_numpy())
        rows.append(
            {"taste": taste, "line": line, "pairs": pairs}
            | {"value": rate.value, "low": rate.low, "high": rate.high}
        )
    return pd.DataFrame(rows)


def write(tables: dict[str, pd.DataFrame], material: Material, profile: str, docs: Path) -> None:
    """Write the tables and plots between the marks of docs/results.md.

    The text around the marks is written by hand; a mark is ``<!-- NAME -->`` and ends with
    ``<!-- end -->``.
    """
    pictures = plots(tables, docs / "images")
    path = docs / "results.md"
    text = path.read_text(encoding="utf-8")
    for name, table in tables.items():
        if f"<!-- {name} -->" not in text:
            continue
        parts = []
        for title, make in SECTIONS[name]:
            parts.append(f"**{title}**\n\n{_with_index(make(table))}")
        parts += [f"![{name}](images/{picture})" for picture in pictures[name]]
        text = between(text, name, "\n\n".join(parts))
    n_songs = {part: len(songs) for part, songs in material.songs.items()}
    n_pairs = {part: len(pairs) for part, pairs in material.pairs.items()}
    noise = ", ".join(f"{name} {value:.2f}" for name, value in material.noise.items())
    about = (
        f"Profile {profile}: {n_songs['train']} training, {n_songs['valid']} validation and "
        f"{n_songs['test']} test songs of {material.size.seconds:.0f} s; {n_pairs['train']}, "
        f"{n_pairs['valid']} and {n_pairs['test']} pairs; {material.size.seeds} seeds. "
        f"Noise: {noise}."
    )
    text = between(text, "material", about)
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")


def _with_index(table: pd.DataFrame) -> str:
    if not isinstance(table.index, pd.RangeIndex):
        table = table.reset_index(names="taste" if table.index.name is None else table.index.name)
    return markdown(table)
