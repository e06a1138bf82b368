/* NADE: logits, gradients and samples.
 *
 * The definition walks along the order with one activation a (N, H). Here the hidden units are cut
 * into blocks and the examples into tiles. For a tile and a block, the walk runs over the variables
 * on the outside; inside, the block of V[i] stays in registers over the examples of the tile, whose
 * hidden units lie in the first-level cache. A feature that is 0 leaves the activation as it was,
 * so hidden units are computed only after a feature that is not 0; until an example meets its first
 * one, its hidden units are g(c), and what depends on them only is computed once for all such
 * examples.
 *
 * Products. With sigmoid units most of the time would go into exponentials. But where a feature is
 * 1, W_i is added to a, and the exponential of a sum is a product. So what is kept of a unit is
 *
 *     e = exp(-a),      a + W_i  is  e exp(-W_i),      h = sigmoid(a) = 1 / (1 + e)
 *
 * where exp(-W_i) is computed once for all examples. A relative error of e is an absolute error of
 * a, and each product makes one of at most half an eps; adding up numbers of the size of 4 makes
 * errors eight times as large. (Measured: see the accuracy test of NADE's logits.)
 *
 * Now e may leave the normal numbers though a comes back later. So the exponent of each product is
 * looked at. If that of any unit of the block has come near an end (float32: |a| > 86), the example
 * goes on, in this block, with a itself: a is added up from c anew, once, and from there on the way
 * of the definition is taken. The same happens at a feature that is neither 0 nor 1. The rectifier
 * takes that way from the beginning. Which way an example takes depends on nothing but its own
 * features until then: not on its batch, nor on what comes later in the order.
 *
 * Blocks and tiles depend on the sizes alone, and everything is added up in a fixed order.
 */

/* Copy `width` numbers and zeros into a buffer of n_vecs vecs. `end` is where p's array ends. */
#define copy_units NAME(copy_units)
NOINLINE void copy_units(real *buffer, const real *p, ptrdiff_t width, const real *end, int n_vecs)
{
    for (int k = 0; k < n_vecs; k++) {
        ptrdiff_t left = width - k * LANES;
        v_store(buffer + k * LANES, left >= LANES ? v_load(p + k * LANES)
                                  : left > 0      ? v_load_part(p + k * LANES, left, end)
                                                  : v_set(0));
    }
}

/* Load n_vecs (at most 8) vecs, of which `width` numbers exist; the others are zeros. */
#define load_units NAME(load_units)
INLINE void load_units(vec *v, const real *p, ptrdiff_t width, const real *end, const int n_vecs)
{
    real buffer[8 * LANES];
    if (width < n_vecs * LANES) {
        copy_units(buffer, p, width, end, n_vecs);
        p = buffer;
    }
    UNROLL
    for (int k = 0; k < n_vecs; k++)
        v[k] = v_load(p + k * LANES);
}

/* Store those of n_vecs vecs that exist. */
#define store_units NAME(store_units)
INLINE void store_units(real *p, const vec *v, ptrdiff_t width, const int n_vecs)
{
    real buffer[8 * LANES];
    real *to = width < n_vecs * LANES ? buffer : p;
    UNROLL
    for (int k = 0; k < n_vecs; k++)
        v_store(to + k * LANES, v[k]);
    if (width < n_vecs * LANES)
        memcpy(p, buffer, (size_t)width * sizeof(real));
}

/* Rows of W and V are far from each other, so the CPU does not guess which comes next: tell it. */
#define fetch_units NAME(fetch_units)
INLINE void fetch_units(const real *p, const int n_vecs)
{
    const int line = 64 / (int)sizeof(real);
    UNROLL
    for (int k = 0; k < n_vecs * LANES; k += line)
        PREFETCH(p + k);
}

#define activate NAME(activate)
INLINE vec activate(vec a, const int hidden)
{
    return hidden == SIGMOID ? v_sigmoid(a)
         : hidden == TANH    ? v_tanh(a)
                             : v_max(v_set(0), a);
}

/* g'(a) from h = g(a) */
#define slope NAME(slope)
INLINE vec slope(vec h, const int hidden)
{
    return hidden == SIGMOID ? h * (1 - h) : v_if_less(v_set(0), h, v_set(1), v_set(0));
}

/* sum_k v[k] w[k], not yet summed over the lanes */
#define dot NAME(dot)
INLINE vec dot(const vec *v, const vec *w, const int n_vecs)
{
    vec even = v[0] * w[0], odd = v[1] * w[1];
    UNROLL
    for (int k = 2; k < n_vecs; k += 2) {
        even += v[k] * w[k];
        odd += v[k + 1] * w[k + 1];
    }
    return even + odd;
}

/* The walk and its marks. --------------------------------------------------------------------- */

/* In which examples of a tile a feature is ..., by bits: bit n speaks of the nth. */
#define nade_marks NAME(nade_marks)
struct nade_marks {
    uint32_t nonzero; /* not 0 */
    uint32_t one;     /* 1 */
    uint32_t last;    /* not 0, while the later features of its step are */
};

/* A step of the walk is an output, and before it the features that have become known since the
 * output before. For bits that is the variable before; context is known before the first output. */
#define nade_work NAME(nade_work)
struct nade_work {
    const struct nade *q;
    ptrdiff_t tile_rows, n_tiles, n_blocks;
    ptrdiff_t n_steps, n_known;  /* how many outputs; how many features that an output depends on */
    ptrdiff_t *output, *feature; /* rows of V (P,) and of W (F,), in the order of the walk */
    ptrdiff_t *begin;            /* (P + 1,): step p has features begin[p]..begin[p + 1] - 1 */
    struct nade_marks *marks;    /* (n_tiles, F), by column of x */
    uint32_t *changed;           /* (n_tiles, P), by step: in which examples a feature is not 0 */
    ptrdiff_t *n_changes;        /* (n_tiles,): how many bits that are */
    char *used;                  /* (F,), by column of x: whether it is not 0 in any example */
    /* exp(-W) in whole vecs, or NULL: that of block k and feature f of the walk is the vecs from
     * k * factor_blocks + f * factor_features on. */
    vec *factor;
    ptrdiff_t factor_blocks, factor_features;
    /* Logits: the tiles of this round, and what each block gives to them,
     * (tiles, n_blocks, n_steps, TILE). */
    ptrdiff_t first_tile, tiles;
    real *partial;
    /* Backward: in which examples a feature is not 0 in this step or one before, (n_tiles, P), by
     * step, the sums of d_logits over the others, and d_logits, (n_tiles, P, BACKWARD_TILE), by
     * step too, for a CPU does not follow as many rows as there are examples; */
    uint32_t *begun;
    real *d_start, *d_logits;
    ptrdiff_t n_states; /* the most states that a tile may have; */
    char *slots;        /* and scratch for each thread, */
    size_t slot_bytes;  /* so many bytes */
};

