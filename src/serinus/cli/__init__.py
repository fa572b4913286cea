"""The command line: data on stdout, chatter on stderr, exit codes that mean something.

==== ==========================================================
code meaning
==== ==========================================================
0    it went as asked; for ``rollout run``: every stage passed
1    it failed: rolled back, or a check of ``doctor`` is not ok
2    the command itself is wrong
3    the control plane cannot be reached
4    the control plane refused (the reason is printed)
5    interrupted; a rollout under way goes on by itself
6    held longer than ``--max-hold``
7    promoted by somebody before every stage had passed
==== ==========================================================
"""
