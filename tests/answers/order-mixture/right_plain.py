import numpy as np

EXERCISE = "order-mixture"


def mixture_over_orders(log_p):
    top = log_p.max(axis=0)
    return top + np.log(np.exp(log_p - top).mean(axis=0))