/* How many examples a tile has. */
INLINE int NAME(rows_of)(const struct nade_work *work, ptrdiff_t tile)
{
    ptrdiff_t left = work->q->N - tile * work->tile_rows;
    return (int)(left < work->tile_rows ? left : work->tile_rows);
}

/* The walk and space for marks, in scratch memory of walk_bytes(). */
static size_t NAME(walk_bytes)(const struct nade *q, ptrdiff_t n_tiles)
{
    size_t F = (size_t)q->n_features, P = (size_t)q->n_outputs, tiles = (size_t)n_tiles;
    return rounded_up(P * sizeof(ptrdiff_t)) + rounded_up(F * sizeof(ptrdiff_t))
         + rounded_up((P + 1) * sizeof(ptrdiff_t)) + rounded_up(tiles * sizeof(ptrdiff_t))
         + rounded_up(tiles * F * sizeof(struct nade_marks))
         + rounded_up(tiles * P * sizeof(uint32_t)) + rounded_up(F);
}

static void NAME(plan_walk)(struct nade_work *work, char **scratch)
{
    const struct nade *q = work->q;
    size_t F = (size_t)q->n_features, P = (size_t)q->n_outputs, tiles = (size_t)work->n_tiles;
    ptrdiff_t n = 0;
    work->output = take(scratch, P * sizeof(ptrdiff_t));
    work->feature = take(scratch, F * sizeof(ptrdiff_t));
    work->begin = take(scratch, (P + 1) * sizeof(ptrdiff_t));
    work->n_changes = take(scratch, tiles * sizeof(ptrdiff_t));
    work->marks = take(scratch, tiles * F * sizeof(struct nade_marks));
    work->changed = take(scratch, tiles * P * sizeof(uint32_t));
    work->used = take(scratch, F);
    for (ptrdiff_t f = q->features[q->D]; f < q->n_features; f++)
        work->feature[n++] = f;
    for (ptrdiff_t k = 0; k < q->D; k++) {
        ptrdiff_t i = q->order[k];
        for (ptrdiff_t o = q->outputs[i]; o < q->outputs[i + 1]; o++) {
            work->begin[work->n_steps] = work->n_known;
            work->output[work->n_steps++] = o;
            work->n_known = n;
        }
        for (ptrdiff_t f = q->features[i]; f < q->features[i + 1]; f++)
            work->feature[n++] = f;
    }
    work->begin[work->n_steps] = work->n_known;
}

/* Make the marks of a tile. */
static void NAME(mark)(void *context, ptrdiff_t tile, int slot)
{
    const struct nade_work *work = context;
    const struct nade *q = work->q;
    const ptrdiff_t F = q->n_features;
    const int rows = NAME(rows_of)(work, tile);
    const real *x = (const real *)q->x + tile * work->tile_rows * F, *end = x + rows * F;
    struct nade_marks *marks = work->marks + tile * F;
    ptrdiff_t n_changes = 0;
    (void)slot;
    for (ptrdiff_t f = 0; f < F; f += LANES) {
        ivec zeros = v_bits(v_set(0)), ones = zeros;
        integer zero[LANES], one[LANES];
        for (int n = 0; n < rows; n++) {
            const real *p = x + n * F + f;
            vec v = F - f >= LANES ? v_load(p) : v_load_part(p, F - f, end);
            zeros |= v_equal(v, v_set(0)) & ((integer)1 << n);
            ones |= v_equal(v, v_set(1)) & ((integer)1 << n);
        }
        memcpy(zero, &zeros, sizeof zero);
        memcpy(one, &ones, sizeof one);
        for (ptrdiff_t k = 0; k < LANES && f + k < F; k++) {
            marks[f + k].nonzero = ~(uint32_t)zero[k] & ~(uint32_t)0 >> (32 - rows);
            marks[f + k].one = (uint32_t)one[k];
        }
    }
    for (ptrdiff_t p = 0; p < work->n_steps; p++) {
        uint32_t changed = 0;
        for (ptrdiff_t k = work->begin[p + 1] - 1; k >= work->begin[p]; k--) {
            struct nade_marks *m = marks + work->feature[k];
            m->last = m->nonzero & ~changed;
            changed |= m->nonzero;
        }
        work->changed[tile * q->n_outputs + p] = changed;
        for (; changed; changed &= changed - 1)
            n_changes++;
    }
    work->n_changes[tile] = n_changes;
}

static void NAME(mark_tiles)(struct nade_work *work, int threads)
{
    ptrdiff_t F = work->q->n_features;
    run_tasks(threads, work->n_tiles, NAME(mark), work);
    memset(work->used, 0, (size_t)F);
    for (ptrdiff_t k = 0; k < work->n_tiles * F; k += F)
        for (ptrdiff_t f = 0; f < F; f++)
            work->used[f] |= work->marks[k + f].nonzero != 0;
}

/* Activations. -------------------------------------------------------------------------------- */

/* One block of hidden units, and what is known of a tile's examples. */
#define nade_front NAME(nade_front)
struct nade_front {
    const struct nade_work *work;
    ptrdiff_t first, width; /* the block's first unit, and how many there are from there on */
    const real *x;          /* (tile_rows, F) */
    uint32_t products;      /* the examples of which e = exp(-a) is kept, not a */
};

/* n_vecs of row f of W, from the block's first unit on. */
INLINE void NAME(load_W)(const struct nade_front *t, vec *w, ptrdiff_t f, const int n_vecs)
{
    const struct nade *q = t->work->q;
    load_units(w, (const real *)q->W + f * q->H + t->first, t->width,
               (const real *)q->W + q->n_features * q->H, n_vecs);
}

INLINE void NAME(load_c)(const struct nade_front *t, vec *c, const int n_vecs)
{
    const struct nade *q = t->work->q;
    load_units(c, (const real *)q->c + t->first, t->width, (const real *)q->c + q->H, n_vecs);
}

/* exp(-W_f), or NaN where that is too small or too large. */
INLINE void NAME(load_factor)(const struct nade_front *t, vec *w, ptrdiff_t f, const int n_vecs)
{
    NAME(load_W)(t, w, f, n_vecs);
    UNROLL
    for (int u = 0; u < n_vecs; u++)
        w[u] = v_exp_or_nan(-w[u]);
}

/* Multiply e by the factor w and, if h is not NULL, let it be 1 / (1 + e). Returns whether any e
 * can no longer be trusted: it is less than three powers of two from an end of the normal numbers,
 * or NaN. Then a sign bit turns up, of the representation moved up or down by three exponents. */
INLINE int NAME(multiply)(vec *e, const vec *w, vec *h, const int n_vecs)
{
    const integer margin = (integer)3 << MANTISSA_BITS;
    ivec bad = v_bits(v_set(0));
    UNROLL
    for (int u = 0; u < n_vecs; u++) {
        vec product = e[u] * w[u];
        e[u] = product;
        bad |= (v_bits(product) + margin) | (v_bits(product) - margin);
        if (h != NULL)
            h[u] = v_reciprocal(1 + product);
    }
    return v_any_sign(bad);
}

