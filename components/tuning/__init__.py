"""Hyperparameter search: an Optuna study over the shop's own training, judged on the validation part."""
