"""The paper's claims, judged from the figures' tables."""
