# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True, embedsignature=False
"""The compiled twins: what NumPy does badly, in C.

Every function here has the name, the arguments and the results of a function in NumPy, which is its
definition (see twins.py). This file only takes arrays apart and makes the results; the loops stand
in the headers _kernels_*.h, of which _kernels_levels.h is the first to read.

Arrays must be C-contiguous and share one dtype, float32 or float64; nothing else is checked.
"""

import os

import numpy as np

from cpython.buffer cimport PyBuffer_FillInfo
from libc.stdlib cimport free, malloc
from libc.string cimport memset

cdef extern from "_kernels_levels.h" nogil:
    int num_threads, level, HAS_THREADS, MAX_THREADS, SIGMOID, RELU, TANH, LINEAR
    const char *PYARSIMPLE_SOURCE_HASH
    const char *PYARSIMPLE_CFLAGS
    const char *compiler_name()
    const char **level_names
    int best_level()
    int LEAST_BYTES
    void *memory_get(size_t bytes)
    void memory_put(void *p)

    struct nade:
        Py_ssize_t N, D, H, n_features, n_outputs
        const Py_ssize_t *features
        const Py_ssize_t *outputs
        int hidden
        const Py_ssize_t *order
        const void *x
        const void *W
        const void *c
        const void *V
        const void *b
        const void *keep
        const void *d_logits
        void *logits
        void *dW
        void *dc
        void *dV
        void *db
        Py_ssize_t n_known
        const double *uniforms
        void *samples

    struct made:
        Py_ssize_t N, D
        int n_layers
        int hidden
        const Py_ssize_t *order
        const Py_ssize_t *H
        const Py_ssize_t **degrees
        const void **W
        const void **c
        const void *V
        const void *b
        int n_links
        const void **links
        Py_ssize_t n_known
        const double *uniforms
        void *samples

    struct masked:
        Py_ssize_t N, n_sources, n_targets
        const Py_ssize_t *sources
        const Py_ssize_t *targets
        int transposed
        const void *a
        const void *b
        int hidden
        const void *bias
        const void *h
        const void *keep
        void *totals
        int add
        void *out

    struct kernels:
        void (*exponential)(Py_ssize_t, const void *, void *) noexcept nogil
        void (*bernoulli_log_p)(Py_ssize_t, const void *, const void *, void *) noexcept nogil
        void (*bernoulli_d_logits)(Py_ssize_t, const void *, const void *, double,
                                   void *) noexcept nogil
        void (*adam_update)(Py_ssize_t, void *, const void *, void *, void *,
                            double, double, double, double, double) noexcept nogil
        void (*average_update)(Py_ssize_t, void *, const void *, double) noexcept nogil
        int (*nade_logits)(const nade *) noexcept nogil
        int (*nade_backward)(const nade *) noexcept nogil
        int (*nade_sample)(const nade *) noexcept nogil
        int (*made_sample)(const made *) noexcept nogil
        int (*masked_forward)(const masked *) noexcept nogil
        int (*masked_backward)(const masked *) noexcept nogil
        int (*masked_outer)(const masked *) noexcept nogil

    const kernels *kernels_for(int is_double)

ctypedef fused real:
    float
    double


# What the kernels are and how they run.

SOURCE_HASH = PYARSIMPLE_SOURCE_HASH.decode()
CFLAGS = PYARSIMPLE_CFLAGS.decode()
COMPILER = compiler_name().decode()


def set_num_threads(n):
    """Let the kernels use n threads, the caller among them."""
    global num_threads
    num_threads = max(1, min(n, MAX_THREADS))


def has_threads():
    """Whether the kernels can use more than one thread."""
    return bool(HAS_THREADS)


def simd_levels():
    """The SIMD levels that can run here, from the lowest to the highest."""
    return [level_names[k].decode() for k in range(best_level() + 1)]


def simd_level():
    """The SIMD level that runs."""
    return level_names[level].decode()


