"""What people ask instead of make: why, estimate, status, provenance, archives, reports."""
