"""The rows of chapter 6 and appendix B: generators rewritten.

What is computed lies in results/<profile>/edits/<row>.
"""

from collections.abc import Callable
from pathlib import Path

from dissection import paths
from dissection.config import Config, rewritings
from dissection.report import Row, section
from dissection.report.chapter3 import used_by


def inputs_of(row: str) -> Callable[[Config], dict[str, Path]]:
    return lambda config: {row: paths.edits(config.profile, row)}


def uses_of(row: str, *judges: str) -> Callable[[Config], tuple[list[str], list[str]]]:
    """Datasets and networks: the row's own, of its segmenter, and those of `judging` by these names."""

    def uses(config: Config) -> tuple[list[str], list[str]]:
        datasets, networks = used_by(row)(config)
        segmenter = section(config, row).segmenter
        if segmenter:
            networks.append(config.segmenters[segmenter].network)
        found = [getattr(config.judging, judge) for judge in judges] if config.judging else []
        return datasets, list(
            dict.fromkeys([*networks, *(judge.network for judge in found if judge)])
        )

    return uses


def labels_of(row: str) -> Callable[[Config], list[str]]:
    """Assets that the row needs beside those of its networks."""

    def labels(config: Config) -> list[str]:
        spec = section(config, row)
        found = [config.segmenters[spec.segmenter].labels] if spec.segmenter else []
        return found + [edit.session for _, edit in rewritings(spec) if edit.session]

    return labels


ROWS: tuple[Row, ...] = ()
