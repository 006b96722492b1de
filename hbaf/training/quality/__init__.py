"""How good a model is: calibration, slices, floors, missing modalities, the gate split, figures."""
