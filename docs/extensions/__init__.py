"""What the site needs of Sphinx beyond its own: formulas without a script, figures in place, the commands' options."""
