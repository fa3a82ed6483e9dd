"""The learning laboratory: what the product's defaults are chosen by. Run ``learning.py``."""
