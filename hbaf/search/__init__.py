"""Search of settings: one Optuna study, any number of workers, a candidate."""
