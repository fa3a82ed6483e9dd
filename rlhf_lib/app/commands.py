"""The functions of the commands. Slow imports are inside them, so that --help is quick."""

import argparse
import json
import sys
from datetime import datetime

from rlhf_lib.errors import InputError, quote
from rlhf_lib.paths import expanded, only_writer, resolve
from rlhf_lib.steps.cycle import needed, policy_file


def compose_songs(args: argparse.Namespace) -> None:
    from rlhf_lib.composer.compose import compose_songs

    for path in compose_songs(resolve(args.output_dir), args.n_songs, args.seed, args.seconds):
        print(path)


def edit_song(args: argparse.Namespace) -> None:
    from rlhf_lib.analysis.grid import check_tracker
    from rlhf_lib.steps.checkpoints import load_policy
    from rlhf_lib.steps.edit_places import has_variants, is_finished, songs_of_folder
    from rlhf_lib.steps.edit_song import edit_song

    source, pairs = expanded(args.source), [(args.source, args.output)]
    if source.is_dir():
        pairs = songs_of_folder(source, expanded(args.output or "short"))
    check_tracker(args.beats)
    names = ("seconds", "keep", "variants", "protect", "must_start", "must_end", "spare_singing")
    wishes = {name: getattr(args, name) for name in (*names, "beats")}
    wishes |= {"policy": load_policy(policy_file(args.policy)), "cut_lists": args.cut_list}
    if args.spare_singing and not (args.must_start and args.must_end):
        note = "note: sung lines are spared only with --must_start on and --must_end on"
        print(note, file=sys.stderr)
    there = set()
    if source.is_dir() and not args.overwrite:  # a run that was interrupted goes on
        there = {path for _, path in pairs if is_finished(path, args.cut_list)}
    if there:
        fewer = sum(not has_variants(path, args.variants) for path in there)
        but = f", {fewer} with fewer than {args.variants} variants" if fewer else ""
        told = f"{len(there)} of {len(pairs)} songs were already there{but}"
        print(f"{told}; --overwrite edits them again")
    left = [pair for pair in pairs if pair[1] not in there]
    refused = 0
    for place, (song, path) in enumerate(left, 1):
        try:
            # the first edit is written last: what lies there without it was interrupted
            replace = args.overwrite or (source.is_dir() and not path.exists())
            made = edit_song(song, path, overwrite=replace, **wishes)
        except InputError as error:
            if len(pairs) == 1:
                raise
            print(f"skipped {song}: {error}", file=sys.stderr)
            refused += 1
            continue
        for one in made:
            print(one)
        if len(made) < args.variants:
            print(f"only {len(made)} of {args.variants} variants differ enough", file=sys.stderr)
        if len(left) > 1:
            print(f"({place} of {len(left)})", flush=True)
    if refused:
        raise InputError(f"{refused} of {len(pairs)} songs were skipped; the reasons are above")


def train_initial(args: argparse.Namespace) -> None:
    from rlhf_lib.learning.metrics import library_run
    from rlhf_lib.learning.policy.training import PolicyTraining
    from rlhf_lib.learning.reward.pretraining import Pretraining
    from rlhf_lib.steps.devices import device_named
    from rlhf_lib.steps.train_policy import train_initial_policy
    from rlhf_lib.steps.train_reward_model import train_initial_reward_model

    device, songs = device_named(args.device), _songs(args)
    models = resolve(args.models_dir)
    with only_writer(models):
        print("reward model v8, pretrained on synthetic raters")
        training = Pretraining(groups_per_song=args.groups_per_song, epochs=args.epochs)
        reward_path = models / "reward_model_v8.pt"
        with library_run(args.log, "reward_model_v8") as loggers:
            train_initial_reward_model(
                songs, reward_path, training, args.seed, device, _print_epoch, loggers
            )
        print("policy v14 by PPO")
        with library_run(args.log, "policy_v14") as loggers:
            _, history = train_initial_policy(
                songs,
                reward_path,
                models,
                resolve(args.run_dir),
                PolicyTraining(episodes=args.episodes, seed=args.seed),
                device,
                _print_episodes,
                loggers,
            )
    print(f"{history.stopped}; best after {history.best_episode} episodes")
    print(f"wrote {reward_path}, {models / 'policy_v14.pt'}, {models / 'policy_final.pt'}")


