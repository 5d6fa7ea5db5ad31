"""Figures: each file draws one. `class Options(Strict)`, `data(frame, description)` and `draw(data, description)`."""
