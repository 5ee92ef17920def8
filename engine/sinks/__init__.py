"""What was decided goes out: `/metrics`, Alertmanager, remote write."""
