"""The study spec: a YAML file becomes one frozen, validated object."""
