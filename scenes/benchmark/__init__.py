"""Batch evaluation: suites, jobs, figures and reports."""
