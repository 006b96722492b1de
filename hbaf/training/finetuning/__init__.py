"""Text and speech encoders, fine-tuned on train."""
