/* Links: matrices (D, D) from x straight to the logits, for the samplers of MADE and FVSBN.
 *
 * The bits are sparse, so for each example only the columns of W whose x is not 0 are added up:
 *
 *     logits[n, :] = b + sum_{j: x[n, j] != 0} x[n, j] W[:, j]
 *
 * Columns are far apart in memory, so W is transposed, a strip of variables at a time. The
 * variables i of a strip are neighbours in the order; its row j holds W[i, j] for all of them. */

#define STRIP (STRIP_VECS * LANES)

/* The position of each variable: the inverse of the order. */
#define invert NAME(invert)
static void invert(ptrdiff_t D, const ptrdiff_t *order, ptrdiff_t *position)
{
    for (ptrdiff_t p = 0; p < D; p++)
        position[order[p]] = p;
}

/* Transpose the rows of W that belong to the positions from p0 on into a strip, (D, STRIP);
 * only those rows j are made which matter to the strip. */
#define make_strip NAME(make_strip)
static void make_strip(ptrdiff_t D, const real *W, const ptrdiff_t *order,
                       const ptrdiff_t *position, ptrdiff_t p0, real *strip)
{
    const real *end = W + D * D;
    ptrdiff_t p_end = p0 + STRIP < D ? p0 + STRIP : D;
    for (ptrdiff_t j0 = 0; j0 < D; j0 += LANES) {
        ptrdiff_t n_columns = D - j0 < LANES ? D - j0 : LANES, earliest = D;
        for (ptrdiff_t j = j0; j < j0 + n_columns; j++)
            earliest = position[j] < earliest ? position[j] : earliest;
        if (earliest >= p_end - 1)
            continue;
        for (ptrdiff_t p = p0; p < p0 + STRIP; p += LANES) {
            vec r[LANES];
            for (int k = 0; k < LANES && p + k < D; k++) /* so many rows: the CPU cannot follow */
                PREFETCH(W + order[p + k] * D + j0 + 8 * LANES);
            for (int k = 0; k < LANES; k++)
                r[k] = p + k >= D           ? (vec){0}
                     : n_columns == LANES ? v_load(W + order[p + k] * D + j0)
                                          : v_load_part(W + order[p + k] * D + j0, n_columns, end);
            v_transpose(r);
            for (int k = 0; k < n_columns; k++)
                v_store(strip + (j0 + k) * STRIP + (p - p0), r[k]);
        }
    }
}

/* Samples of MADE, and of the FVSBN, which is a MADE with one matrix of links and no hidden layer.
 *
 * A task is a tile of examples, which walk along the order together. Everything is computed once:
 *
 * - the units of a layer are sorted by degree, so that those of one degree are neighbours, and the
 *   masks are staircases: a unit is seen by the units from a certain one on;
 * - when the variable in position m - 1 has become known and is not 0, its row of W_1 is added to
 *   the first layer's activations, and its row of the transposed links to the strip of logits that
 *   the walk is in; a new strip gets the rows of all that are known;
 * - then the units of degree m are final, layer after layer; their rows of W_k are added to the
 *   next layer's activations; of the last layer the hidden units are kept;
 * - the logit of the variable in position m is V's row times the hidden units that are final.
 *
 * Rows are added from the beginning of a vec on, so perhaps to units that are final already, or to
 * logits that have been used: nobody looks at these again. */

struct NAME(made_sampling) {
    const struct made *q;
    ptrdiff_t tile;
    ptrdiff_t *position;
    ptrdiff_t *const *first; /* of each layer (D + 1,): the first unit of degree m or more */
    ptrdiff_t n_strips;
    real *links[MAX_LINKS]; /* transposed: (n_strips, D, STRIP) */
    char *slots;
    size_t slot_bytes;
};

static void NAME(transpose_links)(void *context, ptrdiff_t task, int slot)
{
    struct NAME(made_sampling) *work = context;
    const struct made *q = work->q;
    ptrdiff_t link = task / work->n_strips, strip = task % work->n_strips;
    (void)slot;
    make_strip(q->D, q->links[link], q->order, work->position, strip * STRIP,
               work->links[link] + strip * q->D * STRIP);
}

