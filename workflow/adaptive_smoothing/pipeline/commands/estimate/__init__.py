"""What figures will cost before they are made: from past runs, else from a few steps on this machine."""
