"""What Stripe's objects look like, in the layout since 2025-03-31.basil."""
