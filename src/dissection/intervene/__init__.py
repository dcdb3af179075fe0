"""Units and what depends on them: removed one by one or together, attacked, taken as detectors."""
