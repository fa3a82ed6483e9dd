"""The learning laboratory: experiments behind the defaults. Run ``learning.py``."""
