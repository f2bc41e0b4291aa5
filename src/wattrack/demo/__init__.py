"""The embedded default: generated arithmetic word problems and four tiny models trained on them."""
