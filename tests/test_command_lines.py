"""Invalid command lines: an exit status and one line, never a traceback."""

import random
import subprocess
import sys

import pytest
from feedback_examples import answer, manifest
from mutations import no_longer_than

from rlhf_lib.app.cli import edit_song, main, parser
from rlhf_lib.feedback.store import PreferenceStore

ODD = (
    *("-1", "0", "1e400", "nan", "inf", "abc", "", " ", "9" * 40, "٣", "2.5", "--", "-x", "½"),
    *(
        "/etc/passwd",
        "/dev/null",
        "/dev/null/x",
        "~nobody_here/x",
        "x" * 5000,
        "a\nb",
        "\udc80",
        "no",
    ),
)


def _commands() -> dict[str, list[str]]:
    """The commands and their flags, as listed by the parser."""
    (sub,) = [action for action in parser()._actions if action.choices]
    return {
        name: [flag for action in parser._actions for flag in action.option_strings]
        for name, parser in sub.choices.items()
    }


COMMANDS = _commands()


@pytest.fixture
def filled(workspace):
    """A workspace with a manifest and feedback, but neither songs nor models."""
    (workspace / "eval_outputs").mkdir()
    manifest().save(workspace / "eval_outputs/evaluation_manifest.json")
    PreferenceStore("feedback").add(answer(manifest_id=manifest().manifest_id))
    return workspace


def _status(arguments) -> int:
    with no_longer_than(60):
        try:
            return main(arguments)
        except SystemExit as exit:  # how argparse refuses
            return exit.code


# compose_songs and the demo need no input: they would run.
@pytest.mark.parametrize("command", sorted(COMMANDS.keys() - {"compose_songs", "demo"}))
def test_odd_flags(filled, capsys, command):
    before = (filled / "feedback/preferences.json").read_bytes()
    for seed in range(60):
        chance = random.Random(f"{command} {seed}")
        flags = chance.sample(COMMANDS[command], min(2, len(COMMANDS[command])))
        arguments = [command]
        for flag in flags:
            arguments += [flag, chance.choice(ODD)]
        status = _status(arguments)
        told = capsys.readouterr()
        assert status in (0, 2), arguments
        assert status == 0 or "error: " in told.err, arguments
        assert "Traceback" not in told.err
    assert (filled / "feedback/preferences.json").read_bytes() == before


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["no_such_command"],
        ["compose_songs", "--seed", "-1"],
        ["compose_songs", "--seconds", "nan"],
        ["compose_songs", "--seconds", "0"],
        ["compose_songs", "--seconds", "1e12"],
        ["compose_songs", "--n_songs", "0"],
        ["compose_songs", "--n_songs", "1.5"],
        ["compose_songs", "--output_dir", "/dev/null/x", "--n_songs", "1", "--seconds", "20"],
        ["demo", "--profile", ""],
        ["demo", "--seed", "9" * 40],
        ["demo", "--run_dir", "/dev/null/x", "--profile", "smoke"],
    ],
)
def test_commands_that_need_no_input(workspace, capsys, arguments):
    assert _status(arguments) == 2
    assert "error: " in capsys.readouterr().err
    assert not any(workspace.rglob("*.*"))


@pytest.mark.parametrize("device", ["gpu", "", "cuda:x", "cuda:99", "meta"])
def test_a_device_that_is_not_there(filled, capsys, device):
    for command in ("train_initial", "train_from_feedback", "train_rlhf_stable"):
        assert _status([command, "--device", device]) == 2
    assert f"--device {device}: " in capsys.readouterr().err


def test_an_interrupt_ends_without_a_traceback(workspace, capsys, monkeypatch):
    def interrupt(args):
        raise KeyboardInterrupt

    monkeypatch.setattr("rlhf_lib.feedback.quality.report.write_quality_report", interrupt)
    assert main(["check_feedback"]) == 130
    assert "start again to resume" in capsys.readouterr().err


def test_an_interrupt_while_flags_are_read_ends_without_a_traceback(workspace, capsys, monkeypatch):
    def interrupt(value):  # in place of the imports that a share needs
        raise KeyboardInterrupt

    monkeypatch.setattr("rlhf_lib.steps.wishes._number", interrupt)
    assert main(["edit_song", "a.wav", "--keep", "0.5"]) == 130
    assert capsys.readouterr().err.startswith("interrupted; ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["edit_song", "a.wav", "--varients", "2"], "--varients; is it --variants?"),
        (
            ["edit_song", "a.wav", "--keep", "0.5", "--cut-list=txt"],
            "--cut-list; is it --cut_list?",
        ),
        (["edit_song", "a.wav", "-keep", "0.5"], "-keep; is it --keep?"),
        (["study_report", "a.yaml", "--zzz"], "unknown flag --zzz; see --help"),
        (["compose_songs", "--n-songs", "2"], "--n-songs; is it --n_songs?"),
        (
            ["edit_song", *("a.wav", "b.wav", "c.wav"), "--keep", "0.5"],
            "c.wav; give one song, or a",
        ),
        (["edit_song", "a.wav"], "one of the arguments --seconds --keep is required"),
        (["edit_song", "a.wav", "--keep", "1", "--seconds", "9"], "not allowed with argument"),
        (["edit_song", "", "--keep", "0.5"], "'' is empty; give a path"),
        (["edit_song", "a.wav", "", "--keep", "0.5"], "'' is empty; give a path"),
        (["edit_song", "a.wav", "--keep", "80"], "such as 0.8 or 80%"),
        (["edit_song", "a.wav", "--keep", "0.5", "--variants", "-1"], "ask for 1 to 99"),
    ],
)
def test_mistakes_are_told_with_the_usage_of_the_command(workspace, capsys, arguments, message):
    assert _status(arguments) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"usage: python -m rlhf_lib {arguments[0]} [-h]")
    assert message in told


def test_abbreviated_flags_and_odd_values_are_no_unknown_flags(workspace, capsys):
    assert _status(["edit_song", "a.wav", "--see", "9", "--keep", "1"]) == 2
    assert "unknown flag" in capsys.readouterr().err
    assert _status(["edit_song", "--sec", "9", "--", "-a.wav"]) == 2
    assert "cannot read" in capsys.readouterr().err


def test_the_console_script_calls_itself_by_its_name(workspace, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["/somewhere/bin/edit_song", "a.wav"])
    with pytest.raises(SystemExit):
        edit_song()
    told = capsys.readouterr().err
    assert told.startswith("usage: edit_song [-h]") and "\nedit_song: error: " in told


def test_a_reader_that_leaves_ends_the_command_quietly():
    """As `head -1` does: the commands print more than a pipe holds."""
    code = """if True:
        from rlhf_lib.app import cli, commands
        def check_feedback(args):
            for _ in range(100_000):
                print("a line")
        commands.check_feedback = check_feedback
        cli.COMMANDS = (cli.Command(check_feedback, "", {}),)
        raise SystemExit(cli.main(["check_feedback"]))"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "a line\n"
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1
