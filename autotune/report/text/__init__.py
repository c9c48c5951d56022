"""Summaries in lines of text, and how numbers, times and places read in them."""