INLINE ptrdiff_t NAME(padded)(ptrdiff_t n) { return (n + STRIP - 1) / STRIP * STRIP; }

/* sum[n, :] += sum_u h[n, u] W[u, :], from the strip of column `from` on, where u are the units
 * from u0 to u1, W is (., n_columns), and sum is padded to whole strips. */
#define push_units NAME(push_units)
INLINE void push_units(int rows, const real *h, ptrdiff_t h_stride, ptrdiff_t u0, ptrdiff_t u1,
                       const real *W, const real *W_end, ptrdiff_t n_columns, ptrdiff_t from,
                       real *sum, ptrdiff_t sum_stride)
{
    enum { AT_ONCE = 4 };
    for (; u0 < u1; u0 += AT_ONCE) {
        int n_units = u1 - u0 < AT_ONCE ? (int)(u1 - u0) : AT_ONCE;
        for (ptrdiff_t v = from / LANES * LANES; v < n_columns; v += STRIP) {
            vec w[AT_ONCE][STRIP_VECS];
            for (int u = 0; u < n_units; u++)
                load_units(w[u], W + (u0 + u) * n_columns + v, n_columns - v, W_end, STRIP_VECS);
            for (int n = 0; n < rows; n++) {
                real *to = sum + n * sum_stride + v;
                vec s[STRIP_VECS];
                UNROLL
                for (int k = 0; k < STRIP_VECS; k++)
                    s[k] = v_load(to + k * LANES);
                for (int u = 0; u < n_units; u++) {
                    real h_u = h[n * h_stride + u0 + u];
                    UNROLL
                    for (int k = 0; k < STRIP_VECS; k++)
                        s[k] += h_u * w[u][k];
                }
                UNROLL
                for (int k = 0; k < STRIP_VECS; k++)
                    v_store(to + k * LANES, s[k]);
            }
        }
    }
}

/* The strip of logits from position p0 on: b and the links from the variables that are known, which
 * are listed for each example by position. */
static void NAME(start_strip)(const struct NAME(made_sampling) *work, ptrdiff_t p0, int rows,
                              const real *x, const int32_t *known, const int32_t *n_nonzero,
                              real *linked)
{
    const struct made *q = work->q;
    ptrdiff_t D = q->D;
    real b_strip[STRIP] = {0};
    for (ptrdiff_t k = 0; k < STRIP && p0 + k < D; k++)
        b_strip[k] = ((const real *)q->b)[q->order[p0 + k]];
    for (int n = 0; n < rows; n++) {
        vec s[STRIP_VECS];
        UNROLL
        for (int k = 0; k < STRIP_VECS; k++)
            s[k] = v_load(b_strip + k * LANES);
        for (int32_t e = 0; e < n_nonzero[n]; e++) {
            ptrdiff_t j = known[n * D + e];
            real x_j = x[n * D + j];
            for (int link = 0; link < q->n_links; link++) {
                const real *w = work->links[link] + (p0 / STRIP * D + j) * STRIP;
                UNROLL
                for (int k = 0; k < STRIP_VECS; k++)
                    s[k] += x_j * v_load(w + k * LANES);
            }
        }
        UNROLL
        for (int k = 0; k < STRIP_VECS; k++)
            v_store(linked + n * STRIP + k * LANES, s[k]);
    }
}

