"""The page: runs and traces, comparisons of runs, a playground, and the export of one story as a file."""
