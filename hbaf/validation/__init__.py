"""Rules that a corpus must keep; great_expectations lives here and nowhere else."""

from hbaf.validation.accepted import accept
from hbaf.validation.report import RuleResult, ValidationFailed, ValidationResult
from hbaf.validation.suite import validate

__all__ = ["RuleResult", "ValidationFailed", "ValidationResult", "accept", "validate"]
