"""Speed parameters: what each one is, where it applies, and how it is judged."""
