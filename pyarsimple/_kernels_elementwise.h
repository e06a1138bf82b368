/* Kernels that treat each number by itself: conditionals of bits, Adam's update, a running average.
 *
 * A chunk of numbers is a task. What is left at the end, fewer numbers than a vec has, is copied
 * into whole vecs, so that every number goes through the same arithmetic wherever it stands.
 */

#define elementwise NAME(elementwise)
struct elementwise {
    ptrdiff_t n;
    const real *logits, *x;
    real scale;
    real *result;
    real *p, *m, *v; /* Adam's: parameters and moments; its gradient is g */
    const real *g;
    real rate, gain1, gain2, root_scale, epsilon;
};

/* The numbers of a task: from `begin` to `end`, and how many of them are in whole vecs. */
#define CHUNK_BOUNDS(q, task)                                                                      \
    ptrdiff_t begin = (task) * CHUNK;                                                        \
    ptrdiff_t end = begin + CHUNK < (q)->n ? begin + CHUNK : (q)->n;                   \
    ptrdiff_t left = (end - begin) % LANES, whole = end - left

static void NAME(exponential_task)(void *context, ptrdiff_t task, int slot)
{
    const struct elementwise *q = context;
    CHUNK_BOUNDS(q, task);
    (void)slot;
    for (ptrdiff_t k = begin; k < whole; k += LANES)
        v_store(q->result + k, v_exp(v_load(q->x + k)));
    if (left)
        v_store_part(q->result + whole, v_exp(v_load_part(q->x + whole, left, end + q->x)), left);
}

/* log p = -softplus((1 - 2 x) logit) */
static void NAME(log_p_task)(void *context, ptrdiff_t task, int slot)
{
    const struct elementwise *q = context;
    CHUNK_BOUNDS(q, task);
    (void)slot;
    for (ptrdiff_t k = begin; k < whole; k += LANES)
        v_store(q->result + k, -v_softplus((1 - 2 * v_load(q->x + k)) * v_load(q->logits + k)));
    if (left) {
        vec x = v_load_part(q->x + whole, left, q->x + end);
        vec logits = v_load_part(q->logits + whole, left, q->logits + end);
        v_store_part(q->result + whole, -v_softplus((1 - 2 * x) * logits), left);
    }
}

/* (sigmoid(logit) - x) scale */
static void NAME(d_logits_task)(void *context, ptrdiff_t task, int slot)
{
    const struct elementwise *q = context;
    CHUNK_BOUNDS(q, task);
    (void)slot;
    for (ptrdiff_t k = begin; k < whole; k += LANES)
        v_store(q->result + k,
                (v_sigmoid_exact(v_load(q->logits + k)) - v_load(q->x + k)) * q->scale);
    if (left) {
        vec x = v_load_part(q->x + whole, left, q->x + end);
        vec logits = v_load_part(q->logits + whole, left, q->logits + end);
        v_store_part(q->result + whole, (v_sigmoid_exact(logits) - x) * q->scale, left);
    }
}

/* m += (1 - beta1) (g - m);  v += (1 - beta2) (g^2 - v)
 * p -= learning_rate (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon) */
INLINE vec NAME(adam_step)(const struct elementwise *q, vec g, vec *m, vec *v)
{
    *m += q->gain1 * (g - *m);
    *v += q->gain2 * (g * g - *v);
    return q->rate * *m / (v_sqrt(*v) * q->root_scale + q->epsilon);
}

static void NAME(adam_task)(void *context, ptrdiff_t task, int slot)
{
    const struct elementwise *q = context;
    CHUNK_BOUNDS(q, task);
    (void)slot;
    for (ptrdiff_t k = begin; k < whole; k += LANES) {
        vec m = v_load(q->m + k), v = v_load(q->v + k);
        v_store(q->p + k, v_load(q->p + k) - NAME(adam_step)(q, v_load(q->g + k), &m, &v));
        v_store(q->m + k, m);
        v_store(q->v + k, v);
    }
    if (left) {
        vec m = v_load_part(q->m + whole, left, q->m + end);
        vec v = v_load_part(q->v + whole, left, q->v + end);
        vec p = v_load_part(q->p + whole, left, q->p + end);
        p -= NAME(adam_step)(q, v_load_part(q->g + whole, left, q->g + end), &m, &v);
        v_store_part(q->p + whole, p, left);
        v_store_part(q->m + whole, m, left);
        v_store_part(q->v + whole, v, left);
    }
}

