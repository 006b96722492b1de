"""What is wrong with this installation, and the fix: one file per thing that is looked at."""

from hbaf.doctor.examination import examine
from hbaf.doctor.finding import Finding

__all__ = ["Finding", "examine"]
