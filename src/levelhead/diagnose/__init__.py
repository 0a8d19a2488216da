"""What RL did to a model, beyond accuracy: each measure with what chance alone would show.

Each file is one question: `sharpening`, `formats`, `difficulty`, `updates`, `truth`. Each has pure
functions on arrays, texts or tensors, a result, and a `Section` that the command line prints and the
report shows.
"""
