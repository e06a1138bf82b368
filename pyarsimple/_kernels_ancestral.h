/* Samples of MADE, and of the FVSBN, which is a MADE with one matrix of links and no hidden layer.
 *
 * A task is a tile of examples that walk along the order together, one in each lane: a row of the
 * tile holds one variable, or one hidden unit, of all of them. Then a logit is a sum of such rows
 *
 *     logit[i] = b[i] + sum_j links[i, j] x[j] + sum_u V[i, u] h[u]
 *
 * over the variables j that are known and the units u that are final, and so is what goes into a
 * unit. Most terms are known well before the sum is needed. So positions are taken in runs:
 *
 * - before the first of a run, each *target* of it, that is the logits of its positions and the
 *   units whose degrees lie in it, gets the sum over all *inputs* known by then: a product, with
 *   several targets at a time in registers;
 * - then, position by position, the units whose degree it is get what has become known since, pass
 *   through g and are final; so does the logit, and the variable is drawn.
 *
 * Units are sorted by degree, so those of one degree are neighbours. Inputs that are 0 in all
 * examples of a tile are left out, which changes no bit of a finite sum. */

#define EXAMPLE_VECS (VECTOR_BYTES == 64 ? 4 : 2) /* with MADE_TARGETS, as many as registers hold */

/* The variables that are known, or the units of a layer that are final, but for those that are 0:
 * their rows in the tile, and their places in the weights. The first n_before were known before the
 * run. */
struct NAME(inputs) {
    real *rows;
    int32_t *row, *place;
    ptrdiff_t n, n_before;
};

/* Weights from inputs to targets: target t, the input of place j is at W[t][j step]. */
struct NAME(weights) {
    const real *W;
    ptrdiff_t step, target_step;
    const ptrdiff_t *targets; /* the targets' places; NULL: each is at its own */
};

struct NAME(made_sampling) {
    const struct made *q;
    ptrdiff_t tile, width; /* examples in a tile, and lanes in a row */
    ptrdiff_t *const *first; /* of each layer (D + 1,): the first unit of degree m or more */
    char *slots;
    size_t slot_bytes;
};

/* Add inputs k0 to k1 to the sums of some targets, in n_vecs of the row. */
#define add_terms NAME(add_terms)
INLINE void add_terms(const int n_targets, const int n_vecs, const struct NAME(inputs) *in,
                      ptrdiff_t k0, ptrdiff_t k1, const real *const *W, ptrdiff_t step,
                      ptrdiff_t width, real *const *sums, ptrdiff_t v)
{
    vec s[MADE_TARGETS][EXAMPLE_VECS];
    UNROLL
    for (int t = 0; t < n_targets; t++)
        UNROLL
        for (int e = 0; e < n_vecs; e++)
            s[t][e] = v_load(sums[t] + v + e * LANES);
    for (ptrdiff_t k = k0; k < k1; k++) {
        const real *row = in->rows + in->row[k] * width + v;
        const ptrdiff_t place = in->place[k] * step;
        vec x[EXAMPLE_VECS];
        UNROLL
        for (int e = 0; e < n_vecs; e++)
            x[e] = v_load(row + e * LANES);
        UNROLL
        for (int t = 0; t < n_targets; t++) {
            const real w = W[t][place];
            UNROLL
            for (int e = 0; e < n_vecs; e++)
                s[t][e] += w * x[e];
        }
    }
    UNROLL
    for (int t = 0; t < n_targets; t++)
        UNROLL
        for (int e = 0; e < n_vecs; e++)
            v_store(sums[t] + v + e * LANES, s[t][e]);
}

INLINE void NAME(add_to_targets)(const int n_targets, const struct NAME(inputs) *in, ptrdiff_t k0,
                                 ptrdiff_t k1, const real *const *W, ptrdiff_t step,
                                 ptrdiff_t width, real *const *sums)
{
    for (ptrdiff_t v = 0; v < width; v += EXAMPLE_VECS * LANES) {
        ptrdiff_t n_vecs = (width - v) / LANES;
        if (n_vecs >= EXAMPLE_VECS)
            add_terms(n_targets, EXAMPLE_VECS, in, k0, k1, W, step, width, sums, v);
        else if (EXAMPLE_VECS > 3 && n_vecs == 3)
            add_terms(n_targets, 3, in, k0, k1, W, step, width, sums, v);
        else if (EXAMPLE_VECS > 2 && n_vecs == 2)
            add_terms(n_targets, 2, in, k0, k1, W, step, width, sums, v);
        else
            add_terms(n_targets, 1, in, k0, k1, W, step, width, sums, v);
    }
}