static void NAME(made_sample_task)(void *context, ptrdiff_t task, int slot)
{
    struct NAME(made_sampling) *work = context;
    const struct made *q = work->q;
    const ptrdiff_t D = q->D, begin = task * work->tile;
    const int rows = (int)(q->N - begin < work->tile ? q->N - begin : work->tile);
    const int n_layers = q->n_layers;
    const real *b = q->b, *V = q->V;
    const ptrdiff_t H_last = n_layers ? q->H[n_layers - 1] : 0;
    real *x = (real *)q->samples + begin * D;
    char *scratch = work->slots + (size_t)slot * work->slot_bytes;
    double *threshold = take(&scratch, (size_t)(work->tile * D) * sizeof(double));
    real *linked = take(&scratch, (size_t)(work->tile * STRIP) * sizeof(real)); /* of one strip */
    int32_t *known = take(&scratch, (size_t)(work->tile * D) * sizeof *known); /* and not 0 */
    int32_t n_nonzero[TILE] = {0};
    real **a = take(&scratch, (size_t)(n_layers + 1) * sizeof *a); /* then h, in the same place */
    const ptrdiff_t last_stride = NAME(padded)(H_last);
    real *h_last = take(&scratch, (size_t)(work->tile * last_stride) * sizeof(real));

    JOIN(logits_of_uniforms, LEVEL, float64)(rows * D, q->uniforms + begin * D, threshold);
    memset(h_last, 0, (size_t)(work->tile * last_stride) * sizeof(real));
    for (int k = 0; k < n_layers; k++) {
        /* One strip more than the units need: rows may be added from any vec on. */
        ptrdiff_t H = q->H[k], stride = NAME(padded)(H) + STRIP;
        a[k] = take(&scratch, (size_t)(work->tile * stride) * sizeof(real));
        for (int n = 0; n < rows; n++) {
            memcpy(a[k] + n * stride, q->c[k], (size_t)H * sizeof(real));
            memset(a[k] + n * stride + H, 0, (size_t)(stride - H) * sizeof(real));
        }
    }

    for (ptrdiff_t m = 0; m < D; m++) {
        if (m > 0) { /* the variable before has become known */
            ptrdiff_t j = q->order[m - 1];
            for (int n = 0; n < rows; n++) {
                real x_j = x[n * D + j];
                if (x_j == 0)
                    continue;
                known[n * D + n_nonzero[n]++] = (int32_t)j;
                for (int link = 0; link < q->n_links && m % STRIP; link++) {
                    const real *w = work->links[link] + (m / STRIP * D + j) * STRIP;
                    for (ptrdiff_t k = m % STRIP / LANES * LANES; k < STRIP; k += LANES)
                        v_store(linked + n * STRIP + k,
                                v_load(linked + n * STRIP + k) + x_j * v_load(w + k));
                }
                if (n_layers) {
                    ptrdiff_t H = q->H[0], stride = NAME(padded)(H) + STRIP;
                    const real *W = (const real *)q->W[0];
                    push_units(1, &x_j, 0, 0, 1, W + j * H, W + D * H, H, work->first[0][m],
                               a[0] + n * stride, stride);
                }
            }
        }
        if (q->n_links && m % STRIP == 0) /* a new strip: what all known variables add to it */
            NAME(start_strip)(work, m, rows, x, known, n_nonzero, linked);
        for (int k = 0; k < n_layers; k++) { /* the units of degree m are final */
            ptrdiff_t H = q->H[k], stride = NAME(padded)(H) + STRIP;
            ptrdiff_t u0 = work->first[k][m], u1 = work->first[k][m + 1];
            for (ptrdiff_t u = u0; u < u1; u++) {
                real h[TILE] = {0};
                for (int n = 0; n < rows; n++)
                    h[n] = a[k][n * stride + u];
                for (int n = 0; n < TILE; n += LANES)
                    v_store(h + n, q->hidden == SIGMOID ? activate(v_load(h + n), SIGMOID)
                                 : q->hidden == TANH    ? activate(v_load(h + n), TANH)
                                                        : activate(v_load(h + n), RELU));
                for (int n = 0; n < rows; n++)
                    if (k + 1 < n_layers)
                        a[k][n * stride + u] = h[n];
                    else
                        h_last[n * last_stride + u] = h[n];
            }
            if (k + 1 < n_layers) {
                const real *W = (const real *)q->W[k + 1];
                ptrdiff_t H_next = q->H[k + 1], stride_next = NAME(padded)(H_next) + STRIP;
                push_units(rows, a[k], stride, u0, u1, W, W + H * H_next, H_next,
                           work->first[k + 1][m], a[k + 1], stride_next);
            }
        }
        if (m < q->n_known)
            continue;

        ptrdiff_t i = q->order[m];
        real logits[TILE] = {0};
        if (n_layers) {
            ptrdiff_t n_final = work->first[n_layers - 1][m + 1];
            const real *V_i = V + i * H_last;
            vec s[TILE];
            for (int n = 0; n < TILE; n++)
                s[n] = v_set(0);
            for (ptrdiff_t u = 0; u < n_final; u += STRIP) {
                vec v[STRIP_VECS];
                load_units(v, V_i + u, n_final - u, V + D * H_last, STRIP_VECS);
                for (int n = 0; n < rows; n++)
                    UNROLL
                    for (int k = 0; k < STRIP_VECS; k++)
                        s[n] += v[k] * v_load(h_last + n * last_stride + u + k * LANES);
            }
            for (int n = 0; n < TILE; n += LANES)
                v_store(logits + n, v_sums(s + n));
        }
        for (int n = 0; n < rows; n++) {
            real from_x = q->n_links ? linked[n * STRIP + m % STRIP] : b[i];
            x[n * D + i] = (double)(logits[n] + from_x) > threshold[n * D + i];
        }
    }
}

