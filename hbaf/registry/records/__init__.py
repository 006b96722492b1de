"""What MLflow keeps beside models: comparisons, fine-tunings, monitoring, test looks, validations."""
