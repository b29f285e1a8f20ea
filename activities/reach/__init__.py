"""Ways to databases and buckets that several stores share."""