def set_simd_level(name):
    """Choose the SIMD level, one of simd_levels()."""
    global level
    levels = simd_levels()
    if name not in levels:
        raise ValueError(f"SIMD level must be one of {', '.join(levels)} here, got {name!r}")
    level = levels.index(name)


set_simd_level(os.environ.get("PYARSIMPLE_SIMD") or simd_levels().pop())


cdef int hidden_code(hidden) except -1:
    if hidden == "sigmoid":
        return SIGMOID
    if hidden == "relu":
        return RELU
    if hidden == "tanh":
        return TANH
    raise ValueError(f"hidden must be sigmoid, relu or tanh, got {hidden!r}")


cdef int check(int status) except -1:
    if status != 0:
        raise MemoryError("no memory for the kernel's scratch")
    return 0


cdef class _Memory:
    """Memory of a large result. When nobody uses it any more, it is kept for the next one."""

    cdef void *p
    cdef Py_ssize_t bytes

    def __cinit__(self, Py_ssize_t bytes):
        self.p, self.bytes = memory_get(bytes), bytes
        if self.p == NULL:
            raise MemoryError(f"no memory for a result of {bytes} bytes")

    def __dealloc__(self):
        memory_put(self.p)

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        PyBuffer_FillInfo(buffer, self, self.p, self.bytes, False, flags)


cdef new_array(shape, dtype):
    """An array for a result, not filled."""
    cdef Py_ssize_t size = dtype.itemsize
    for n in shape:
        size *= n
    if size < LEAST_BYTES:
        return np.empty(shape, dtype)
    return np.ndarray(shape, dtype, _Memory(size))


cdef object FLOAT32 = np.dtype(np.float32), FLOAT64 = np.dtype(np.float64)


# Conditionals of bits, and Adam's update.


def exponential(const real[::1] x):
    """exp(x), the kernels' own, so that its accuracy can be tested."""
    result = new_array((x.shape[0],), FLOAT64 if real is double else FLOAT32)
    cdef real[::1] out = result
    with nogil:
        kernels_for(real is double).exponential(x.shape[0], &x[0], &out[0])
    return result


def bernoulli_log_p(const real[:, ::1] logits, const real[:, ::1] x):
    cdef Py_ssize_t size = logits.shape[0] * logits.shape[1]
    result = new_array((logits.shape[0], logits.shape[1]),
                       FLOAT64 if real is double else FLOAT32)
    cdef real[:, ::1] out = result
    with nogil:
        kernels_for(real is double).bernoulli_log_p(size, &logits[0, 0], &x[0, 0], &out[0, 0])
    return result


def bernoulli_d_logits(const real[:, ::1] logits, const real[:, ::1] x, double scale):
    cdef Py_ssize_t size = logits.shape[0] * logits.shape[1]
    result = new_array((logits.shape[0], logits.shape[1]),
                       FLOAT64 if real is double else FLOAT32)
    cdef real[:, ::1] out = result
    with nogil:
        kernels_for(real is double).bernoulli_d_logits(
            size, &logits[0, 0], &x[0, 0], scale, &out[0, 0])
    return result


cdef adam_update_flat(real[::1] p, const real[::1] g, real[::1] m, real[::1] v,
                      double learning_rate, double beta1, double beta2, double epsilon, double t):
    with nogil:
        kernels_for(real is double).adam_update(
            p.shape[0], &p[0], &g[0], &m[0], &v[0], learning_rate, beta1, beta2, epsilon, t)


def adam_update_(p, g, m, v, double learning_rate, double beta1, double beta2, double epsilon,
                 double t):
    if p.dtype == np.float32:
        adam_update_flat[float](p.reshape(-1), g.reshape(-1), m.reshape(-1), v.reshape(-1),
                                learning_rate, beta1, beta2, epsilon, t)
    else:
        adam_update_flat[double](p.reshape(-1), g.reshape(-1), m.reshape(-1), v.reshape(-1),
                                 learning_rate, beta1, beta2, epsilon, t)


cdef average_update_flat(real[::1] mean, const real[::1] p, double rate):
    with nogil:
        kernels_for(real is double).average_update(p.shape[0], &mean[0], &p[0], rate)