/* From now on a of example n is kept, not e: a as it is before the walk's feature k. */
NOINLINE void NAME(leave_products)(struct nade_front *t, int n, ptrdiff_t k, vec *a, int n_vecs)
{
    const real *x = t->x + n * t->work->q->n_features;
    t->products &= ~((uint32_t)1 << n);
    NAME(load_c)(t, a, n_vecs);
    for (ptrdiff_t j = 0; j < k; j++) {
        ptrdiff_t f = t->work->feature[j];
        vec w[8];
        if (x[f] == 0)
            continue;
        NAME(load_W)(t, w, f, n_vecs);
        for (int u = 0; u < n_vecs; u++)
            a[u] += x[f] * w[u];
    }
}

/* Add x_f W_f, where f is the walk's feature k, to the activations a of example n. */
INLINE void NAME(add)(const struct nade_front *t, int n, ptrdiff_t k, vec *a, const int n_vecs)
{
    ptrdiff_t f = t->work->feature[k];
    real x_f = t->x[n * t->work->q->n_features + f];
    vec w[8];
    NAME(load_W)(t, w, f, n_vecs);
    UNROLL
    for (int u = 0; u < n_vecs; u++)
        a[u] += x_f * w[u];
}

/* Logits. ------------------------------------------------------------------------------------- */

/* exp(-W) of a few features of the walk. */
static void NAME(make_factors)(void *context, ptrdiff_t task, int slot)
{
    enum { VECS = FORWARD_VECS };
    const struct nade_work *work = context;
    ptrdiff_t begin = task * FACTOR_FEATURES, end = begin + FACTOR_FEATURES;
    (void)slot;
    for (ptrdiff_t k = begin; k < end && k < work->n_known; k++) {
        ptrdiff_t f = work->feature[k];
        if (!work->used[f])
            continue;
        for (ptrdiff_t block = 0; block < work->n_blocks; block++) {
            ptrdiff_t first = block * VECS * LANES;
            struct nade_front front = {.work = work, .first = first, .width = work->q->H - first};
            vec *to = work->factor + block * work->factor_blocks + k * work->factor_features;
            vec w[VECS];
            NAME(load_factor)(&front, w, f, VECS);
            UNROLL
            for (int u = 0; u < VECS; u++)
                to[u] = w[u];
        }
    }
}

/* The walk's feature k becomes known: e or a (n, VECS) of all examples in which it is not 0, and,
 * where it is the last of its step, their hidden units (n, VECS). */
INLINE void NAME(advance)(struct nade_front *t, ptrdiff_t k, struct nade_marks m, ptrdiff_t block,
                          vec (*a)[FORWARD_VECS], vec (*h)[FORWARD_VECS], const int hidden)
{
    enum { VECS = FORWARD_VECS };
    const struct nade_work *work = t->work;
    const uint32_t quick = m.one & t->products;
    uint32_t slow = m.nonzero & ~quick;
    if (quick) {
        vec w[VECS];
        const vec *factor = work->factor + block * work->factor_blocks + k * work->factor_features;
        if (work->factor == NULL)
            NAME(load_factor)(t, w, work->feature[k], VECS);
        else
            for (int u = 0; u < VECS; u++)
                w[u] = factor[u];
        for (uint32_t rest = quick & m.last; rest; rest &= rest - 1) {
            int n = LOWEST_BIT(rest);
            slow |= (uint32_t)NAME(multiply)(a[n], w, h[n], VECS) << n;
        }
        for (uint32_t rest = quick & ~m.last; rest; rest &= rest - 1) {
            int n = LOWEST_BIT(rest);
            slow |= (uint32_t)NAME(multiply)(a[n], w, NULL, VECS) << n;
        }
    }
    for (uint32_t rest = slow; rest; rest &= rest - 1) {
        int n = LOWEST_BIT(rest);
        if (t->products >> n & 1)
            NAME(leave_products)(t, n, k, a[n], VECS);
        NAME(add)(t, n, k, a[n], VECS);
        if (m.last >> n & 1)
            UNROLL
            for (int u = 0; u < VECS; u++)
                h[n][u] = activate(a[n][u], hidden);
    }
}

/* What one block of hidden units gives to the logits of one tile. */
INLINE void NAME(nade_logits_task)(struct nade_work *work, ptrdiff_t task, const int hidden)
{
    enum { VECS = FORWARD_VECS };
    const struct nade *q = work->q;
    const ptrdiff_t H = q->H, F = q->n_features, P = q->n_outputs, n_steps = work->n_steps;
    const ptrdiff_t block = task / work->tiles, round_tile = task % work->tiles;
    const ptrdiff_t tile = work->first_tile + round_tile;
    const ptrdiff_t first = block * VECS * LANES, width = H - first; /* perhaps more than a block */
    const real *V = (const real *)q->V + first, *V_end = (const real *)q->V + P * H;
    const struct nade_marks *marks = work->marks + tile * F;
    real *partial = work->partial + (round_tile * work->n_blocks + block) * n_steps * TILE;
    struct nade_front front = {.work = work, .first = first, .width = width,
                               .x = (const real *)q->x + tile * TILE * F,
                               .products = hidden == SIGMOID ? ~(uint32_t)0 : 0};
    vec a[TILE][VECS], h[TILE][VECS], keep[TILE][VECS];
    vec c[VECS], h_start[VECS];
    uint32_t started = 0; /* the examples whose hidden units are no longer g(c) */

    NAME(load_c)(&front, c, VECS);
    for (int u = 0; u < VECS; u++) {
        vec a_start = hidden == SIGMOID ? v_exp_or_nan(-c[u]) : c[u];
        for (int n = 0; n < TILE; n++)
            a[n][u] = a_start;
        h_start[u] = activate(c[u], hidden);
    }
    if (q->keep) {
        const real *end = (const real *)q->keep + q->N * H;
        for (int n = 0; n < NAME(rows_of)(work, tile); n++) {
            load_units(keep[n], (const real *)q->keep + (tile * TILE + n) * H + first, width, end,
                       VECS);
            for (int u = 0; u < VECS; u++)
                h[n][u] = h_start[u] * keep[n][u];
            started |= (uint32_t)1 << n;
        }
    }

    for (ptrdiff_t p = 0; p < n_steps; p++) {
        vec v[VECS], s[TILE];
        if (p + AHEAD < n_steps)
            fetch_units(V + work->output[p + AHEAD] * H, VECS);
        for (ptrdiff_t k = work->begin[p]; k < work->begin[p + 1]; k++) {
            const struct nade_marks m = marks[work->feature[k]];
            NAME(advance)(&front, k, m, block, a, h, hidden);
            if (q->keep)
                for (uint32_t rest = m.last; rest; rest &= rest - 1) {
                    int n = LOWEST_BIT(rest);
                    for (int u = 0; u < VECS; u++)
                        h[n][u] *= keep[n][u];
                }
        }
        started |= work->changed[tile * P + p];

        load_units(v, V + work->output[p] * H, width, V_end, VECS);
        vec s_start = dot(v, h_start, VECS);
        for (int n = 0; n < TILE; n++)
            s[n] = started >> n & 1 ? dot(v, h[n], VECS) : s_start;
        UNROLL
        for (int n = 0; n < TILE; n += LANES)
            v_store(partial + p * TILE + n, v_sums(s + n));
    }
}

