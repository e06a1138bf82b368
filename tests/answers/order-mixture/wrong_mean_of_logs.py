# cause: the logs are averaged
import numpy as np

EXERCISE = "order-mixture"


def mixture_over_orders(log_p):
    return np.mean(log_p, axis=0)
