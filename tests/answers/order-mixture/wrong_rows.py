# cause: divided by N, the number of rows
import numpy as np

EXERCISE = "order-mixture"


def mixture_over_orders(log_p):
    return np.logaddexp.reduce(log_p, axis=0) - np.log(log_p.shape[-1])
