"""``python -m rlhf_lib COMMAND``; see `rlhf_lib.app.cli`."""

from rlhf_lib.app.cli import main

raise SystemExit(main())
