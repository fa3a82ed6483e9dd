import sys

if "IPython" in sys.modules:  # in a notebook
    from rlhf_lib.studio.stop import end_calmly

    end_calmly()