def average_update_(mean, p, double rate):
    if p.dtype == np.float32:
        average_update_flat[float](mean.reshape(-1), p.reshape(-1), rate)
    else:
        average_update_flat[double](mean.reshape(-1), p.reshape(-1), rate)


# FVSBN: one masked product.


def fvsbn_logits(x, W, b, order, columns=None):
    inputs, outputs = made_degrees(order, columns)
    return masked_forward(x, W, inputs, outputs, True, b)


def fvsbn_backward(d_logits, x, order, columns=None):
    inputs, outputs = made_degrees(order, columns)
    return masked_outer(x, d_logits, inputs, outputs, True), d_logits.sum(axis=0)


def fvsbn_sample(const real[:, ::1] x, Py_ssize_t n_known, const double[:, ::1] uniforms,
                 const real[:, ::1] W, const real[::1] b, const Py_ssize_t[::1] order):
    samples = np.array(x)
    cdef real[:, ::1] samples_view = samples
    cdef made q
    memset(&q, 0, sizeof(q))
    q.N, q.D, q.order, q.b, q.n_links = x.shape[0], x.shape[1], &order[0], &b[0], 1
    q.n_known, q.uniforms, q.samples = n_known, &uniforms[0, 0], &samples_view[0, 0]
    q.links[0] = &W[0, 0]
    cdef int status
    with nogil:
        status = kernels_for(real is double).made_sample(&q)
    check(status)
    return samples


# NADE.


def nade_offsets(columns, D):
    """Where each variable's features and outputs begin; those of bits if columns is None."""
    if columns is None:
        one_each = np.arange(D + 1, dtype=np.intp)
        return one_each, one_each
    return [np.ascontiguousarray(begin, np.intp) for begin in (columns.features, columns.outputs)]


def nade_logits(const real[:, ::1] x, const real[:, ::1] W, const real[::1] c,
                const real[:, ::1] V, const real[::1] b, const Py_ssize_t[::1] order, hidden,
                const real[:, ::1] keep, columns=None):
    cdef nade q
    memset(&q, 0, sizeof(q))
    q.N, q.D, q.H, q.hidden = x.shape[0], order.shape[0], c.shape[0], hidden_code(hidden)
    q.n_features, q.n_outputs = x.shape[1], b.shape[0]
    cdef const Py_ssize_t[::1] features, outputs
    features, outputs = nade_offsets(columns, q.D)
    q.features, q.outputs, q.order = &features[0], &outputs[0], &order[0]
    q.x, q.W, q.c, q.V, q.b = &x[0, 0], &W[0, 0], &c[0], &V[0, 0], &b[0]
    logits = new_array((q.N, q.n_outputs), FLOAT64 if real is double else FLOAT32)
    cdef real[:, ::1] logits_view = logits
    q.logits = &logits_view[0, 0]
    if keep is not None:
        q.keep = &keep[0, 0]
    cdef int status
    with nogil:
        status = kernels_for(real is double).nade_logits(&q)
    check(status)
    return logits


def nade_backward(const real[:, ::1] d_logits, const real[:, ::1] x, const real[:, ::1] W,
                  const real[::1] c, const real[:, ::1] V, const Py_ssize_t[::1] order, hidden,
                  const real[:, ::1] keep, columns=None):
    cdef nade q
    memset(&q, 0, sizeof(q))
    q.N, q.D, q.H, q.hidden = x.shape[0], order.shape[0], c.shape[0], hidden_code(hidden)
    q.n_features, q.n_outputs = x.shape[1], d_logits.shape[1]
    cdef const Py_ssize_t[::1] features, outputs
    features, outputs = nade_offsets(columns, q.D)
    q.features, q.outputs, q.order = &features[0], &outputs[0], &order[0]
    q.x, q.W, q.c, q.V, q.d_logits = &x[0, 0], &W[0, 0], &c[0], &V[0, 0], &d_logits[0, 0]
    dtype = FLOAT64 if real is double else FLOAT32
    dW, dV = new_array((q.n_features, q.H), dtype), new_array((q.n_outputs, q.H), dtype)
    dc, db = new_array((q.H,), dtype), new_array((q.n_outputs,), dtype)
    cdef real[:, ::1] dW_view = dW, dV_view = dV
    cdef real[::1] dc_view = dc, db_view = db
    q.dW, q.dc, q.dV, q.db = &dW_view[0, 0], &dc_view[0], &dV_view[0, 0], &db_view[0]
    if keep is not None:
        q.keep = &keep[0, 0]
    cdef int status
    with nogil:
        status = kernels_for(real is double).nade_backward(&q)
    check(status)
    return dW, dc, dV, db


