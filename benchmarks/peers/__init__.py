"""The same models in other frameworks: peers to measure against."""
