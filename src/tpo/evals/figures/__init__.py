"""The paper's figures from any run, and the page that holds them (arXiv 2501.12895): `tpo report`."""