static void NAME(nade_logits_sigmoid)(void *context, ptrdiff_t task, int slot)
{
    (void)slot;
    NAME(nade_logits_task)(context, task, SIGMOID);
}

static void NAME(nade_logits_relu)(void *context, ptrdiff_t task, int slot)
{
    (void)slot;
    NAME(nade_logits_task)(context, task, RELU);
}

/* Add up what the blocks gave to the logits of one tile, in the order of the blocks. */
static void NAME(nade_logits_sum)(void *context, ptrdiff_t round_tile, int slot)
{
    const struct nade_work *work = context;
    const struct nade *q = work->q;
    ptrdiff_t n_steps = work->n_steps, tile = work->first_tile + round_tile;
    const real *b = q->b;
    real *partial = work->partial + round_tile * work->n_blocks * n_steps * TILE;
    real *logits = (real *)q->logits + tile * TILE * q->n_outputs;
    int rows = NAME(rows_of)(work, tile);
    (void)slot;
    for (ptrdiff_t p = 0; p < n_steps; p++) {
        ptrdiff_t o = work->output[p];
        real sum[TILE];
        for (int n = 0; n < TILE; n++)
            sum[n] = partial[p * TILE + n];
        for (ptrdiff_t block = 1; block < work->n_blocks; block++)
            for (int n = 0; n < TILE; n++)
                sum[n] += partial[(block * n_steps + p) * TILE + n];
        for (int n = 0; n < rows; n++)
            logits[n * q->n_outputs + o] = sum[n] + b[o];
    }
}

static int NAME(nade_logits)(const struct nade *q)
{
    ptrdiff_t P = q->n_outputs, F = q->n_features, block = FORWARD_VECS * LANES;
    ptrdiff_t n_tiles = (q->N + TILE - 1) / TILE, n_blocks = (q->H + block - 1) / block;
    struct nade_work work = {.q = q, .tile_rows = TILE, .n_tiles = n_tiles, .n_blocks = n_blocks,
                             .factor_blocks = F * FORWARD_VECS, .factor_features = FORWARD_VECS};
    ptrdiff_t partial_size = n_blocks * P * TILE; /* of a tile */
    ptrdiff_t tiles = 1 + PARTIAL_BYTES / (partial_size * (ptrdiff_t)sizeof(real));
    /* Where few tiles share exp(-W) each makes its own, and only what it needs. */
    int shared = q->hidden == SIGMOID && n_tiles > 2;
    size_t factor_bytes = shared ? rounded_up((size_t)(n_blocks * F * block) * sizeof(real)) : 0;
    int threads = threads_for((double)q->N * (double)P * (double)q->H);
    char *memory, *scratch;

    tiles = tiles < n_tiles ? tiles : n_tiles;
    memory = scratch = memory_get(NAME(walk_bytes)(q, n_tiles) + factor_bytes
                                  + (size_t)(tiles * partial_size) * sizeof(real));
    if (memory == NULL)
        return -1;
    NAME(plan_walk)(&work, &scratch);
    NAME(mark_tiles)(&work, threads);
    if (shared) {
        work.factor = take(&scratch, factor_bytes);
        run_tasks(threads, (work.n_known + FACTOR_FEATURES - 1) / FACTOR_FEATURES,
                  NAME(make_factors), &work);
    }
    work.partial = take(&scratch, (size_t)(tiles * partial_size) * sizeof(real));
    for (; work.first_tile < n_tiles; work.first_tile += tiles) {
        work.tiles = n_tiles - work.first_tile < tiles ? n_tiles - work.first_tile : tiles;
        run_tasks(threads, work.tiles * n_blocks,
                  q->hidden == SIGMOID ? NAME(nade_logits_sigmoid) : NAME(nade_logits_relu), &work);
        run_tasks(threads, work.tiles, NAME(nade_logits_sum), &work);
    }
    memory_put(memory);
    return 0;
}

/* Gradients. -------------------------------------------------------------------------------------
 *
 * Like the definition, a walk there and a walk back. A run of steps has the same hidden units h: it
 * lasts from one step in which a feature is not 0 to the next. A run gives
 *
 *     dV_o += d_logits_o h,    d_h = sum_o d_logits_o V_o,    d_a += g'(a) d_h    (its outputs o)
 *
 * of which the last is done once, when the walk back comes to its beginning. The walk back takes
 * two steps at a time: V and dV of both stay in registers for all examples of a tile, and h and d_h
 * of an example that does not change between them are read once for both. Until an example meets
 * its first feature that is not 0, its hidden units are g(c), as those of all others: of these only
 * the sum of d_logits is needed.
 *
 * The walk back divides e by what the walk there has multiplied it by. (Going back with a itself
 * would subtract what was added, and rounding could move a unit across the kink of the rectifier.)
 * Where a is kept, so are the hidden units of every run.
 *
 * A task is a block of hidden units, for all examples: the columns of dW, dc and dV are its own.
 */

/* The block's columns of V and dV for one step, side by side, which caches like better. */
#define nade_output NAME(nade_output)
struct nade_output {
    vec V[BACKWARD_VECS], dV[BACKWARD_VECS];
};

/* One block of hidden units and where it stands in the walk over one tile. */
#define nade_walk NAME(nade_walk)
struct nade_walk {
    struct nade_front front;
    const struct nade *q;
    const struct nade_marks *marks; /* of the tile */
    const real *d_logits;           /* of the tile, by step: (P, BACKWARD_TILE) */
    struct nade_output *outputs;    /* by step */
    vec (*factor)[BACKWARD_VECS], (*dW)[BACKWARD_VECS]; /* exp(-W) and dW, by feature of the walk */
    /* Where a is kept: the hidden units of each run, in the order in which they were computed, and
     * which run of the same example came before. There is no run 0. */
    vec (*states)[BACKWARD_VECS];
    int32_t *before, n_states;
    /* Of each example: */
    int32_t state[BACKWARD_TILE];  /* its run, or 0 */
    ptrdiff_t left[BACKWARD_TILE]; /* the feature from which on a is kept */
    vec e[BACKWARD_TILE][BACKWARD_VECS], a[BACKWARD_TILE][BACKWARD_VECS];
    vec d_a[BACKWARD_TILE][BACKWARD_VECS], keep[BACKWARD_TILE][BACKWARD_VECS];
    /* On the walk back: its hidden units (times keep), and d_h of its run so far. */
    struct {
        vec h[BACKWARD_VECS], d_h[BACKWARD_VECS];
    } now[BACKWARD_TILE];
};