def nade_sample(const real[:, ::1] x, Py_ssize_t n_known, const double[:, ::1] uniforms,
                const real[:, ::1] W, const real[::1] c, const real[:, ::1] V, const real[::1] b,
                const Py_ssize_t[::1] order, hidden):
    samples = np.array(x)
    cdef real[:, ::1] samples_view = samples
    cdef nade q
    memset(&q, 0, sizeof(q))
    q.N, q.D, q.H, q.hidden = x.shape[0], x.shape[1], c.shape[0], hidden_code(hidden)
    cdef const Py_ssize_t[::1] one_each = np.arange(q.D + 1, dtype=np.intp)
    q.n_features, q.n_outputs, q.features, q.outputs = q.D, q.D, &one_each[0], &one_each[0]
    q.order, q.W, q.c, q.V, q.b = &order[0], &W[0, 0], &c[0], &V[0, 0], &b[0]
    q.n_known, q.uniforms, q.samples = n_known, &uniforms[0, 0], &samples_view[0, 0]
    cdef int status
    with nogil:
        status = kernels_for(real is double).nade_sample(&q)
    check(status)
    return samples


# MADE.


cdef masked masked_problem(Py_ssize_t N, const Py_ssize_t[::1] sources,
                           const Py_ssize_t[::1] targets, bint transposed):
    cdef masked q
    memset(&q, 0, sizeof(q))
    q.N, q.n_sources, q.n_targets = N, sources.shape[0], targets.shape[0]
    q.sources, q.targets, q.transposed = &sources[0], &targets[0], transposed
    q.hidden = LINEAR
    return q


def masked_forward(const real[:, ::1] h, const real[:, ::1] W, const Py_ssize_t[::1] sources,
                   const Py_ssize_t[::1] targets, bint transposed, const real[::1] bias=None,
                   hidden=None, const real[:, ::1] keep=None, real[:, ::1] add_to=None):
    """Through the mask, where sources <= targets: h W + bias; or hidden units from that.

    With ``keep`` these are multiplied by it. If there is ``add_to``, the product is added to that,
    in place, before it goes through the hidden units.
    """
    cdef masked q = masked_problem(h.shape[0], sources, targets, transposed)
    result = new_array((q.N, q.n_targets), FLOAT64 if real is double else FLOAT32)
    cdef real[:, ::1] out = result if add_to is None else add_to
    q.a, q.b, q.out, q.add = &h[0, 0], &W[0, 0], &out[0, 0], add_to is not None
    if bias is not None:
        q.bias = &bias[0]
    if hidden is not None:
        q.hidden = hidden_code(hidden)
    if keep is not None:
        q.keep = &keep[0, 0]
    cdef int status
    with nogil:
        status = kernels_for(real is double).masked_forward(&q)
    check(status)
    return result


def masked_backward(const real[:, ::1] d, const real[:, ::1] W, const Py_ssize_t[::1] sources,
                    const Py_ssize_t[::1] targets, bint transposed, const real[:, ::1] h, hidden,
                    const real[:, ::1] keep):
    """The gradient of the activations of the hidden units h, which are the sources; and its sum.

    ``d`` is the gradient of the targets; ``keep`` is what multiplied the units, or None.
    """
    cdef masked q = masked_problem(d.shape[0], sources, targets, transposed)
    dtype = FLOAT64 if real is double else FLOAT32
    result, totals = new_array((q.N, q.n_sources), dtype), new_array((q.n_sources,), dtype)
    cdef real[:, ::1] out = result
    cdef real[::1] totals_view = totals
    q.a, q.b, q.out, q.totals = &d[0, 0], &W[0, 0], &out[0, 0], &totals_view[0]
    q.h, q.hidden = &h[0, 0], hidden_code(hidden)
    if keep is not None:
        q.keep = &keep[0, 0]
    cdef int status
    with nogil:
        status = kernels_for(real is double).masked_backward(&q)
    check(status)
    return result, totals


