"""Runs, metrics and models; mlflow lives here and nowhere else."""