/* On the walk there, the walk's feature k becomes known. */
INLINE void NAME(walk_there)(struct nade_walk *t, ptrdiff_t k, const int hidden)
{
    enum { VECS = BACKWARD_VECS };
    const struct nade_marks m = t->marks[t->front.work->feature[k]];
    const uint32_t quick = m.one & t->front.products;
    uint32_t slow = m.nonzero & ~quick;

    for (uint32_t rest = quick; rest; rest &= rest - 1) {
        int n = LOWEST_BIT(rest);
        slow |= (uint32_t)NAME(multiply)(t->e[n], t->factor[k], NULL, VECS) << n;
    }
    for (uint32_t rest = slow; rest; rest &= rest - 1) {
        int n = LOWEST_BIT(rest);
        if (t->front.products >> n & 1) {
            NAME(leave_products)(&t->front, n, k, t->a[n], VECS);
            t->left[n] = k;
            for (int u = 0; u < VECS; u++)
                t->e[n][u] = v_exp_normal(-t->a[n][u]);
        }
        NAME(add)(&t->front, n, k, t->a[n], VECS);
        if (m.last >> n & 1) {
            UNROLL
            for (int u = 0; u < VECS; u++)
                t->states[t->n_states][u] = activate(t->a[n][u], hidden);
            t->before[t->n_states] = t->state[n];
            t->state[n] = t->n_states++;
        }
    }
}

/* The hidden units of example n where the walk stands. */
INLINE void NAME(hidden_now)(const struct nade_walk *t, int n, const vec *h_start, vec *h)
{
    enum { VECS = BACKWARD_VECS };
    const vec *kept = t->state[n] ? t->states[t->state[n]] : h_start;
    UNROLL
    for (int u = 0; u < VECS; u++)
        h[u] = t->front.products >> n & 1 ? v_reciprocal(1 + t->e[n][u]) : kept[u];
}

/* A run of example n is met at its end. */
INLINE void NAME(enter_run)(struct nade_walk *t, int n, const vec *h_start)
{
    enum { VECS = BACKWARD_VECS };
    NAME(hidden_now)(t, n, h_start, t->now[n].h);
    UNROLL
    for (int u = 0; u < VECS; u++) {
        t->now[n].d_h[u] = v_set(0);
        if (t->q->keep)
            t->now[n].h[u] *= t->keep[n][u];
    }
}

/* And left at its beginning: d_h becomes part of d_a. */
INLINE void NAME(leave_run)(struct nade_walk *t, int n, const vec *h_start, const int hidden)
{
    enum { VECS = BACKWARD_VECS };
    const int dropout = t->q->keep != NULL;
    vec h[VECS];
    if (dropout)
        NAME(hidden_now)(t, n, h_start, h);
    UNROLL
    for (int u = 0; u < VECS; u++)
        t->d_a[n][u] += dropout ? t->now[n].d_h[u] * t->keep[n][u] * slope(h[u], hidden)
                                : t->now[n].d_h[u] * slope(t->now[n].h[u], hidden);
}

#define OUTPUT_VECS (VECTOR_BYTES == 64 ? 4 : 2) /* as many as registers hold for two outputs, */
#define BIT_VECS (VECTOR_BYTES == 64 ? 4 : 1)    /* and for these and a feature between them */

/* What output p, and with n_outputs = 2 also p - 1, gives to dV and d_h, where both have one h. */
INLINE void NAME(outputs_back)(struct nade_walk *t, ptrdiff_t p, uint32_t examples,
                               const int n_outputs)
{
    enum { VECS = BACKWARD_VECS, AT_ONCE = OUTPUT_VECS };
    const real *d_logits = t->d_logits + p * BACKWARD_TILE;
    struct nade_output *outputs = t->outputs + p;
    if (!examples)
        return;
    for (int v = 0; v < VECS; v += AT_ONCE) {
        vec V[2][AT_ONCE], dV[2][AT_ONCE];
        UNROLL
        for (int o = 0; o < n_outputs; o++)
            UNROLL
            for (int u = 0; u < AT_ONCE; u++) {
                V[o][u] = outputs[-o].V[v + u];
                dV[o][u] = outputs[-o].dV[v + u];
            }
        for (uint32_t rest = examples; rest; rest &= rest - 1) {
            int n = LOWEST_BIT(rest);
            real d[2];
            UNROLL
            for (int o = 0; o < n_outputs; o++)
                d[o] = d_logits[n - o * BACKWARD_TILE];
            UNROLL
            for (int u = 0; u < AT_ONCE; u++) {
                vec h = t->now[n].h[v + u], d_h = t->now[n].d_h[v + u];
                UNROLL
                for (int o = 0; o < n_outputs; o++) {
                    d_h += d[o] * V[o][u];
                    dV[o][u] += d[o] * h;
                }
                t->now[n].d_h[v + u] = d_h;
            }
        }
        UNROLL
        for (int o = 0; o < n_outputs; o++)
            UNROLL
            for (int u = 0; u < AT_ONCE; u++)
                outputs[-o].dV[v + u] = dV[o][u];
    }
}

/* On the walk back, the walk's feature k is taken away: it contributes x_f d_a to dW_f. */
INLINE void NAME(walk_back)(struct nade_walk *t, ptrdiff_t k)
{
    enum { VECS = BACKWARD_VECS };
    const ptrdiff_t f = t->front.work->feature[k];
    const struct nade_marks m = t->marks[f];
    const uint32_t quick = m.nonzero & t->front.products;
    vec dw[VECS], shrink[VECS];
    if (!m.nonzero)
        return;
    UNROLL
    for (int u = 0; u < VECS; u++)
        dw[u] = t->dW[k][u];
    if (quick)
        UNROLL
        for (int u = 0; u < VECS; u++)
            shrink[u] = v_reciprocal(t->factor[k][u]);
    for (uint32_t rest = quick; rest; rest &= rest - 1) {
        int n = LOWEST_BIT(rest);
        UNROLL
        for (int u = 0; u < VECS; u++) {
            dw[u] += t->d_a[n][u];
            t->e[n][u] *= shrink[u];
        }
    }
    for (uint32_t rest = m.nonzero & ~quick; rest; rest &= rest - 1) {
        int n = LOWEST_BIT(rest);
        real x_f = t->front.x[n * t->q->n_features + f];
        UNROLL
        for (int u = 0; u < VECS; u++)
            dw[u] += x_f * t->d_a[n][u];
        if (k == t->left[n])
            t->front.products |= (uint32_t)1 << n; /* e is as it was when it was left */
    }
    UNROLL
    for (int u = 0; u < VECS; u++)
        t->dW[k][u] = dw[u];
}

/* The same where the feature is the only one of step p, and 1: the run that begins here is left and
 * the one before it is met, and with `outputs` they give what they have to output p and, of the
 * examples that go on, p - 1. Most steps are such, so all of this is done in registers. */