def generate_eval_candidates(args: argparse.Namespace) -> None:
    from rlhf_lib.feedback.manifest import PolicyRef
    from rlhf_lib.learning.archive import archive_sha256
    from rlhf_lib.steps.candidate_files import MANIFEST_NAME
    from rlhf_lib.steps.candidates import generate_candidates
    from rlhf_lib.steps.checkpoints import load_policy

    path = needed(args.policy)
    policy, about = load_policy(path)
    songs = _songs(args, args.n_songs)
    folder = resolve(args.output_dir)
    ref = PolicyRef(name=about["name"], sha256=archive_sha256(path))
    with only_writer(folder):
        manifest = generate_candidates(
            songs,
            policy,
            ref,
            folder,
            args.candidates_per_song,
            args.seed,
            args.jobs,
            args.scheduler,
            args.format,
        )
    n_candidates = sum(len(song.edits) for song in manifest.songs)
    checks = sum(task.check is not None for task in manifest.tasks)
    pairs = f"{len(manifest.tasks) - checks} pairs and {checks} obvious checks"
    print(f"{len(manifest.songs)} songs, {n_candidates} candidates, {pairs}")
    print(folder / MANIFEST_NAME)


def export_beats(args: argparse.Namespace) -> None:
    from rlhf_lib.analysis.beat_files import SUFFIXES, write_beats

    if args.format not in SUFFIXES:
        raise InputError(f"--format {args.format!r}: choose one of {', '.join(SUFFIXES)}")
    source, folder = resolve(args.songs_dir), resolve(args.output_dir)
    root = source if source.is_dir() else source.parent
    places = {}
    for song in _songs(args):
        name = song.path.relative_to(root)
        places[folder / name.with_suffix(SUFFIXES[args.format])] = song
    there = [path for path in places if path.exists()]
    if there:
        raise InputError(f"{there[0]} exists; move it away, or give another --output_dir")
    for path, song in places.items():
        write_beats(path, song.beat_times, song.bars, args.format)
        print(path)


def simulate_feedback(args: argparse.Namespace) -> None:
    from rlhf_lib.feedback.manifest import Manifest
    from rlhf_lib.feedback.store import PreferenceStore
    from rlhf_lib.listening.run_rater import run_rater
    from rlhf_lib.listening.session import AnnotationSession
    from rlhf_lib.raters.simulated import SimulatedRater
    from rlhf_lib.steps.candidate_files import load_manifest_songs

    path = resolve(args.manifest)
    manifest = Manifest.load(path)
    rater = SimulatedRater(
        args.rater_id or f"simulated_{args.taste}", args.taste, args.noise, seed=args.seed
    )
    store = PreferenceStore(resolve(args.feedback_dir))
    session = AnnotationSession(
        manifest, store, rater.rater_id, "simulated", args.seed, max_tasks=args.max_tasks
    )
    if session.notice:
        print(session.notice)
    answers = run_rater(session, rater, load_manifest_songs(manifest, path.parent))
    print(f"{len(answers)} answers of the simulated rater {rater.rater_id} in {store.path}")


def serve_study(args: argparse.Namespace) -> None:
    from rlhf_lib.web.running import RunningStudy, study_folder
    from rlhf_lib.web.server import serve

    study = _study(args)
    with only_writer(study_folder(study)):
        running = RunningStudy(study)
        address = f"http://{args.host}:{args.port}"
        print(f"raters:      {address}/")
        print(f"coordinator: {address}/coordinator#{running.keys.coordinator}")
        print("Ctrl-C stops the server; every acknowledged answer is on disk", flush=True)
        serve(running, args.host, args.port)


