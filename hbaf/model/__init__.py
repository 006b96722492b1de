"""The paper, one term per file; torch only."""
