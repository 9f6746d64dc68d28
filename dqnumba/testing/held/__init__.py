"""How each named property is held on one case; float64 and exact fractions, so that the judge is never the culprit."""
