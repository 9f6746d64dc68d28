"""Accuracy: cells of data set x model x method x bits over seeds or folds, beside the published numbers."""
