"""What instances use of their hosts, measured: `measuring` writes samples, `rollup` sums them up, `reading` tells it."""
