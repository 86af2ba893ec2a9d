"""Whole datasets: queries in, aligned answers out."""