def masked_outer(const real[:, ::1] h, const real[:, ::1] d, const Py_ssize_t[::1] sources,
                 const Py_ssize_t[::1] targets, bint transposed):
    cdef masked q = masked_problem(h.shape[0], sources, targets, transposed)
    shape = (q.n_targets, q.n_sources) if transposed else (q.n_sources, q.n_targets)
    result = new_array(shape, FLOAT64 if real is double else FLOAT32)
    cdef real[:, ::1] out = result
    q.a, q.b, q.out = &h[0, 0], &d[0, 0], &out[0, 0]
    cdef int status
    with nogil:
        status = kernels_for(real is double).masked_outer(&q)
    check(status)
    return result


def made_degrees(order, columns):
    """The variables' positions: as degrees of the inputs, which are sources, and of the outputs."""
    if columns is not None:
        from pyarsimple.orders import positions  # not before this module is there

        inputs, outputs = positions(order, columns)
        return inputs + 1, outputs
    position = np.empty(len(order), np.intp)
    position[order] = np.arange(len(order))
    return position + 1, position


def made_layers(x, W, c, V, b, A, order, degrees, hidden, keeps, columns=None):
    inputs, outputs = made_degrees(order, columns)
    layers, sources, n = [x], [inputs, *degrees], len(W)
    for k in range(n):
        layers.append(masked_forward(layers[k], W[k], sources[k], degrees[k], False, c[k], hidden,
                                     None if keeps is None else keeps[k]))
    logits = masked_forward(layers[n], V, sources[n], outputs, True, b)
    if A is not None:
        masked_forward(x, A, inputs, outputs, True, add_to=logits)
    return logits, layers


def made_gradients(d_logits, layers, W, V, A, order, degrees, hidden, keeps, columns=None):
    inputs, outputs = made_degrees(order, columns)
    sources, n = [inputs, *degrees], len(W)
    dA = None if A is None else masked_outer(layers[0], d_logits, inputs, outputs, True)
    dV, db = masked_outer(layers[n], d_logits, sources[n], outputs, True), d_logits.sum(axis=0)
    dW, dc, d = [None] * n, [None] * n, d_logits
    for k in reversed(range(n)):  # d: the gradient of what comes after this layer, then of its a
        above = (V, outputs, True) if k == n - 1 else (W[k + 1], degrees[k + 1], False)
        d, dc[k] = masked_backward(d, above[0], degrees[k], above[1], above[2], layers[k + 1],
                                   hidden, None if keeps is None else keeps[k])
        dW[k] = masked_outer(layers[k], d, sources[k], degrees[k], False)
    return dW, dc, dV, db, dA


