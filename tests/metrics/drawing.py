"""Masks drawn by hand."""

import numpy as np


def drawn(text):
    return np.array([[c == "#" for c in line.strip()] for line in text.strip().splitlines()])


REFERENCE = drawn("""
    ......
    .###..
    .###..
    ......
""")
PREDICTION = drawn("""
    ......
    ..###.
    ..###.
    ......
""")
EMPTY = np.zeros((4, 6), bool)
