"""The lineage of packages: trees, their export, and the index behind them."""