def made_sample(const real[:, ::1] x, Py_ssize_t n_known, const double[:, ::1] uniforms, W, c,
                const real[:, ::1] V, const real[::1] b, const real[:, ::1] A,
                const Py_ssize_t[::1] order, degrees, hidden):
    samples = np.array(x)
    cdef real[:, ::1] samples_view = samples
    cdef made q
    memset(&q, 0, sizeof(q))
    q.N, q.D, q.n_layers, q.hidden = x.shape[0], x.shape[1], len(W), hidden_code(hidden)
    q.order, q.b, q.n_known, q.uniforms = &order[0], &b[0], n_known, &uniforms[0, 0]
    q.samples = &samples_view[0, 0]
    cdef const real[:, ::1] W_k, V_sorted = V
    cdef const real[::1] c_k
    cdef const Py_ssize_t[::1] degrees_k
    cdef Py_ssize_t k
    cdef int status
    if q.n_layers:
        if any(np.any(np.diff(m) < 0) for m in degrees):  # units must be sorted by degree
            by_degree = [np.argsort(m, kind="stable") for m in degrees]
            degrees = [m[s] for m, s in zip(degrees, by_degree)]
            c = [bias[s] for bias, s in zip(c, by_degree)]
            W = [np.ascontiguousarray(weights[:, s]) for weights, s in zip(W, by_degree)]
            W[1:] = [weights[s] for weights, s in zip(W[1:], by_degree)]
            V_sorted = np.ascontiguousarray(np.asarray(V)[:, by_degree[q.n_layers - 1]])
        q.V = &V_sorted[0, 0]
    else:
        q.links[q.n_links] = &V[0, 0]
        q.n_links += 1
    if A is not None:
        q.links[q.n_links] = &A[0, 0]
        q.n_links += 1

    cdef void **pointers = <void **>malloc(4 * (q.n_layers + 1) * sizeof(void *))
    if pointers == NULL:
        raise MemoryError
    cdef const void **W_pointers = <const void **>pointers
    cdef const void **c_pointers = <const void **>pointers + q.n_layers
    cdef const Py_ssize_t **degrees_pointers = <const Py_ssize_t **>(pointers + 2 * q.n_layers)
    cdef Py_ssize_t *H = <Py_ssize_t *>(pointers + 3 * q.n_layers)
    try:
        for k in range(q.n_layers):
            W_k, c_k, degrees_k = W[k], c[k], degrees[k]  # the lists keep the arrays alive
            W_pointers[k], c_pointers[k] = &W_k[0, 0], &c_k[0]
            degrees_pointers[k], H[k] = &degrees_k[0], c_k.shape[0]
        q.W, q.c, q.degrees, q.H = W_pointers, c_pointers, degrees_pointers, H
        with nogil:
            status = kernels_for(real is double).made_sample(&q)
        check(status)
    finally:
        free(pointers)
    return samples


# Multi-layer NADE. No weight is masked, but much of what is multiplied is 0, and skipped.


def alike(n):
    """The degrees of n sources or targets where every weight is free."""
    return np.zeros(n, np.intp)


def layers_from(h, W, c, hidden):
    layers = [h]
    for k in range(1, len(W)):
        n_below, H = W[k].shape
        layers.append(masked_forward(layers[k - 1], W[k], alike(n_below), alike(H), False, c[k],
                                     hidden))
    return layers


def hidden_layers(a, W, c, hidden):
    from pyarsimple.activations import activate  # not before this module is there

    return layers_from(activate(a, hidden), W, c, hidden)


def dense_forward(x, known, W, U, c, V, b, hidden):
    n_inputs, H = W[0].shape
    h = masked_forward(x, W[0], alike(n_inputs), alike(H), False, c[0])
    masked_forward(known, U, alike(len(U)), alike(H), False, None, hidden, None, h)
    layers = layers_from(h, W, c, hidden)
    h = layers[len(W) - 1]
    return masked_forward(h, V, alike(V.shape[1]), alike(len(V)), True, b), layers


def dense_backward(d_logits, x, known, layers, W, V, hidden):
    n, n_above = len(W), len(V)
    dW, dc, d = [None] * n, [None] * n, d_logits
    dV = masked_outer(layers[n - 1], d, alike(V.shape[1]), alike(n_above), True)
    for k in reversed(range(n)):  # d: the gradient of what comes after this layer, then of its a
        n_below, H = W[k].shape
        d, dc[k] = masked_backward(d, V if k == n - 1 else W[k + 1], alike(H), alike(n_above),
                                   k == n - 1, layers[k], hidden, None)
        dW[k] = masked_outer(x if k == 0 else layers[k - 1], d, alike(n_below), alike(H), False)
        n_above = H
    dU = masked_outer(known, d, alike(known.shape[1]), alike(n_above), False)
    return dW, dU, dc, dV, d_logits.sum(axis=0)
