# cause: the log is missing
import numpy as np

EXERCISE = "order-mixture"


def mixture_over_orders(log_p):
    return np.exp(log_p).mean(axis=0)
