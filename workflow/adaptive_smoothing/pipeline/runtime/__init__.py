"""How a rule's script runs: in a fork of a process that has imported torch already, on GPUs of its own."""
