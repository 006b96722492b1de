"""Scaling and selection of numbers, fitted on train, and the columns that it leaves."""