static int NAME(made_sample)(const struct made *q)
{
    ptrdiff_t N = q->N, D = q->D;
    struct NAME(made_sampling) work = {.q = q, .n_strips = NAME(padded)(D) / STRIP};
    double cost = (double)(q->n_links * D) * (double)D * 0.1;
    size_t units_bytes = 0, last_bytes = 0;
    for (int k = 0; k < q->n_layers; k++) {
        cost += (double)q->H[k] * (double)(k + 1 < q->n_layers ? q->H[k + 1] : D) / 2;
        last_bytes = (size_t)NAME(padded)(q->H[k]) * sizeof(real);
        units_bytes += last_bytes + STRIP * sizeof(real);
    }
    int threads = threads_for((double)N * cost);
    work.tile = even_tiles(N, threads, TILE);

    size_t link_bytes = (size_t)(work.n_strips * D * STRIP) * sizeof(real);
    size_t first_bytes = (size_t)(D + 1) * sizeof(ptrdiff_t);
    work.slot_bytes = rounded_up((size_t)(work.tile * D) * sizeof(double))
                    + rounded_up((size_t)(work.tile * STRIP) * sizeof(real))
                    + rounded_up((size_t)(work.tile * D) * sizeof(int32_t))
                    + rounded_up((size_t)(q->n_layers + 1) * sizeof(real *))
                    + rounded_up((size_t)work.tile * units_bytes) + (size_t)q->n_layers * 64
                    + rounded_up((size_t)work.tile * last_bytes);
    char *memory = memory_get(rounded_up((size_t)D * sizeof(ptrdiff_t))
                              + rounded_up((size_t)(q->n_layers + 1) * sizeof(ptrdiff_t *))
                              + (size_t)q->n_layers * rounded_up(first_bytes)
                              + (size_t)q->n_links * rounded_up(link_bytes)
                              + (size_t)threads * rounded_up(work.slot_bytes));
    char *scratch = memory;
    if (scratch == NULL)
        return -1;

    work.position = take(&scratch, (size_t)D * sizeof(ptrdiff_t));
    invert(D, q->order, work.position);
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
    for (int link = 0; link < q->n_links; link++)
        work.links[link] = take(&scratch, link_bytes);
    work.slot_bytes = rounded_up(work.slot_bytes);
    work.slots = scratch;
    run_tasks(threads, q->n_links * work.n_strips, NAME(transpose_links), &work);
    run_tasks(threads, (N + work.tile - 1) / work.tile, NAME(made_sample_task), &work);
    memory_put(memory);
    return 0;
}

static const struct kernels NAME(kernels) = {
    .exponential = NAME(exponential),
    .bernoulli_log_p = NAME(bernoulli_log_p),
    .bernoulli_d_logits = NAME(bernoulli_d_logits),
    .adam_update = NAME(adam_update),
    .nade_logits = NAME(nade_logits),
    .nade_backward = NAME(nade_backward),
    .nade_sample = NAME(nade_sample),
    .made_sample = NAME(made_sample),
    .masked_forward = NAME(masked_forward),
    .masked_backward = NAME(masked_backward),
    .masked_outer = NAME(masked_outer),
};
