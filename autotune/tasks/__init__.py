"""The built-in tasks: data that installs with a package, is on every machine or is made, and no download."""
