"""How fast scenes are drawn: 300 images a second on one core at 64 px, labels included, is the aim."""

import pytest

from dissection.data.scenes import DOMAINS, draw


@pytest.mark.parametrize("size", [64, 128])
def test_images_of_every_domain(benchmark, size):
    keys = [(domain, 1, index, size) for index in range(10) for domain in DOMAINS]

    def all_of_them():
        for key in keys:
            draw(*key)

    benchmark.pedantic(all_of_them, rounds=5, warmup_rounds=1)
    benchmark.extra_info["images a second"] = round(len(keys) / benchmark.stats.stats.median)
