"""The first sentence of prose in READMEs and in plain descriptions."""

import pytest
from quilt_packager_runtime.formats.prose import first_sentence

NF_CORE = """<h1>
  <picture>
    <source media="(prefers-color-scheme: dark)" srcset="docs/images/nf-core-x_logo_dark.png">
    <img alt="nf-core/x" src="docs/images/nf-core-x_logo_light.png">
  </picture>
</h1>

[![CI](https://github.com/nf-core/x/badge.svg)](https://github.com/nf-core/x/actions)
[![Cite][doi-badge]][doi]

[doi]: https://doi.org/10.5281/zenodo.1

## Introduction

**nf-core/x** is a [pipeline](https://nf-co.re) for `RNA` &amp; DNA. It is fast.
"""


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (NF_CORE, "nf-core/x is a pipeline for RNA & DNA."),
        ("Plate 42", "Plate 42"),
        ("One line\n  and another. More.", "One line and another."),
        ("Growth of E. coli, e.g. MG1655, by Doe et al. At 37 C.", None),
        ("Values of p < 0.05 and q > 0.1. More.", "Values of p < 0.05 and q > 0.1."),
        ("Version 1.2 of x.y is out! Try it.", "Version 1.2 of x.y is out!"),
        ("実験です。次", "実験です。"),
        ("Title\n=====\nA sentence.", "A sentence."),
        ("<p>Results of <b>run</b> 42.</p><p>More</p>", "Results of run 42."),
        ("- a list\n- of things\n\n| a | b |\n|---|---|\n\nA sentence.", "A sentence."),
        ("```\nmake all\n```\nA sentence.", "A sentence."),
        ("<!-- Draft. -->\nA sentence.", "A sentence."),
        ("# Title\n\n---\n\n42", ""),
        ("", ""),
    ],
)
def test_the_first_sentence_of_prose_is_found(text: str, sentence: str | None) -> None:
    assert first_sentence(text) == (text if sentence is None else sentence)
