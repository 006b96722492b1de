"""openSMILE's numbers come through unchanged."""

import numpy as np

from hbaf.features.compare2016 import Compare2016

from .conftest import tone


def test_values_are_those_of_bare_opensmile() -> None:
    import opensmile

    smile = opensmile.Smile(feature_set=opensmile.FeatureSet.ComParE_2016)
    signals = [tone(120, 0.4), np.concatenate([tone(240, 0.3), np.zeros(4000, np.float32), tone(200, 0.2)])]
    bare = np.concatenate([smile.process_signal(signal, 16_000).to_numpy() for signal in signals])
    np.testing.assert_array_equal(Compare2016().extract(signals), bare)


def test_the_shortest_that_opensmile_takes_is_the_shortest_that_we_take() -> None:
    signal = tone(120, 0.06)
    assert len(signal) == 960
    assert np.isfinite(Compare2016().extract([signal])).all()
    assert np.isnan(Compare2016().extract([signal[:-1]])).all()
