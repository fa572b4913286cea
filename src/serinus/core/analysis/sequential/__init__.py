"""The sequential judge: one error budget for a whole rollout, however often one looks.

:mod:`.judge` is the way in. It feeds closed windows to the methods beside it, one a file:
:mod:`.errors` and :mod:`.latency` turn a window into log likelihood ratios, :mod:`.dispersion` says
how much of an error is news, :mod:`.capital` bets on them, :mod:`.estimate` gives sizes and
always-valid intervals, :mod:`.means` compares gauges, :mod:`.ratio` watches the split itself.
"""
