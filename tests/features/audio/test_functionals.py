"""openSMILE's numbers come through unchanged."""

import numpy as np
import pytest

from hbaf.features.audio.functionals import SETS, Functionals
from tests.features.conftest import tone


@pytest.mark.parametrize("name", SETS)
def test_values_are_those_of_bare_opensmile(name: str) -> None:
    import opensmile

    smile = opensmile.Smile(feature_set=opensmile.FeatureSet[SETS[name][0]])
    signals = [tone(120, 0.4), np.concatenate([tone(240, 0.3), np.zeros(4000, np.float32), tone(200, 0.2)])]
    bare = np.concatenate([smile.process_signal(signal, 16_000).to_numpy() for signal in signals])
    np.testing.assert_array_equal(Functionals(name).extract(signals), bare)


@pytest.mark.parametrize("name", SETS)
def test_the_shortest_that_opensmile_takes_is_the_shortest_that_we_take(name: str) -> None:
    signal = tone(120, 0.06)
    assert len(signal) == 960
    assert np.isfinite(Functionals(name).extract([signal])).all()
    assert np.isnan(Functionals(name).extract([signal[:-1]])).all()
