"""A scale's report: one text, as Markdown and as HTML that needs no network."""
