"""Working: which tasks a worker may run, and the loop that claims, runs, renews and settles them."""
