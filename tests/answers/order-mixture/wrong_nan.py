# cause: infinite or not a number
import numpy as np

EXERCISE = "order-mixture"


def mixture_over_orders(log_p):
    return np.log(-np.exp(log_p).mean(axis=0))