def study_report(args: argparse.Namespace) -> None:
    from rlhf_lib.paths import atomic_path
    from rlhf_lib.web.exports import DOWNLOADS, download
    from rlhf_lib.web.overview import as_text, overview
    from rlhf_lib.web.running import read_study

    whole = read_study(_study(args))
    print(as_text(overview(*whole)))
    if args.output_dir:
        for name in DOWNLOADS:
            path = resolve(args.output_dir) / name
            with atomic_path(path) as part:
                part.write_bytes(download(name, *whole))
            print(path)


def study_links(args: argparse.Namespace) -> None:
    from urllib.parse import urlencode

    from rlhf_lib.web.keys import Keys
    from rlhf_lib.web.running import study_folder

    keys = Keys(study_folder(_study(args)))
    raters = [name.strip() for name in args.raters.split(",") if name.strip()]
    if not raters:
        raise InputError("--raters names nobody; give ids separated by commas")
    for rater in raters:
        query = urlencode({"rater": rater, "key": keys.of_rater(rater)})
        print(f"{args.address.rstrip('/')}/?{query}")


def simulate_study(args: argparse.Namespace) -> None:
    from rlhf_lib.web.overview import as_text, overview
    from rlhf_lib.web.simulate import BEHAVIOURS, simulate_study

    study = _study(args)
    behaviours = tuple(args.behaviours.split(",")) if args.behaviours else tuple(BEHAVIOURS)
    running = simulate_study(study, args.raters, args.taste, args.noise, args.seed, behaviours)
    print(as_text(overview(*running.parts)))
    print(f"answers of simulated raters in {resolve(study.feedback)}")


def delete_rater(args: argparse.Namespace) -> None:
    from rlhf_lib.web.deletion import delete_rater

    done = delete_rater(_study(args), args.rater_id, resolve(args.models_dir))
    print(
        f"deleted {done.answers} answers, {done.practice_answers} of practice, and "
        f"{'the record' if done.record else 'no record'} of {args.rater_id}"
    )
    for path in done.trained:
        print(f"trained on these answers: {path}")
    for path in done.unknown:
        print(f"perhaps trained on these answers: {path}")
    print("copies and downloads elsewhere are not deleted; models keep what they learned")


def import_feedback(args: argparse.Namespace) -> None:
    from rlhf_lib.feedback.exchange import import_feedback
    from rlhf_lib.feedback.manifest import Manifest
    from rlhf_lib.feedback.store import PreferenceStore

    store = PreferenceStore(resolve(args.feedback))
    manifests = {}
    for manifest in (Manifest.load(resolve(args.manifest)), *store.manifests().values()):
        manifests.setdefault(manifest.manifest_id, manifest)
    result = import_feedback(
        args.file,
        list(manifests.values()),
        args.strict,
        args.rater_id,
        args.rater_kind,
        stored=store.load(),
    )
    for refusal in result.refused:
        print(f"refused {refusal}", file=sys.stderr)
    for name, count in result.left_out.items():
        print(f"left out {quote(name)}, {count} times", file=sys.stderr)
    for name in sorted({annotation.manifest_id for annotation in result.annotations}):
        store.keep_manifest(manifests[name])
    added = store.add(result.annotations)
    known = len(result.annotations) - added
    print(f"{added} answers added, {known} known already, {len(result.refused)} refused")
    print(store.path)


def export_feedback(args: argparse.Namespace) -> None:
    from rlhf_lib.feedback.data_set import export_data_set
    from rlhf_lib.feedback.exchange import export_feedback
    from rlhf_lib.feedback.store import PreferenceStore

    store, output = PreferenceStore(resolve(args.feedback)), resolve(args.output)
    if output.suffix:
        annotations = store.load()
        path = export_feedback(annotations, output)
    else:
        annotations = store.current()
        path = export_data_set(annotations, store.find_manifest, output, args.license)
    print(f"{len(annotations)} answers in {path}")


