"""`edgesync bench`: load generators and measurements, beside a known baseline."""