INLINE void NAME(bit_back)(struct nade_walk *t, ptrdiff_t k, ptrdiff_t p, uint32_t examples,
                           uint32_t going_on, const int outputs)
{
    enum { VECS = BACKWARD_VECS, AT_ONCE = BIT_VECS };
    const real *d_logits = t->d_logits + p * BACKWARD_TILE;
    struct nade_output *after = t->outputs + p, *before = after - outputs;
    for (int v = 0; v < VECS; v += AT_ONCE) {
        vec V[2][AT_ONCE], dV[2][AT_ONCE], dW[AT_ONCE], shrink[AT_ONCE];
        UNROLL
        for (int u = 0; u < AT_ONCE; u++) {
            dW[u] = t->dW[k][v + u];
            shrink[u] = v_reciprocal(t->factor[k][v + u]);
            V[0][u] = after->V[v + u];
            V[1][u] = before->V[v + u];
            dV[0][u] = after->dV[v + u];
            dV[1][u] = before->dV[v + u];
        }
        for (uint32_t rest = examples; rest; rest &= rest - 1) {
            int n = LOWEST_BIT(rest);
            real d_after = outputs ? d_logits[n] : 0;
            real d_before = outputs && going_on >> n & 1 ? d_logits[n - BACKWARD_TILE] : 0;
            UNROLL
            for (int u = 0; u < AT_ONCE; u++) {
                vec h = t->now[n].h[v + u], d_h = t->now[n].d_h[v + u];
                if (outputs) {
                    d_h += d_after * V[0][u];
                    dV[0][u] += d_after * h;
                }
                vec d_a = t->d_a[n][v + u] + d_h * slope(h, SIGMOID);
                t->d_a[n][v + u] = d_a;
                dW[u] += d_a;
                vec e = t->e[n][v + u] * shrink[u];
                t->e[n][v + u] = e;
                h = v_reciprocal(1 + e);
                t->now[n].h[v + u] = h;
                t->now[n].d_h[v + u] = outputs ? d_before * V[1][u] : v_set(0);
                if (outputs)
                    dV[1][u] += d_before * h;
            }
        }
        UNROLL
        for (int u = 0; u < AT_ONCE; u++) {
            t->dW[k][v + u] = dW[u];
            if (outputs) {
                after->dV[v + u] = dV[0][u];
                before->dV[v + u] = dV[1][u];
            }
        }
    }
}

/* On the walk back, step p is taken away. With `outputs` the examples that change here have still
 * to give what they have to output p, and then, if they go on, to p - 1. */
INLINE void NAME(step_back)(struct nade_walk *t, ptrdiff_t p, uint32_t changed, uint32_t going_on,
                            const vec *h_start, const int hidden, const int outputs)
{
    const ptrdiff_t *begin = t->front.work->begin + p;
    if (hidden == SIGMOID && begin[1] == begin[0] + 1 && !t->q->keep
        && !(changed & ~t->front.products)) {
        if (changed)
            NAME(bit_back)(t, begin[0], p, changed, going_on, outputs);
        return;
    }
    if (outputs)
        NAME(outputs_back)(t, p, changed, 1);
    for (uint32_t rest = changed; rest; rest &= rest - 1) {
        int n = LOWEST_BIT(rest);
        NAME(leave_run)(t, n, h_start, hidden);
        if (!(t->front.products >> n & 1))
            t->state[n] = t->before[t->state[n]];
    }
    for (ptrdiff_t k = begin[1] - 1; k >= begin[0]; k--)
        NAME(walk_back)(t, k);
    for (uint32_t rest = changed; rest; rest &= rest - 1)
        NAME(enter_run)(t, LOWEST_BIT(rest), h_start);
    if (outputs)
        NAME(outputs_back)(t, p - 1, changed & going_on, 1);
}

/* There and back over one tile. */
INLINE void NAME(walk_tile)(struct nade_walk *t, ptrdiff_t tile, const vec *c, const vec *e_start,
                            const vec *h_start, vec *dc, const int hidden)
{
    enum { VECS = BACKWARD_VECS };
    const struct nade *q = t->q;
    const struct nade_work *work = t->front.work;
    const int rows = NAME(rows_of)(work, tile);
    const uint32_t *changed = work->changed + tile * q->n_outputs;
    const uint32_t *begun = work->begun + tile * q->n_outputs;
    t->front.x = (const real *)q->x + tile * BACKWARD_TILE * q->n_features;
    t->front.products = hidden == SIGMOID ? ~(uint32_t)0 : 0;
    t->marks = work->marks + tile * q->n_features;
    t->d_logits = work->d_logits + tile * BACKWARD_TILE * q->n_outputs;
    t->n_states = 1;
    for (int n = 0; n < rows; n++) {
        t->state[n] = 0;
        t->left[n] = -1;
        for (int u = 0; u < VECS; u++) {
            t->a[n][u] = c[u];
            t->e[n][u] = e_start[u];
            t->d_a[n][u] = v_set(0);
        }
        if (q->keep)
            load_units(t->keep[n],
                       (const real *)q->keep + (tile * BACKWARD_TILE + n) * q->H + t->front.first,
                       t->front.width, (const real *)q->keep + q->N * q->H, VECS);
    }
    for (ptrdiff_t k = 0; k < work->n_known; k++)
        NAME(walk_there)(t, k, hidden);
    for (int n = 0; n < rows; n++)
        NAME(enter_run)(t, n, h_start);
    ptrdiff_t p = work->n_steps - 1;
    for (; p > 0; p -= 2) { /* two steps at once, for those that do not change between them */
        NAME(outputs_back)(t, p, begun[p] & ~changed[p], 2);
        NAME(step_back)(t, p, changed[p], begun[p - 1], h_start, hidden, 1);
        NAME(step_back)(t, p - 1, changed[p - 1], 0, h_start, hidden, 0);
    }
    if (p == 0) {
        NAME(outputs_back)(t, 0, begun[0], 1);
        NAME(step_back)(t, 0, changed[0], 0, h_start, hidden, 0);
    }
    for (int n = 0; n < rows; n++) {
        if (q->keep)
            NAME(leave_run)(t, n, h_start, hidden);
        for (int u = 0; u < VECS; u++)
            dc[u] += t->d_a[n][u];
    }
}

