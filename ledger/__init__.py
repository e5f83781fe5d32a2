"""What the log is: keys, codec, events, DAG, block stores, exchange, gateway."""
