"""The built-in tasks: real data that installs with a package, and no download."""
