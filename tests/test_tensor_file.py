"""Files of PyTorch, read without it: the same values as PyTorch reads, and nothing else."""

import pickle
import subprocess
import sys
import zipfile
from collections import OrderedDict
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import torch

from rlhf_lib.learning.tensor_file import read_tensor_file
from rlhf_lib.paths import BOX

RANDOM = torch.Generator().manual_seed(0)
PLAIN = {
    "none": None,
    "truth": [True, False],
    "text": "ü" * 300,
    "whole": [1, -2, 70_000, 2**40, -(2**70)],
    "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
    "floats": [0.5, float("inf"), -1e-300],
    "nested": {"a": {}, "b": [[], {1: "x"}]},
    "ordered": OrderedDict(a=1, b=2),
}


def same(found, wanted):
    """Compare what was read with what PyTorch reads."""
    if isinstance(wanted, torch.Tensor):
        wanted = wanted.float() if wanted.dtype == torch.bfloat16 else wanted.detach()
        assert isinstance(found, np.ndarray) and found.flags.writeable
        assert found.dtype == wanted.numpy().dtype and found.shape == tuple(wanted.shape)
        np.testing.assert_array_equal(found, wanted.numpy())
    elif isinstance(wanted, dict):
        assert type(found) is type(wanted) and list(found) == list(wanted)
        for key, value in wanted.items():
            same(found[key], value)
    elif isinstance(wanted, list | tuple):
        assert type(found) is type(wanted) and len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            same(one, other)
    else:
        assert type(found) is type(wanted) and found == wanted


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        {
            str(kind): torch.randint(0, 2, (3, 4, 5), generator=RANDOM).to(kind)
            for kind in (torch.bool, torch.uint8, torch.int32, torch.int64)
        },
        {
            str(kind): 1e3 * torch.randn(7, 3, generator=RANDOM, dtype=torch.float64).to(kind)
            for kind in (torch.float16, torch.bfloat16, torch.float32, torch.float64)
        },
        [
            torch.tensor(3.5),
            torch.zeros(0),
            torch.zeros(2, 0, 3),
            torch.ones(1, 1),
            torch.arange(1),
        ],
        torch.nn.Linear(3, 2).state_dict(),
        {"weight": torch.nn.Parameter(torch.ones(2))},
        torch.optim.Adam([torch.zeros(2, requires_grad=True)]).state_dict(),
        torch.Generator().manual_seed(3).get_state(),
        torch.arange(12.0).reshape(3, 4)[1:],  # one storage, from its fifth value on
    ],
    ids=[
        "plain",
        "whole",
        "floats",
        "shapes",
        "module",
        "parameter",
        "optimiser",
        "generator",
        "offset",
    ],
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_the_values_are_those_that_pytorch_reads(tmp_path, content, protocol):
    path = tmp_path / "a.pt"
    torch.save(content, path, pickle_protocol=protocol)
    same(read_tensor_file(path), torch.load(path, weights_only=protocol == 2))


@pytest.mark.parametrize("path", sorted(BOX.glob("*.pt")), ids=lambda path: path.stem)
def test_the_models_of_the_box_are_those_that_pytorch_reads(path):
    same(read_tensor_file(path), torch.load(path, weights_only=True))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (date(2026, 1, 1), "datetime.date"),
        (np.zeros(3), "numpy"),
        (torch.zeros(3, 4).T, "strides"),
        (torch.zeros(4)[::2], "strides"),
        (torch.zeros(1).expand(10**9), "strides|reshape"),
        (torch.zeros(2, dtype=torch.complex64), "ComplexFloatStorage"),
        ({1.5: 2}, "key"),
        ({(1, 2): 3}, "key"),
        (torch.nn.Linear(2, 2), "torch.nn"),
        (torch.eye(3).to_sparse(), "sparse"),
        (b"bytes", "codecs|BINBYTES"),
        (1j, "complex"),
        ({1, 2}, "set"),
    ],
)
def test_what_no_checkpoint_holds_is_refused(tmp_path, content, reason):
    path = tmp_path / "a.pt"
    torch.save(content, path)
    with pytest.raises((ValueError, pickle.UnpicklingError), match=reason):
        read_tensor_file(path)


