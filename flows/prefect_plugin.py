"""`prefect deployment run train-hbaf`: a deployment by its own name, where Prefect wants `<flow>/<deployment>`.

Prefect loads this inside the checkout alone (`[tool.prefect.plugins]` in pyproject.toml), and it acts on the `prefect`
command alone, in the versions that it was tested with. Everywhere else the full name works: `train-hbaf/train-hbaf`.
Nobody else replaces or reaches into what Prefect does not document.
"""

import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect.plugins import register_hook

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.plugins import HookContext

SEEN_IN = "3.8.8"
TESTED = "3.8."  # in another version the command behaves as without this plugin, and wants the full name


@register_hook
def setup_environment(*, ctx: "HookContext") -> None:
    """Called by Prefect when it is imported."""
    if Path(sys.argv[0]).stem == "prefect" and ctx.prefect_version.startswith(TESTED):
        accept_short_names()


def accept_short_names() -> None:
    """Makes the client look up a name without a slash among all deployments; full names go the usual way."""
    from prefect.client.orchestration import PrefectClient

    by_full_name = PrefectClient.read_deployment_by_name

    @functools.wraps(by_full_name)
    async def read_deployment_by_name(self: "PrefectClient", name: str) -> Any:
        return await by_full_name(self, name if "/" in name else await full_name(self, name))

    # The one place where Prefect looks a name up.
    PrefectClient.read_deployment_by_name = read_deployment_by_name  # type: ignore[method-assign, assignment]


async def full_name(client: "PrefectClient", name: str) -> str:
    """`<flow>/<deployment>` of the only deployment with this name.

    Raises:
        SystemExit: there is none, or there are several.
    """
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName

    found = await client.read_deployments(deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=[name])))
    names = sorted([f"{(await client.read_flow(deployment.flow_id)).name}/{name}" for deployment in found])
    if len(names) == 1:
        return names[0]
    if names:
        raise SystemExit(f"{name}: there are several deployments of this name; say which: {', '.join(names)}")
    raise SystemExit(
        f"{name}: no deployment of this name. `prefect deployment ls` lists them; `make deploy` makes them."
    )
