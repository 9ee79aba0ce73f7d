// The dots of a query's heads with gathered rows, once for all tiers with vector instructions. A tier includes this file, in its
// anonymous namespace, after defining
//   Step        32 bytes of a row, made ready to be multiplied; Step load_step(const int8_t* row)
//   HeadSums    int32 partial sums of one head's dot; HeadSums zero_sums()
//   HeadSums add_step(Step, const int8_t* q, HeadSums)    adds the products of a step with 32 bytes of a query
//   Heads       int32 [4], one for each of four heads; load_heads, store_heads, subtract_heads(a, b)
//   Heads join_heads(const HeadSums (&)[4])
//   bool kIsBiased      whether a step holds its bytes plus a number, which is taken off the dots
// No include guard: one inclusion per tier.

constexpr int32_t kStepBytes = 32, kLineBytes = 64;
constexpr int32_t kHeadsAtOnce = 64;  // of which the bias is kept

// Rows ahead of the one that is read which are fetched: some 100 ns, a trip to memory. Hardware cannot guess which row comes next.
constexpr int32_t kOwnAhead = 4, kSharedAhead = 16;

// Dots of n_heads <= 4 heads, whose queries follow one another, less their bias; step(head, at) is the step of that head's part
// of the row which begins at byte `at`. kWidth 0: any width.
template <int n_heads, int32_t kWidth, bool kSubtracts, typename F>
PITH_INLINE void dot_heads(const int8_t* q, int32_t width, const int32_t* bias, int32_t* out, const F& step) {
  HeadSums sums[4];
  PITH_UNROLL
  for (HeadSums& sum : sums) sum = zero_sums();
  const auto add = [&](int32_t at) {
    PITH_UNROLL
    for (int head = 0; head < n_heads; ++head)
      sums[head] = add_step(step(head, at), q + (kWidth > 0 ? kWidth : width) * head + at, sums[head]);
  };
  if constexpr (kWidth > 0) {
    PITH_UNROLL
    for (int32_t at = 0; at < kWidth; at += kStepBytes) add(at);
  } else {
    for (int32_t at = 0; at < width; at += kStepBytes) add(at);
  }
  Heads dots = join_heads(sums);
  if constexpr (kSubtracts) dots = subtract_heads(dots, load_heads(bias));
  if constexpr (n_heads == 4) {
    store_heads(dots, out);
  } else {
    int32_t all[4];
    store_heads(dots, all);
    __builtin_memcpy(out, all, sizeof(int32_t) * n_heads);
  }
}

// All of n_heads heads: f(Width<4>, h), then with the 3, 2 or 1 left over.
template <typename F>
PITH_INLINE void sweep_heads(int32_t n_heads, const F& f) {
  int32_t h = 0;
  for (; h + 4 <= n_heads; h += 4) f(Width<4>(), h);
  switch (n_heads - h) {
    case 3: f(Width<3>(), h); break;
    case 2: f(Width<2>(), h); break;
    case 1: f(Width<1>(), h); break;
    default: break;
  }
}

// Heads with parts of their own.
template <int32_t kWidth>
PITH_INLINE void dot_own_parts(const int8_t* q, int32_t n_heads, int32_t any_width, const int8_t* row,
                               const int8_t* ahead, const int32_t* bias, int32_t* out) {
  const int32_t width = kWidth > 0 ? kWidth : any_width;
  sweep_heads(n_heads, [&]<int n>(Width<n>, int32_t h) {
    const int8_t* part = row + h * width;
    for (int32_t at = 0; at < n * width; at += kLineBytes) __builtin_prefetch(ahead + h * width + at);
    dot_heads<n, kWidth, kIsBiased>(q + h * width, width, bias + h, out + h,
                                    [=](int head, int32_t at) { return load_step(part + head * width + at); });
  });
}

