"""The host: a loop and an executor around the decisions of turnkeel_core."""
