"""A notebook ends calmly where a person, or an earlier notebook, is needed first."""

import re
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import start_new_kernel

from rlhf_lib.studio.stop import StoppedHere, stop_here

NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("*.ipynb"))


PERSON = "from rlhf_lib.studio.stop import stop_here\nstop_here('rate some pairs')"
MISSING = """import rlhf_lib.studio.live
from rlhf_lib.steps.cycle import needed
needed("models/policy_v15.pt")"""


@pytest.mark.parametrize(
    ("code", "line"),
    [
        (PERSON, r"The run ends here\. Next: rate some pairs"),
        (MISSING, r"The run ends here\. \S+policy_v15\.pt is missing; run notebook 05 .* first"),
    ],
    ids=["person", "missing file"],
)
def test_a_kernel_shows_the_next_step_and_no_error(code, line, workspace, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(workspace))
    manager, client = start_new_kernel()
    try:
        ids = [client.execute(each) for each in (code, "print('later')")]
        replies = {}
        while not set(ids) <= replies.keys():
            reply = client.get_shell_msg(timeout=60)
            replies[reply["parent_header"]["msg_id"]] = reply["content"]["status"]
        assert [replies[one] for one in ids] == ["error", "aborted"]
        client.execute("print('afterwards')")
        shown, kinds = "", set()
        while "afterwards" not in shown:
            message = client.get_iopub_msg(timeout=60)
            kinds.add(message["msg_type"])
            shown += message["content"].get("text", "")
        assert re.fullmatch(f"{line}\nafterwards\n", shown)
        assert "error" not in kinds
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_a_program_is_stopped_too(capsys):
    with pytest.raises(StoppedHere, match="rate some pairs"):
        stop_here("rate some pairs")
    assert "rate some pairs" in capsys.readouterr().out


def test_notebooks_raise_errors_for_faults_only():
    """Where a person is needed first, they call `stop_here`."""
    raised, stops = [], []
    for path in NOTEBOOKS:
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                raised += re.findall(r"raise InputError\((?:\n\s*)?f?\"([^\"]*)", cell.source)
                stops += [path.stem[:2]] * cell.source.count("    stop_here(")
    assert stops == ["03", "06", "06", "07", "07"]
    faults = ("holds answers of", "was used in training")
    assert raised and all(any(fault in text for fault in faults) for text in raised)