def with_pickle(path, data: bytes, **members: bytes):
    """Write a file whose pickle is `data`, beside the members that PyTorch writes."""
    members = {"byteorder": b"little", "data.pkl": data, "data/0": b"\0" * 8} | {
        name.replace("__", "/"): value for name, value in members.items()
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, value in members.items():
            archive.writestr(f"archive/{name}", value)


def tensor_pickle(storage: str, count: int, shape: bytes = b"K\x02\x85") -> bytes:
    """Return the pickle of one tensor: offset 0, `shape`, strides (1,)."""
    pid = b"(X\x07\0\0\0storagectorch\n" + storage.encode() + b"\nX\x01\0\0\x000X\x03\0\0\0cpu"
    pid += b"J" + count.to_bytes(4, "little", signed=True) + b"tQ"
    made = b"ctorch._utils\n_rebuild_tensor_v2\n(" + pid + b"K\0" + shape + b"K\x01\x85\x89)tR."
    return b"\x80\x02" + made


def test_pickles_by_hand(tmp_path):
    """The one that PyTorch would write is read; each change of it is refused."""
    path = tmp_path / "a.pt"
    with_pickle(path, tensor_pickle("FloatStorage", 2), data__0=np.float32([1.5, -2]).tobytes())
    same(read_tensor_file(path), torch.tensor([1.5, -2.0]))
    for data, reason in (
        (tensor_pickle("FloatStorage", 3), "2 values where 3 are declared"),
        (tensor_pickle("FloatStorage", 2, b"K\x03\x85"), "reshape"),
        (tensor_pickle("FloatStorage", 2, b"J" + b"\xff" * 4 + b"\x85"), r"shape \(-1,\)"),
        (tensor_pickle("QInt8Storage", 8), "QInt8Storage"),
        (b"\x80\x02cos\nsystem\nX\x02\0\0\0ls\x85R.", "os.system"),
        (b"\x80\x02cbuiltins\neval\n.", "builtins.eval"),
        (b"\x80\x02ctorch\nFloatStorage\n)R.", "torch.FloatStorage in an unknown way"),
        (b"\x80\x02ccollections\nOrderedDict\n}b.", "damaged"),
        (b"\x80\x02)R.", "damaged"),
        (b"\x80\x02)}R.", "no function"),
        (b"\x80\x02N", "STOP"),
        (b"\x80\x02]q\0h\0a.", "hold too much, or each other|within each other"),
        (b"\x80\x02" + b"(" * 50 + b"t" * 50 + b".", "40 containers within each other"),
        (b"\x80\x02)" + b"q\0h\0\x86" * 40 + b".", "hold too much"),
    ):
        with_pickle(path, data)
        with pytest.raises((ValueError, pickle.UnpicklingError), match=reason):
            read_tensor_file(path)
    far = b"\x80\x02}r" + (10**9).to_bytes(4, "little") + b"."
    with_pickle(path, far)
    assert read_tensor_file(path) == {}, "a place far up in the memory takes no memory"
    with_pickle(path, b"\x80\x02N.", byteorder=b"big")
    with pytest.raises(ValueError, match="byte order"):
        read_tensor_file(path)


def test_a_policy_edits_a_song_where_pytorch_is_missing():
    policy = str(BOX / "policy_v14.pt")
    code = f"""if True:
        import sys
        sys.modules["torch"] = None  # an import raises ImportError
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from toy import toy_song
        from rlhf_lib.learning.policy.shorten import sparing_singing
        from rlhf_lib.steps.checkpoints import load_policy
        policy, _ = load_policy({policy!r})
        (edit,) = sparing_singing(policy).edits([toy_song(64)], (0.5,))
        print(round(edit.keep_ratio, 1))"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "0.5", done.stderr


def test_tensors_that_share_their_values_take_the_memory_once(tmp_path):
    values = torch.arange(8.0)
    torch.save([values, values[2:4], values], tmp_path / "a.pt")
    whole, part, again = read_tensor_file(tmp_path / "a.pt")
    assert np.shares_memory(whole, part) and np.shares_memory(whole, again)
    np.testing.assert_array_equal(part, [2.0, 3.0])
