"""Options, laid out as GROUP/NAME.yaml."""