/* m += rate (p - m) */
static void NAME(average_task)(void *context, ptrdiff_t task, int slot)
{
    const struct elementwise *q = context;
    CHUNK_BOUNDS(q, task);
    (void)slot;
    for (ptrdiff_t k = begin; k < whole; k += LANES) {
        vec m = v_load(q->m + k);
        v_store(q->m + k, m + q->rate * (v_load(q->x + k) - m));
    }
    if (left) {
        vec m = v_load_part(q->m + whole, left, q->m + end);
        m += q->rate * (v_load_part(q->x + whole, left, q->x + end) - m);
        v_store_part(q->m + whole, m, left);
    }
}

static void NAME(by_chunks)(struct elementwise *q, double work, task_function task)
{
    run_tasks(threads_for(work), (q->n + CHUNK - 1) / CHUNK, task, q);
}

static void NAME(exponential)(ptrdiff_t n, const void *x, void *result)
{
    struct elementwise q = {.n = n, .x = x, .result = result};
    NAME(by_chunks)(&q, 20. * (double)n, NAME(exponential_task));
}

static void NAME(bernoulli_log_p)(ptrdiff_t n, const void *logits, const void *x, void *result)
{
    struct elementwise q = {.n = n, .logits = logits, .x = x, .result = result};
    NAME(by_chunks)(&q, 30. * (double)n, NAME(log_p_task));
}

static void NAME(bernoulli_d_logits)(ptrdiff_t n, const void *logits, const void *x, double scale,
                                     void *result)
{
    struct elementwise q = {
        .n = n, .logits = logits, .x = x, .scale = (real)scale, .result = result};
    NAME(by_chunks)(&q, 30. * (double)n, NAME(d_logits_task));
}

static void NAME(adam_update)(ptrdiff_t n, void *p, const void *g, void *m, void *v,
                              double learning_rate, double beta1, double beta2, double epsilon,
                              double t)
{
    struct elementwise q = {
        .n = n, .p = p, .g = g, .m = m, .v = v,
        .rate = (real)(learning_rate / (1 - pow(beta1, t))),
        .gain1 = (real)(1 - beta1),
        .gain2 = (real)(1 - beta2),
        .root_scale = (real)(1 / sqrt(1 - pow(beta2, t))),
        .epsilon = (real)epsilon,
    };
    NAME(by_chunks)(&q, 10. * (double)n, NAME(adam_task));
}

static void NAME(average_update)(ptrdiff_t n, void *mean, const void *p, double rate)
{
    struct elementwise q = {.n = n, .m = mean, .x = p, .rate = (real)rate};
    NAME(by_chunks)(&q, 4. * (double)n, NAME(average_task));
}

/* The logits at which uniform numbers u in [0, 1) are just probabilities: u < sigmoid(z) exactly
 * if log(u / (1 - u)) < z. Computed at once for all, they spare a sampler the exponential in the
 * chain from one bit to the next. Only of float64.
 *
 * log(2^k m) = k log 2 + 2 atanh((m - 1) / (m + 1)), where m is in sqrt(1/2)..sqrt(2). */
#if IS_DOUBLE
INLINE vec NAME(v_logit)(vec u)
{
    const integer root_half = 0x3fe6a09e667f3bcd, one = 0x3ff0000000000000;
    const real rounder = 6755399441055744.0;
    const real ln2_first = 0.6931471803691238, ln2_rest = 1.9082149292705877e-10;
    vec q = u / (1 - u);
    ivec k = ((v_bits(q) - root_half + one) >> MANTISSA_BITS) - EXPONENT_BIAS;
    vec m = v_from_bits(v_bits(q) - (k << MANTISSA_BITS));
    vec n = v_from_bits(k + 0x4338000000000000) - rounder; /* k as a number */
    vec z = n * ln2_rest + v_twice_atanh((m - 1) / (m + 1));
    z = n * ln2_first + z;
    /* 0 and denormal numbers: exp(z), the sigmoid's value there, is 0 from here on down. */
    return v_if_less(u, v_set(2.2250738585072014e-308), v_set(-745.13), z);
}

static void NAME(logits_of_uniforms)(ptrdiff_t n, const double *u, double *z)
{
    ptrdiff_t k = 0;
    for (; k + LANES <= n; k += LANES)
        v_store(z + k, NAME(v_logit)(v_load(u + k)));
    if (k < n)
        v_store_part(z + k, NAME(v_logit)(v_load_part(u + k, n - k, u + n)), n - k);
}
#endif
