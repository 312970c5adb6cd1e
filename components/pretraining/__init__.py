"""Self-supervised pretraining on the shop's own training-side text; its ranks are started like training's."""