INLINE void NAME(nade_backward_task)(struct nade_work *work, ptrdiff_t block, int slot,
                                     const int hidden)
{
    enum { VECS = BACKWARD_VECS };
    const struct nade *q = work->q;
    const ptrdiff_t H = q->H, P = q->n_outputs, n_steps = work->n_steps, n_known = work->n_known;
    const ptrdiff_t first = block * VECS * LANES, width = H - first; /* perhaps more than a block */
    const real *V = (const real *)q->V + first, *V_end = (const real *)q->V + P * H;
    real *dW = (real *)q->dW + first, *dV = (real *)q->dV + first;
    char *scratch = work->slots + (size_t)slot * work->slot_bytes;
    static const vec zeros[VECS];
    vec c[VECS], dc[VECS], e_start[VECS], h_start[VECS], d_h_start[VECS];
    struct nade_walk walk, *t = &walk;

    t->q = q;
    t->front = (struct nade_front){.work = work, .first = first, .width = width};
    t->outputs = take(&scratch, (size_t)n_steps * sizeof *t->outputs);
    t->factor = take(&scratch, (size_t)n_known * sizeof *t->factor);
    t->dW = take(&scratch, (size_t)n_known * sizeof *t->dW);
    t->before = take(&scratch, (size_t)work->n_states * sizeof *t->before);
    t->states = take(&scratch, (size_t)work->n_states * sizeof *t->states);
    NAME(load_c)(&t->front, c, VECS);
    for (int u = 0; u < VECS; u++) {
        e_start[u] = v_exp_or_nan(-c[u]);
        h_start[u] = activate(c[u], hidden);
        dc[u] = d_h_start[u] = v_set(0);
    }
    for (ptrdiff_t k = 0; k < n_known; k++) {
        if (k + AHEAD < n_known)
            fetch_units((const real *)q->W + first + work->feature[k + AHEAD] * H, VECS);
        if (hidden == SIGMOID && work->used[work->feature[k]]) {
            vec w[VECS];
            NAME(load_factor)(&t->front, w, work->feature[k], VECS);
            for (int u = 0; u < VECS; u++)
                t->factor[k][u] = w[u];
        }
        for (int u = 0; u < VECS; u++)
            t->dW[k][u] = v_set(0);
    }
    for (ptrdiff_t p = 0; p < n_steps; p++) {
        struct nade_output *o = t->outputs + p;
        real d = 0;
        if (p + AHEAD < n_steps)
            fetch_units(V + work->output[p + AHEAD] * H, VECS);
        for (ptrdiff_t tile = 0; tile < work->n_tiles; tile++)
            d += work->d_start[tile * P + p];
        load_units(o->V, V + work->output[p] * H, width, V_end, VECS);
        for (int u = 0; u < VECS; u++) {
            o->dV[u] = d * h_start[u];
            d_h_start[u] += d * o->V[u];
        }
    }

    for (ptrdiff_t tile = 0; tile < work->n_tiles; tile++)
        NAME(walk_tile)(t, tile, c, e_start, h_start, dc, hidden);

    for (int u = 0; u < VECS; u++)
        dc[u] += d_h_start[u] * slope(h_start[u], hidden);
    store_units((real *)q->dc + first, dc, width, VECS);
    for (ptrdiff_t k = 0; k < q->n_features; k++) {
        if (k + AHEAD < q->n_features)
            fetch_units(dW + work->feature[k + AHEAD] * H, VECS);
        store_units(dW + work->feature[k] * H, k < n_known ? t->dW[k] : zeros, width, VECS);
    }
    for (ptrdiff_t p = 0; p < n_steps; p++) {
        if (p + AHEAD < n_steps)
            fetch_units(dV + work->output[p + AHEAD] * H, VECS);
        store_units(dV + work->output[p] * H, t->outputs[p].dV, width, VECS);
    }
}

/* Of one tile: begun, d_start and d_logits by step. With dropout no two examples share their hidden
 * units, not even before they begin. */
static void NAME(sum_start)(void *context, ptrdiff_t tile, int slot)
{
    const struct nade_work *work = context;
    const struct nade *q = work->q;
    const ptrdiff_t P = q->n_outputs;
    const int rows = NAME(rows_of)(work, tile);
    const real *d_logits = (const real *)q->d_logits + tile * BACKWARD_TILE * P;
    const uint32_t all = ~(uint32_t)0 >> (32 - rows);
    uint32_t begun = q->keep ? all : 0;
    (void)slot;
    for (ptrdiff_t p = 0; p < work->n_steps; p++) {
        real *d = work->d_logits + (tile * P + p) * BACKWARD_TILE, sum = 0;
        for (int n = 0; n < rows; n++)
            d[n] = d_logits[n * P + work->output[p]];
        work->begun[tile * P + p] = begun |= work->changed[tile * P + p];
        for (uint32_t rest = all & ~begun; rest; rest &= rest - 1)
            sum += d[LOWEST_BIT(rest)];
        work->d_start[tile * P + p] = sum;
    }
}

/* db is the sum of d_logits over the examples. */
static void NAME(nade_db)(const struct nade *q)
{
    const real *d_logits = q->d_logits;
    real *db = q->db;
    for (ptrdiff_t o = 0; o < q->n_outputs; o++)
        db[o] = 0;
    for (ptrdiff_t n = 0; n < q->N; n++)
        for (ptrdiff_t o = 0; o < q->n_outputs; o++)
            db[o] += d_logits[n * q->n_outputs + o];
}

static void NAME(nade_backward_sigmoid)(void *context, ptrdiff_t task, int slot)
{
    struct nade_work *work = context;
    if (task < work->n_blocks)
        NAME(nade_backward_task)(work, task, slot, SIGMOID);
    else
        NAME(nade_db)(work->q);
}

static void NAME(nade_backward_relu)(void *context, ptrdiff_t task, int slot)
{
    struct nade_work *work = context;
    if (task < work->n_blocks)
        NAME(nade_backward_task)(work, task, slot, RELU);
    else
        NAME(nade_db)(work->q);
}

static int NAME(nade_backward)(const struct nade *q)
{
    ptrdiff_t P = q->n_outputs, F = q->n_features, block = BACKWARD_VECS * LANES;
    ptrdiff_t n_tiles = (q->N + BACKWARD_TILE - 1) / BACKWARD_TILE;
    struct nade_work work = {.q = q, .tile_rows = BACKWARD_TILE, .n_tiles = n_tiles,
                             .n_blocks = (q->H + block - 1) / block};
    size_t start_bytes = rounded_up((size_t)(n_tiles * P) * sizeof(real));
    int threads = threads_for(2. * (double)q->N * (double)P * (double)q->H);
    size_t begun_bytes = rounded_up((size_t)(n_tiles * P) * sizeof(uint32_t));
    size_t d_bytes = start_bytes * BACKWARD_TILE;
    char *memory = memory_get(NAME(walk_bytes)(q, n_tiles) + begun_bytes + start_bytes + d_bytes);
    char *scratch = memory;
    if (memory == NULL)
        return -1;
    NAME(plan_walk)(&work, &scratch);
    work.begun = take(&scratch, begun_bytes);
    work.d_start = take(&scratch, start_bytes);
    work.d_logits = take(&scratch, d_bytes);
    NAME(mark_tiles)(&work, threads);
    run_tasks(threads, n_tiles, NAME(sum_start), &work);

    work.n_states = 1;
    for (ptrdiff_t tile = 0; tile < n_tiles; tile++)
        if (work.n_changes[tile] >= work.n_states)
            work.n_states = work.n_changes[tile] + 1;
    work.slot_bytes = rounded_up((size_t)(work.n_states * block) * sizeof(real))
                    + rounded_up((size_t)work.n_states * sizeof(int32_t))
                    + rounded_up((size_t)P * sizeof(struct nade_output))
                    + 2 * rounded_up((size_t)(F * block) * sizeof(real));
    work.slots = memory_get((size_t)threads * work.slot_bytes);
    if (work.slots == NULL) {
        memory_put(memory);
        return -1;
    }
    run_tasks(threads, work.n_blocks + 1,
              q->hidden == SIGMOID ? NAME(nade_backward_sigmoid) : NAME(nade_backward_relu), &work);
    memory_put(work.slots);
    memory_put(memory);
    return 0;
}

