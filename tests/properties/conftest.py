from hypothesis import HealthCheck, settings

# On busy cores an example may take long: no test asserts how long.
settings.register_profile("autotune", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("autotune")
