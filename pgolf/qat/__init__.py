"""Training-time devices that make the rounding after training cheaper."""