/* Samples. ---------------------------------------------------------------------------------------
 *
 * The same walk as for the logits, but a variable must be drawn before the walk goes on, from all
 * hidden units: a task is a few examples, with all blocks. */

#define SAMPLE_TILE (LANES < 8 ? 8 : LANES)

INLINE void NAME(nade_sample_task)(struct nade_work *work, ptrdiff_t tile, int slot,
                                   const int hidden)
{
    enum { VECS = FORWARD_VECS };
    const struct nade *q = work->q;
    const ptrdiff_t D = q->D, H = q->H, n_blocks = work->n_blocks, begin = tile * work->tile_rows;
    const real *b = q->b, *V = q->V, *V_end = V + D * H;
    const int rows = NAME(rows_of)(work, tile);
    real *x = (real *)q->samples + begin * D;
    char *scratch = work->slots + (size_t)slot * work->slot_bytes;
    size_t state_bytes = (size_t)(SAMPLE_TILE * n_blocks) * VECS * sizeof(vec);
    vec (*a)[VECS] = take(&scratch, state_bytes); /* example n, block k: a[k * SAMPLE_TILE + n] */
    vec (*h)[VECS] = take(&scratch, state_bytes);
    double *threshold = take(&scratch, (size_t)(SAMPLE_TILE * D) * sizeof(double));
    struct nade_front *fronts = take(&scratch, (size_t)n_blocks * sizeof *fronts);

    JOIN(logits_of_uniforms, LEVEL, float64)(rows * D, q->uniforms + begin * D, threshold);
    for (ptrdiff_t block = 0; block < n_blocks; block++) {
        ptrdiff_t first = block * VECS * LANES;
        vec c[VECS];
        fronts[block] = (struct nade_front){.work = work, .first = first, .width = H - first,
                                            .x = x,
                                            .products = hidden == SIGMOID ? ~(uint32_t)0 : 0};
        NAME(load_c)(fronts + block, c, VECS);
        for (int n = 0; n < rows; n++)
            for (int u = 0; u < VECS; u++) {
                a[block * SAMPLE_TILE + n][u] = hidden == SIGMOID ? v_exp_or_nan(-c[u]) : c[u];
                h[block * SAMPLE_TILE + n][u] = activate(c[u], hidden);
            }
    }

    for (ptrdiff_t p = 0; p < D; p++) {
        const ptrdiff_t i = work->output[p];
        struct nade_marks m = {0, 0, 0};
        if (p >= q->n_known) {
            vec s[SAMPLE_TILE];
            real logits[SAMPLE_TILE];
            for (int n = 0; n < SAMPLE_TILE; n++)
                s[n] = v_set(0);
            for (ptrdiff_t block = 0; block < n_blocks; block++) {
                ptrdiff_t first = block * VECS * LANES;
                vec v[VECS];
                load_units(v, V + i * H + first, H - first, V_end, VECS);
                for (int n = 0; n < rows; n++)
                    s[n] += dot(v, h[block * SAMPLE_TILE + n], VECS);
            }
            UNROLL
            for (int n = 0; n < SAMPLE_TILE; n += LANES)
                v_store(logits + n, v_sums(s + n));
            for (int n = 0; n < rows; n++)
                x[n * D + i] = (double)(logits[n] + b[i]) > threshold[n * D + i];
        }
        for (int n = 0; n < rows; n++) {
            m.nonzero |= (uint32_t)(x[n * D + i] != 0) << n;
            m.one |= (uint32_t)(x[n * D + i] == 1) << n;
        }
        m.last = m.nonzero;
        if (p < D - 1 && m.nonzero)
            for (ptrdiff_t block = 0; block < n_blocks; block++)
                NAME(advance)(fronts + block, p, m, block, a + block * SAMPLE_TILE,
                              h + block * SAMPLE_TILE, hidden);
    }
}

static void NAME(nade_sample_sigmoid)(void *context, ptrdiff_t task, int slot)
{
    NAME(nade_sample_task)(context, task, slot, SIGMOID);
}

static void NAME(nade_sample_relu)(void *context, ptrdiff_t task, int slot)
{
    NAME(nade_sample_task)(context, task, slot, RELU);
}

/* The size of tiles of at most `most` examples so that the threads have equally many. An example's
 * result does not depend on its tile. */
#define even_tiles NAME(even_tiles)
static ptrdiff_t even_tiles(ptrdiff_t N, int threads, ptrdiff_t most)
{
    ptrdiff_t rounds = (N + threads * most - 1) / (threads * most);
    return rounds ? (N + threads * rounds - 1) / (threads * rounds) : 1;
}

static int NAME(nade_sample)(const struct nade *q)
{
    ptrdiff_t D = q->D, block = FORWARD_VECS * LANES, n_blocks = (q->H + block - 1) / block;
    int threads = threads_for((double)q->N * (double)D * (double)q->H);
    ptrdiff_t rows = even_tiles(q->N, threads, SAMPLE_TILE), n_tiles = (q->N + rows - 1) / rows;
    struct nade_work work = {.q = q, .tile_rows = rows, .n_blocks = n_blocks,
                             .factor_blocks = FORWARD_VECS,
                             .factor_features = n_blocks * FORWARD_VECS};
    int shared = q->hidden == SIGMOID && n_tiles > 2;
    size_t factor_bytes = shared ? rounded_up((size_t)(n_blocks * D * block) * sizeof(real)) : 0;
    char *memory, *scratch;

    work.slot_bytes = 2 * rounded_up((size_t)(SAMPLE_TILE * n_blocks * block) * sizeof(real))
                    + rounded_up((size_t)(SAMPLE_TILE * D) * sizeof(double))
                    + rounded_up((size_t)n_blocks * sizeof(struct nade_front));
    memory = scratch = memory_get(NAME(walk_bytes)(q, 0) + factor_bytes
                                  + (size_t)threads * work.slot_bytes);
    if (memory == NULL)
        return -1;
    NAME(plan_walk)(&work, &scratch);
    if (shared) {
        work.factor = take(&scratch, factor_bytes);
        memset(work.used, 1, (size_t)D); /* nobody knows yet */
        run_tasks(threads, (work.n_known + FACTOR_FEATURES - 1) / FACTOR_FEATURES,
                  NAME(make_factors), &work);
    }
    work.slots = scratch;
    run_tasks(threads, n_tiles,
              q->hidden == SIGMOID ? NAME(nade_sample_sigmoid) : NAME(nade_sample_relu), &work);
    memory_put(memory);
    return 0;
}
