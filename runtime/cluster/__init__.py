"""The same jobs on a cluster; needs the extra `ray`."""
