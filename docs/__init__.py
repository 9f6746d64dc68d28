"""The guide: pages, the runner of their blocks (``python -m docs.run``), the site (``python -m docs.build``)."""