def export_tasks(args: argparse.Namespace) -> None:
    from rlhf_lib.feedback.label_studio import copy_sounds, write_project
    from rlhf_lib.feedback.manifest import Manifest

    path = resolve(args.manifest)
    manifest = Manifest.load(path)
    copy_sounds(manifest, path.parent, args.output_dir)
    for written in write_project(manifest, args.output_dir, args.audio_url, args.seed):
        print(written)


def check_feedback(args: argparse.Namespace) -> None:
    from rlhf_lib.feedback.quality.report import write_quality_report
    from rlhf_lib.feedback.store import PreferenceStore

    path = write_quality_report(PreferenceStore(resolve(args.feedback)))
    report = json.loads(path.read_text(encoding="utf-8"))
    shown = {name: report[name] for name in ("counts", "balance")}
    print(json.dumps(shown, indent=2, ensure_ascii=False))
    for warning in report["warnings"]:
        print(f"WARNING: {warning['found']}\n  {warning['do']}")
    print(path)
    if args.plot:
        from rlhf_lib.plots import quality, save

        print(save(quality(report), resolve(args.plot)))


def train_from_feedback(args: argparse.Namespace) -> None:
    from rlhf_lib.learning.metrics import library_run
    from rlhf_lib.learning.reward.feedback_pairs import AnswerSelection
    from rlhf_lib.learning.reward.fit import RewardTraining
    from rlhf_lib.steps.checkpoints import load_reward_model
    from rlhf_lib.steps.devices import device_named
    from rlhf_lib.steps.lineage import next_version
    from rlhf_lib.steps.train_reward_model import train_from_feedback

    models = resolve(args.models_dir)
    selection = AnswerSelection(
        args.min_confidence,
        [name for name in args.exclude_raters.split(",") if name],
        args.max_failed_checks,
    )
    parent = needed(args.pretrained)
    name = next_version(load_reward_model(parent)[1]["name"])
    with only_writer(models), library_run(args.log, name) as loggers:
        model, history, held_out = train_from_feedback(
            resolve(args.feedback),
            parent,
            resolve(args.candidates_dir),
            models,
            RewardTraining(epochs=args.epochs, seed=args.seed),
            selection,
            device_named(args.device),
            _print_epoch,
            loggers,
        )
    if any(pair.preference != 0.5 for pair in held_out):
        from rlhf_lib.steps.evaluation import accuracy_table

        print(accuracy_table(model, held_out).round(3).to_string(index=False))
    elif held_out:
        print("every held-out comparison is a tie, so there is no accuracy to report")
    print(f"best epoch {history.best_epoch}; wrote the …_best.pt and …_final.pt in {models}")


def train_rlhf_stable(args: argparse.Namespace) -> None:
    from rlhf_lib.learning.metrics import library_run
    from rlhf_lib.learning.policy.ppo import PPOConfig
    from rlhf_lib.learning.policy.training import PolicyTraining
    from rlhf_lib.steps.checkpoints import load_policy
    from rlhf_lib.steps.devices import device_named
    from rlhf_lib.steps.lineage import next_version
    from rlhf_lib.steps.train_policy import train_rlhf_stable

    device, models = device_named(args.device), resolve(args.models_dir)
    policy = needed(args.policy)
    name = next_version(load_policy(policy)[1]["name"])
    with only_writer(models), library_run(args.log, name) as loggers:
        _, history = train_rlhf_stable(
            needed(args.reward_model),
            policy,
            _songs(args),
            models,
            resolve(args.run_dir) / name,
            PolicyTraining(episodes=args.episodes, seed=args.seed, ppo=PPOConfig(kl_coef=args.kl)),
            device,
            _print_episodes,
            loggers,
        )
    print(f"{history.stopped}; best after {history.best_episode} episodes")
    print(f"wrote {models / name}.pt and policy_final.pt")


def export_model(args: argparse.Namespace) -> None:
    from rlhf_lib.steps.export_model import export_model

    path = needed(args.model)
    folder = resolve(args.output_dir or path.with_name(f"{path.stem}_export"))
    print(export_model(path, folder, args.license))


