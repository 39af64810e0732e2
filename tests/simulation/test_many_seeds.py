"""The lane protocol under thousands of seeds of faults, played beside all other tests."""

import pytest


@pytest.mark.timeout(1_800)
def test_no_seed_loses_or_repeats_anything(played: tuple[int, str]) -> None:
    """Whatever a seed does to workers, bus and store: every record comes to its one end."""
    code, said = played
    print(said)
    assert code == 0, said
