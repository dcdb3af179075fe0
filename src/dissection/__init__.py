"""Dissection of deep networks: units, concepts, interventions and rewriting, reproduced."""
