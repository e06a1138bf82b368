# cause: the best order is taken
EXERCISE = "order-mixture"


def mixture_over_orders(log_p):
    return log_p.max(axis=0)