/* Add inputs k0 to k1 to the targets t0 to t1, whose sums are rows one after the other. */
static void NAME(add_inputs)(const struct NAME(inputs) *in, ptrdiff_t k0, ptrdiff_t k1,
                             const struct NAME(weights) *w, ptrdiff_t t0, ptrdiff_t t1,
                             ptrdiff_t width, real *sums)
{
    const real *W[MADE_TARGETS];
    real *to[MADE_TARGETS];
    if (k0 == k1)
        return;
    for (ptrdiff_t t = t0; t < t1; t += MADE_TARGETS) {
        for (ptrdiff_t k = 0; k < MADE_TARGETS; k++) { /* the last may stand there several times */
            ptrdiff_t target = t + k < t1 ? t + k : t1 - 1;
            W[k] = w->W + (w->targets ? w->targets[target] : target) * w->target_step;
            to[k] = sums + (target - t0) * width;
        }
        if (t1 - t == 1)
            NAME(add_to_targets)(1, in, k0, k1, W, w->step, width, to);
        else
            NAME(add_to_targets)(MADE_TARGETS, in, k0, k1, W, w->step, width, to);
    }
}

/* A row of the tile is final: an input, unless it is 0. */
static void NAME(append_input)(struct NAME(inputs) *in, ptrdiff_t row, ptrdiff_t place,
                               ptrdiff_t width)
{
    int any = 0;
    for (ptrdiff_t v = 0; v < width; v += LANES)
        any |= v_any_sign(~v_equal(v_load(in->rows + row * width + v), v_set(0)));
    in->row[in->n] = (int32_t)row;
    in->place[in->n] = (int32_t)place;
    in->n += any;
}

INLINE void NAME(fill_row)(real *row, ptrdiff_t width, real value)
{
    for (ptrdiff_t v = 0; v < width; v += LANES)
        v_store(row + v, v_set(value));
}

static void NAME(made_sample_task)(void *context, ptrdiff_t task, int slot)
{
    struct NAME(made_sampling) *work = context;
    const struct made *q = work->q;
    const ptrdiff_t D = q->D, width = work->width, begin = task * work->tile;
    const ptrdiff_t rows = q->N - begin < work->tile ? q->N - begin : work->tile;
    const int n_layers = q->n_layers;
    const ptrdiff_t *order = q->order;
    real *x = (real *)q->samples + begin * D;
    char *scratch = work->slots + (size_t)slot * work->slot_bytes;
    double *threshold = take(&scratch, (size_t)(work->tile * D) * sizeof(double));
    real *limit = take(&scratch, (size_t)(MADE_RUN * width) * sizeof(real)); /* rows of it */
    real *logits = take(&scratch, (size_t)(MADE_RUN * width) * sizeof(real));
    struct NAME(inputs) *in = take(&scratch, (size_t)(n_layers + 1) * sizeof *in);
    struct NAME(inputs) *last = in + n_layers; /* of the logits; in[k] is that of layer k */
    struct NAME(weights) to_logits = {.W = q->V, .step = 1, .targets = order};

    JOIN(logits_of_uniforms, LEVEL, float64)(rows * D, q->uniforms + begin * D, threshold);
    for (int k = 0; k <= n_layers; k++) {
        ptrdiff_t n = k ? q->H[k - 1] : D;
        in[k].rows = take(&scratch, (size_t)(n * width) * sizeof(real));
        in[k].row = take(&scratch, (size_t)n * sizeof(int32_t));
        in[k].place = take(&scratch, (size_t)n * sizeof(int32_t));
        in[k].n = 0;
    }
    to_logits.target_step = n_layers ? q->H[n_layers - 1] : 0;

    for (ptrdiff_t p0 = 0; p0 < D; p0 += MADE_RUN) {
        const ptrdiff_t p1 = p0 + MADE_RUN < D ? p0 + MADE_RUN : D;
        const ptrdiff_t drawn = q->n_known < p0 ? p0 : q->n_known < p1 ? q->n_known : p1;
        for (ptrdiff_t p = p0; p < p1; p++) {
            real *row = p < drawn ? in->rows + p * width : limit + (p - p0) * width;
            NAME(fill_row)(row, width, 0);
            for (ptrdiff_t n = 0; n < rows; n++)
                row[n] = p < drawn ? x[n * D + order[p]] : (real)threshold[n * D + order[p]];
        }
        for (int k = 0; k < n_layers; k++) {
            struct NAME(weights) w = {.W = q->W[k], .step = q->H[k], .target_step = 1};
            ptrdiff_t u0 = work->first[k][p0], u1 = work->first[k][p1];
            for (ptrdiff_t u = u0; u < u1; u++)
                NAME(fill_row)(in[k + 1].rows + u * width, width, ((const real *)q->c[k])[u]);
            NAME(add_inputs)(in + k, 0, in[k].n, &w, u0, u1, width, in[k + 1].rows + u0 * width);
        }
        for (ptrdiff_t p = drawn; p < p1; p++)
            NAME(fill_row)(logits + (p - p0) * width, width, ((const real *)q->b)[order[p]]);
        for (int link = 0; link < q->n_links; link++) {
            struct NAME(weights) w = {q->links[link], 1, D, order};
            NAME(add_inputs)(in, 0, in->n, &w, drawn, p1, width, logits + (drawn - p0) * width);
        }
        if (n_layers)
            NAME(add_inputs)(last, 0, last->n, &to_logits, drawn, p1, width,
                             logits + (drawn - p0) * width);
        for (int k = 0; k <= n_layers; k++)
            in[k].n_before = in[k].n;

        for (ptrdiff_t p = p0; p < p1; p++) {
            for (int k = 0; k < n_layers; k++) { /* the units of degree p are final */
                struct NAME(weights) w = {.W = q->W[k], .step = q->H[k], .target_step = 1};
                ptrdiff_t u0 = work->first[k][p], u1 = work->first[k][p + 1];
                real *h = in[k + 1].rows;
                NAME(add_inputs)(in + k, in[k].n_before, in[k].n, &w, u0, u1, width,
                                 h + u0 * width);
                for (real *a = h + u0 * width; a < h + u1 * width; a += LANES)
                    v_store(a, q->hidden == SIGMOID ? activate(v_load(a), SIGMOID)
                             : q->hidden == TANH    ? activate(v_load(a), TANH)
                                                    : activate(v_load(a), RELU));
                for (ptrdiff_t u = u0; u < u1; u++)
                    NAME(append_input)(in + k + 1, u, u, width);
            }
            if (p >= drawn) {
                real *logit = logits + (p - p0) * width;
                for (int link = 0; link < q->n_links; link++) {
                    struct NAME(weights) w = {q->links[link], 1, D, order};
                    NAME(add_inputs)(in, in->n_before, in->n, &w, p, p + 1, width, logit);
                }
                if (n_layers)
                    NAME(add_inputs)(last, last->n_before, last->n, &to_logits, p, p + 1, width,
                                     logit);
                for (ptrdiff_t v = 0; v < width; v += LANES)
                    v_store(in->rows + p * width + v,
                            v_if_less(v_load(limit + (p - p0) * width + v), v_load(logit + v),
                                      v_set(1), v_set(0)));
                for (ptrdiff_t n = rows; n < width; n++) /* lanes without an example */
                    in->rows[p * width + n] = 0;
            }
            NAME(append_input)(in, p, order[p], width);
        }
        for (ptrdiff_t n = 0; n < rows; n++)
            for (ptrdiff_t p = drawn; p < p1; p++)
                x[n * D + order[p]] = in->rows[p * width + n];
    }
}

