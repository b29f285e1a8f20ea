"""Evaluation of agents: the cases beside a process, tried again and again, and compared with what was accepted."""
