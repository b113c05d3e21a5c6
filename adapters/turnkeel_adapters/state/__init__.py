"""What does the host itself remember? `turnkeel.db`, one module per table family."""