static int NAME(made_sample)(const struct made *q)
{
    ptrdiff_t N = q->N, D = q->D;
    struct NAME(made_sampling) work = {.q = q};
    double cost = (double)(q->n_links * D) * (double)D / 2;
    for (int k = 0; k < q->n_layers; k++)
        cost += (double)q->H[k] * (double)((k ? q->H[k - 1] : D) + (k + 1 < q->n_layers ? 0 : D)) / 2;
    int threads = threads_for((double)N * cost);
    work.tile = even_tiles(N, threads, MADE_TILE);
    work.width = (work.tile + LANES - 1) / LANES * LANES;

    size_t first_bytes = (size_t)(D + 1) * sizeof(ptrdiff_t);
    work.slot_bytes = rounded_up((size_t)(work.tile * D) * sizeof(double))
                    + 2 * rounded_up((size_t)(MADE_RUN * work.width) * sizeof(real))
                    + rounded_up((size_t)(q->n_layers + 1) * sizeof(struct NAME(inputs)));
    for (int k = 0; k <= q->n_layers; k++) {
        ptrdiff_t n = k ? q->H[k - 1] : D;
        work.slot_bytes += rounded_up((size_t)(n * work.width) * sizeof(real))
                         + 2 * rounded_up((size_t)n * sizeof(int32_t));
    }
    char *memory = memory_get(rounded_up((size_t)(q->n_layers + 1) * sizeof(ptrdiff_t *))
                              + (size_t)q->n_layers * rounded_up(first_bytes)
                              + (size_t)threads * work.slot_bytes);
    char *scratch = memory;
    if (scratch == NULL)
        return -1;

    ptrdiff_t **first = take(&scratch, (size_t)(q->n_layers + 1) * sizeof(ptrdiff_t *));
    for (int k = 0; k < q->n_layers; k++) {
        ptrdiff_t u = 0;
        first[k] = take(&scratch, first_bytes);
        for (ptrdiff_t m = 0; m <= D; m++) {
            while (u < q->H[k] && q->degrees[k][u] < m)
                u++;
            first[k][m] = u;
        }
    }
    work.first = first;
    work.slots = scratch;
    run_tasks(threads, (N + work.tile - 1) / work.tile, NAME(made_sample_task), &work);
    memory_put(memory);
    return 0;
}

static const struct kernels NAME(kernels) = {
    .exponential = NAME(exponential),
    .bernoulli_log_p = NAME(bernoulli_log_p),
    .bernoulli_d_logits = NAME(bernoulli_d_logits),
    .adam_update = NAME(adam_update),
    .average_update = NAME(average_update),
    .nade_logits = NAME(nade_logits),
    .nade_backward = NAME(nade_backward),
    .nade_sample = NAME(nade_sample),
    .made_sample = NAME(made_sample),
    .masked_forward = NAME(masked_forward),
    .masked_backward = NAME(masked_backward),
    .masked_outer = NAME(masked_outer),
};
