"""A local AWS IoT Core for tests, demos and benches: ministack plus what it lacks."""
