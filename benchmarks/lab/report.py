"""Write tables and plots into docs/results.md."""

from pathlib import Path

import pandas as pd
from measuring import between, markdown

from lab import tables as make
from lab import win_tables as wins
from lab.material import AGREEMENT, Material
from lab.policies import POLICY
from rlhf_lib.paths import atomic_path
from rlhf_lib.plots import climbs
from rlhf_lib.plots import save as save_plot
from rlhf_lib.plots.lab import learning_curves, over_optimisation
from rlhf_lib.steps.evaluation import clustered_rate

#: Experiment → titles and functions of its tables.
SECTIONS = {
    "accuracies": (
        (
            f"Accuracy / noise ceiling on test songs (raters agree on {AGREEMENT:.0%})",
            make.accuracy_table,
        ),
        ("95 % intervals of the accuracy, clustered by song", make.baselines_table),
    ),
    "settings": (
        ("Settings, validation songs, all tastes together", make.settings_table),
        ("What the transformer adds to accuracy / ceiling", make.transformer_table),
    ),
    "shares": (("Win rate over v14 by share of the learned reward", make.share_table),),
    "caution": (("Caution and climb, validation songs, all tastes together", make.caution_table),),
    "dense_scale": (("The dense scale: 0 a random single cut, 1 the optimum", make.dense_table),),
    "reference": (("The annealed reference, mean utility", wins.room_table),),
    "win_rates": (
        ("How many answers? Greedy win rate over v14", wins.answers_table),
        ("Share of the way from v14 to the annealed reference", wins.reference_table),
        ("Parts of the policy, 50 answers", lambda table: wins.parts_table(table, 50)),
        ("Parts of the policy, 200 answers", lambda table: wins.parts_table(table, 200)),
        ("What PPO adds to the win rate", wins.ppo_table),
        ("Methods, all tastes together", wins.methods_table),
        ("Methods, 50 answers", lambda table: wins.others_table(table, 50)),
        ("Methods, 200 answers", lambda table: wins.others_table(table, 200)),
        ("Sampled edits", wins.sampled_table),
        ("LOOP and REORDER per edit", wins.moves_table),
    ),
    "over_optimisation": (
        ("Gains over v14's edits while the policy climbs, all tastes together", make.climb_table),
        ("The default climb, by taste", make.exploits_table),
    ),
    "over_training": (
        ("PPO after ten answers", lambda table: make.exploits(make.course_table(table))),
    ),
    "active": (
        ("Active learning: accuracy / ceiling by answers", lambda t: make.active_table(t)[0]),
        ("Answers needed for what 100 random ones give", lambda t: make.active_table(t)[1]),
    ),
    "cycles": (("Cycles", make.cycle_table),),
    "free_length": (("Free length", make.length_table),),
}
#: Numbers of answers and tastes whose climbs are drawn.
DRAWN_PAIRS, DRAWN_TASTES = (10, 200), ("hooks", "arc")


def shown(name: str, table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return the titled tables of an experiment that are not empty."""
    made = [(title, function(table)) for title, function in SECTIONS[name]]
    return [(title, each) for title, each in made if each.size]


def show(tables: dict[str, pd.DataFrame]) -> None:
    """Print every table."""
    for name, table in wins.with_room(tables).items():
        for title, each in shown(name, table):
            print(f"\n== {title}\n{each.to_string()}")


def plots(tables: dict[str, pd.DataFrame], folder: Path) -> dict[str, list[str]]:
    """Write the plots; return their file names by experiment."""
    folder.mkdir(parents=True, exist_ok=True)
    out: dict[str, list[str]] = {name: [] for name in tables}

    def save(name: str, kind: str, figure) -> None:
        out[name].append(save_plot(figure, folder / f"results_{kind}.png").name)

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
        drawn = tables["over_optimisation"].query("taste in @DRAWN_TASTES")
        for taste, some in drawn.groupby("taste"):
            courses = {
                f"{pairs} answers, k = {k:g}": course
                for (pairs, k), course in some.groupby(["pairs", "k"])
                if pairs in DRAWN_PAIRS
            }
            save("over_optimisation", f"climb_{taste}", climbs(courses))
    if "over_training" in tables:
        course = make.course_table(tables["over_training"])
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
            save("over_training", f"kl_{taste}", over_optimisation(some.reset_index()))
    return out


def _win_curve(table: pd.DataFrame) -> pd.DataFrame:
    rows = []
    table = table[(table["mode"] == "greedy") & (table["line"] == POLICY)]
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
    tables = wins.with_room(tables)
    pictures = plots(tables, docs / "images")
    path = docs / "results.md"
    text = path.read_text(encoding="utf-8")
    for name, table in tables.items():
        if f"<!-- {name} -->" not in text:
            continue
        parts = [f"**{title}**\n\n{_with_index(each)}" for title, each in shown(name, table)]
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
