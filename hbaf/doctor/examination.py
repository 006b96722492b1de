"""Every check, in the order in which one would mend things."""

from collections.abc import Callable, Iterable
from functools import partial

from hbaf.doctor import environment, gpu, home, prefect_server, stores, versions, weights
from hbaf.doctor.finding import Finding, bad
from hbaf.home import prepare_environment, without_passwords
from hbaf.parameters import FeatureParameters

Check = Callable[[], Iterable[Finding]]


def examine(features: FeatureParameters | None = None) -> list[Finding]:
    """Checks everything; a check that fails is a finding and ends none of the others.

    Args:
        features: whose weights are looked for; default: the recipe `demo`'s.
    """
    findings = _checked("home", home.look)
    checks: dict[str, Check] = {"versions": versions.look, "environment": environment.look, "gpu": gpu.look}
    if not any(finding.verdict == "bad" and finding.subject == "home" for finding in findings):
        prepare_environment()
        checks |= {
            "weights": partial(weights.look, features or FeatureParameters()),
            "prefect": prefect_server.look,
            "mlflow": stores.look_at_mlflow,
            "search storage": stores.look_at_studies,
        }
    for name, check in checks.items():
        findings += _checked(name, check)
    return findings + _checked("licences", weights.licences)


def _checked(name: str, check: Check) -> list[Finding]:
    try:
        return list(check())
    except Exception as error:  # the doctor itself must not need a doctor
        message = without_passwords(f"could not be checked: {type(error).__name__}: {error}")
        return [bad(name, message, "mend what the message names, then run `hbaf doctor` again")]