// Heads that share a part, of which narrow ones stay in registers.
template <int32_t kWidth>
PITH_INLINE void dot_shared_part(const int8_t* q, int32_t n_heads, int32_t width, const int8_t* part,
                                 const int8_t* ahead, const int32_t* bias, int32_t* out) {
  for (int32_t at = 0; at < width; at += kLineBytes) __builtin_prefetch(ahead + at);
  if constexpr (kWidth > 0 && kWidth <= 64) {
    Step steps[kWidth / kStepBytes];
    PITH_UNROLL
    for (int32_t i = 0; i < kWidth / kStepBytes; ++i) steps[i] = load_step(part + kStepBytes * i);
    sweep_heads(n_heads, [&]<int n>(Width<n>, int32_t h) {
      dot_heads<n, kWidth, kIsBiased>(q + h * kWidth, kWidth, bias + h, out + h,
                                      [&](int, int32_t at) { return steps[at / kStepBytes]; });
    });
  } else {
    sweep_heads(n_heads, [&]<int n>(Width<n>, int32_t h) {
      dot_heads<n, kWidth, kIsBiased>(q + h * width, width, bias + h, out + h,
                                      [=](int, int32_t at) { return load_step(part + at); });
    });
  }
}

// At most kHeadsAtOnce heads. A row is read once, from its beginning to its end.
template <int32_t kWidth>
PITH_INLINE void dot_rows(const int8_t* q, int32_t n_heads, int32_t heads_per_kv, int32_t width, GatheredRows rows,
                          int32_t n, int32_t* out, size_t out_stride) {
  int32_t bias[kHeadsAtOnce + 3] = {};
  if constexpr (kIsBiased) {  // what a row of zeros gives
    const int8_t zeros[kStepBytes] = {};
    sweep_heads(n_heads, [&]<int n_block>(Width<n_block>, int32_t h) {
      dot_heads<n_block, kWidth, false>(q + h * width, width, nullptr, bias + h,
                                        [&](int, int32_t) { return load_step(zeros); });
    });
  }
  for (int32_t i = 0; i < n; ++i, out += out_stride) {
    const int8_t* row = rows.first + rows.stride * size_t(rows.index[i]);
    const int32_t next = i + (heads_per_kv == 1 ? kOwnAhead : kSharedAhead);
    const int8_t* ahead = rows.first + rows.stride * size_t(rows.index[next < n ? next : i]);
    if (heads_per_kv == 1) {
      dot_own_parts<kWidth>(q, n_heads, width, row, ahead, bias, out);
    } else {
      for (int32_t h = 0; h < n_heads; h += heads_per_kv, row += width, ahead += width)
        dot_shared_part<kWidth>(q + h * width, n_heads - h < heads_per_kv ? n_heads - h : heads_per_kv, width, row,
                                ahead, bias + h, out + h);
    }
  }
}

template <int32_t kWidth>
void dot_gathered_rows(const int8_t* q, int32_t n_heads, int32_t heads_per_kv, int32_t width, GatheredRows rows,
                       int32_t n, int32_t* out, size_t out_stride) {
  int32_t at_once = 0;
  for (int32_t h = 0; h < n_heads; h += at_once) {
    const int32_t part = h / heads_per_kv, rest_of_part = (part + 1) * heads_per_kv - h;
    at_once = heads_per_kv <= kHeadsAtOnce ? kHeadsAtOnce / heads_per_kv * heads_per_kv : rest_of_part;
    at_once = at_once < kHeadsAtOnce ? at_once : kHeadsAtOnce;
    at_once = at_once < n_heads - h ? at_once : n_heads - h;
    const GatheredRows parts{rows.first + part * width, rows.stride, rows.index};
    dot_rows<kWidth>(q + h * width, at_once, heads_per_kv, width, parts, n, out + h, out_stride);
  }
}

void dot_gathered(const int8_t* q, int32_t n_heads, int32_t heads_per_kv, int32_t width, GatheredRows rows, int32_t n,
                  int32_t* out, size_t out_stride) {
  switch (width) {
    case 32: return dot_gathered_rows<32>(q, n_heads, heads_per_kv, width, rows, n, out, out_stride);
    case 64: return dot_gathered_rows<64>(q, n_heads, heads_per_kv, width, rows, n, out, out_stride);
    case 128: return dot_gathered_rows<128>(q, n_heads, heads_per_kv, width, rows, n, out, out_stride);
    default: return dot_gathered_rows<0>(q, n_heads, heads_per_kv, width, rows, n, out, out_stride);
  }
}
