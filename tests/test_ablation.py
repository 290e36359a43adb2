"""Rows of an ablation are compared clip by clip, and chance is told from effect."""

import numpy as np

from lipglance.ablation import METRICS, differences


def row(name, r, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    level = np.random.default_rng(9).normal(0, 0.3, 30)
    clips = []
    for k in range(30):
        values = dict.fromkeys(METRICS, 1.0)
        values["aperture_r"] = r + level[k] + rng.normal(0, noise)
        clips.append({"key": str(k), "corpus": "grid", "values": values})
    return {"name": f"runs/models/{name}", "clips": clips}


def test_an_effect_is_marked_and_chance_is_not():
    rows = [
        row("e", 0.7),
        row("e-again", 0.705, 0.01, 1),
        row("e-without-it", 0.6, 0.01, 2),
        row("e-without-this", 0.703, 0.02, 3),
        row("real", 1.0),
    ]
    # A clip that failed in one row counts in none.
    rows[2]["clips"][0] = {"key": "0", "corpus": "grid", "error": "no face"}
    table = differences({"rows": rows})
    lines = {line.split(" | ")[0].strip("| "): line for line in table.splitlines() if "|" in line}
    assert "**-0.10 ± 0.00**" in lines["e-without-it"]
    assert "**" not in lines["e-without-this"]
    assert "**" not in lines["e-again"]
    assert "real" not in lines
    assert list(lines).index("e-again") < list(lines).index("e-without-it")


def test_without_a_full_model_there_is_nothing_to_say():
    assert differences({"rows": [row("glance", 0.7)]}) == ""
