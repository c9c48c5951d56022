"""A study's report: sections of plain blocks, which become a page, Markdown or JSON."""