def evaluate_policies(args: argparse.Namespace) -> None:
    from rlhf_lib.paths import atomic_path
    from rlhf_lib.raters.simulated import SimulatedRater
    from rlhf_lib.steps.checkpoints import load_policy, load_reward_model
    from rlhf_lib.steps.evaluation import compare_policies

    new, about = load_policy(needed(args.new))
    old, old_about = load_policy(needed(args.old))
    reward = load_reward_model(needed(args.reward_model))[0] if args.reward_model else None
    songs = _songs(args)
    seen = {song["sha256"] for song in about["songs"] + old_about["songs"]}
    unseen = [song for song in songs if song.sha256 not in seen]
    if unseen:
        number = "1 song" if len(unseen) == 1 else f"{len(unseen)} songs"
        print(f"judged on {number} that neither policy was trained on")
    else:
        print(f"WARNING: all {len(songs)} songs were trained on; give others for a fair result")
    judge = SimulatedRater("judge", args.taste, args.noise, seed=args.seed)
    table = compare_policies(new, old, unseen or songs, judge, reward, args.seed)
    print(f"{about['name']} against {old_about['name']}, simulated taste {args.taste!r}")
    print(table.round(3).to_string(index=False))
    with atomic_path(resolve(args.output)) as part:
        table.to_csv(part, index=False)
    print(resolve(args.output))


def select_pairs(args: argparse.Namespace) -> None:
    from rlhf_lib.feedback.manifest import Manifest
    from rlhf_lib.steps.candidates import select_tasks
    from rlhf_lib.steps.checkpoints import load_reward_model

    path = resolve(args.manifest)
    model, _ = load_reward_model(needed(args.reward_model))
    chosen, pairs = select_tasks(
        Manifest.load(path),
        path.parent,
        model,
        args.n_pairs,
        args.rule,
        args.random_share,
        args.seed,
    )
    chosen.save(resolve(args.output) if args.output else path.with_name("selected_manifest.json"))
    for one in pairs[pairs["chosen"] > 0].sort_values("chosen").itertuples():
        print(f"{one.disagreement:.3f}  {one.song}: {one.edit_a} against {one.edit_b}")


def demo(args: argparse.Namespace) -> None:
    from rlhf_lib.app.demo import run_demo

    folder = args.run_dir or f"runs/demo_{datetime.now():%Y%m%d_%H%M%S}"
    run_demo(resolve(folder), args.seed, args.profile)


def _study(args: argparse.Namespace):
    """Read the study file; --manifest and --feedback take the place of its fields."""
    from rlhf_lib.web.study import Study

    study = Study.load(resolve(args.study))
    given = {"manifest": args.manifest, "feedback": args.feedback}
    return study.model_copy(update={name: value for name, value in given.items() if value})


def _songs(args: argparse.Namespace, n_songs: int | None = None):
    """Load the songs of a folder, or one song; name what was skipped or is uncertain."""
    from rlhf_lib.analysis.song import load_song, load_songs

    source = resolve(args.songs_dir)
    if source.is_file():
        songs, skipped = [load_song(source, beats=args.beats)], []
    else:
        songs, skipped = load_songs(
            source, n_songs, jobs=args.jobs, scheduler=args.scheduler, beats=args.beats
        )
    for entry in skipped:
        print(f"skipped {entry.path}: {entry.reason}", file=sys.stderr)
    for warning in filter(None, (song.warning for song in songs)):
        print(f"WARNING: {warning}", file=sys.stderr)
    return songs


def _print_epoch(line: dict[str, float]) -> None:
    numbers = (f"{name} {value:.3f}" for name, value in line.items() if name != "epoch")
    print(f"epoch {line['epoch']:3d}  " + "  ".join(numbers), flush=True)


def _print_episodes(row: dict[str, float]) -> None:
    names = ("dense", "learned", "combined", "loss", "kl", "held_out")
    numbers = (f"{name} {row[name]:+.3f}" for name in names)
    print(f"episode {row['episode']:5d}  " + "  ".join(numbers), flush=True)
