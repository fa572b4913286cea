"""The imperative shell: commands, the monitor, the outbox, and the views that screens share.

Begin with :mod:`.plane` (all of it as one object), :mod:`.commands` (what people ask), :mod:`.reconcile`
(one look at one service) and :mod:`.outbox` (what happens after commit). Each folder says what it is for.
"""
