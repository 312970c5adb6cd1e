"""Tasks: what else the encoder answers. Declared in YAML, fitted, judged and served by this one package."""
