"""What MLflow keeps beside models: comparisons, fine-tunings, monitoring, uses of test splits, validations."""
