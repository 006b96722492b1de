"""A comparison for people: tables, figures, findings and pages."""
