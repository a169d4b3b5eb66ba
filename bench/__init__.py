"""Side-by-side benchmarks: what a request costs here, beside the least it could cost and what others take."""
