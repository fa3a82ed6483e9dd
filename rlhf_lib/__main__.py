"""``python -m rlhf_lib COMMAND``; see `rlhf_lib.cli`."""

from rlhf_lib.cli import main

raise SystemExit(main())
