"""The small corpus, its features and its MLflow database are those of tests/registry."""

from tests.registry.conftest import home, prepared

__all__ = ["home", "prepared"]  # fixtures
