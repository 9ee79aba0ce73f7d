// The float kernels of grouped attention, whose heads lie in lanes, written once over the 16-lane value. A tier includes this file
// behind generic/float_kernels.h, with three more operations of Lanes:
//   load_i8, load_i32, load_halves: 16 numbers as floats
// No include guard: one inclusion per tier.

// n <= 16 elements, zeros beyond.
Lanes load_i8_tail(const int8_t* x, int32_t n) {
  int8_t padded[kLanes] = {};
  for (int32_t i = 0; i < n; ++i) padded[i] = x[i];
  return load_i8(padded);
}
Lanes load_halves_tail(const uint16_t* x, int32_t n) {
  uint16_t padded[kLanes] = {};
  for (int32_t i = 0; i < n; ++i) padded[i] = x[i];
  return load_halves(padded);
}

// What becomes of sums: they begin with what is there, or with zeros and are blended into it.
struct AddSums {
  PITH_INLINE Lanes begin(const float* out) const { return load(out); }
  PITH_INLINE void end(int32_t, Lanes sum, float* out) const { store(sum, out); }
};
struct BlendSums {
  const float *keep, *weight;  // [n_heads]
  PITH_INLINE Lanes begin(const float*) const { return splat(0); }
  PITH_INLINE void end(int32_t head, Lanes sum, float* out) const {
    store(fma(splat(weight[head]), sum, splat(keep[head]) * load(out)), out);
  }
};

// The sums of heads [first, first + n_heads), 16 n_lanes channels of each, in registers for all rows. Head h finds its channels
// h part_stride bytes behind the first one's; 0: all share them.
template <int n_heads, int n_lanes, bool kShared, typename Use>
PITH_INLINE void sum_block(const float* w, size_t w_stride, GatheredRows rows, size_t part_stride, int32_t n,
                           int32_t first, const Use& use, float* out, size_t out_stride) {
  Lanes acc[n_heads][n_lanes];
  PITH_UNROLL
  for (size_t h = 0; h < n_heads; ++h) {
    PITH_UNROLL
    for (size_t j = 0; j < n_lanes; ++j) acc[h][j] = use.begin(out + out_stride * h + kLanes * j);
  }
  for (int32_t i = 0; i < n; ++i, w += w_stride) {
    const int8_t* row = rows.first + rows.stride * size_t(rows.index[i]);
    PITH_UNROLL
    for (size_t j = 0; j < n_lanes; ++j) {
      Lanes channels = load_i8(row + kLanes * j);
      PITH_UNROLL
      for (size_t h = 0; h < n_heads; ++h) {
        if (!kShared && h > 0) channels = load_i8(row + part_stride * h + kLanes * j);
        acc[h][j] = fma(splat(w[h]), channels, acc[h][j]);
      }
    }
  }
  PITH_UNROLL
  for (size_t h = 0; h < n_heads; ++h) {
    PITH_UNROLL
    for (size_t j = 0; j < n_lanes; ++j) use.end(first + int32_t(h), acc[h][j], out + out_stride * h + kLanes * j);
  }
}

// All their channels.
template <int n_heads, bool kShared, typename Use>
PITH_INLINE void sum_heads(const float* w, size_t w_stride, int32_t width, GatheredRows rows, int32_t n, int32_t first,
                           const Use& use, float* out, size_t out_stride) {
  constexpr int kFits = kLanesInFlight / n_heads, kLanesOfHead = kFits >= 4 ? 4 : kFits >= 2 ? 2 : 1;
  const auto sum = [&]<int n_lanes>(int32_t j) {
    const GatheredRows part{rows.first + j, rows.stride, rows.index};
    sum_block<n_heads, n_lanes, kShared>(w, w_stride, part, size_t(width), n, first, use, out + j, out_stride);
  };
  int32_t j = 0;
  for (; j + kLanesOfHead * kLanes <= width; j += kLanesOfHead * kLanes) sum.template operator()<kLanesOfHead>(j);
  if constexpr (kLanesOfHead == 4) {
    for (; j + 2 * kLanes <= width; j += 2 * kLanes) sum.template operator()<2>(j);
  }
  for (; j < width; j += kLanes) sum.template operator()<1>(j);
}

template <typename Use>
PITH_INLINE void sum_all_heads(const float* w, size_t w_stride, int32_t n_heads, int32_t heads_per_kv, int32_t width,
                               GatheredRows rows, int32_t n, const Use& use, float* out, size_t out_stride) {
  const auto sums = [&]<int n_block, bool kShared>(int32_t h) {
    const GatheredRows part{rows.first + h / heads_per_kv * width, rows.stride, rows.index};
    sum_heads<n_block, kShared>(w + h, w_stride, width, part, n, h, use, out + out_stride * size_t(h), out_stride);
  };
  int32_t h = 0;
  if (heads_per_kv == 1) {
    for (; h + kOwnHeads <= n_heads; h += kOwnHeads) sums.template operator()<kOwnHeads, false>(h);
  }
  while (h < n_heads) {
    const int32_t end = (h / heads_per_kv + 1) * heads_per_kv, last = end < n_heads ? end : n_heads;
    if constexpr (kSharingHeads > 4) {
      for (; h + kSharingHeads <= last; h += kSharingHeads) sums.template operator()<kSharingHeads, true>(h);
    }
    for (; h + 4 <= last; h += 4) sums.template operator()<4, true>(h);
    for (; h + 2 <= last; h += 2) sums.template operator()<2, true>(h);
    for (; h < last; ++h) sums.template operator()<1, true>(h);
  }
}

PITH_FLAT void head_sums_i8(const float* w, size_t w_stride, int32_t n_heads, int32_t heads_per_kv, int32_t width,
                            GatheredRows rows, int32_t n, float* out, size_t out_stride) {
  sum_all_heads(w, w_stride, n_heads, heads_per_kv, width, rows, n, AddSums{}, out, out_stride);
}

PITH_FLAT void blend_sums_i8(const float* w, size_t w_stride, int32_t n_heads, int32_t width, GatheredRows rows,
                             int32_t n, const float* keep, const float* weight, float* out, size_t out_stride) {
  sum_all_heads(w, w_stride, n_heads, n_heads, width, rows, n, BlendSums{keep, weight}, out, out_stride);
}

// scale_at(i, at): that of row i for 16 heads, from element `at` of what is [n][lanes].
template <bool kAdds, typename F>
PITH_INLINE void score_rows(const int32_t* dots, const float* q, const F& scale_at, int32_t n, int32_t lanes,
                            float* x) {
  for (int32_t h = 0; h < lanes; h += kLanes) {
    const Lanes q_f32x16 = load(q + h);
    size_t at = size_t(h);
    for (int32_t i = 0; i < n; ++i, at += size_t(lanes)) {
      const Lanes dot = load_i32(dots + at), scale = q_f32x16 * scale_at(i, at);
      store(kAdds ? fma(dot, scale, load(x + at)) : dot * scale, x + at);
    }
  }
}

PITH_FLAT void add_scores(const int32_t* dots, const float* q, const float* row, int32_t n, int32_t lanes, float* x) {
  score_rows<true>(
      dots, q, [=](int32_t i, size_t) { return splat(row[i]); }, n, lanes, x);
}

PITH_FLAT void add_head_scores(const int32_t* dots, const float* q, const float* row, int32_t n, int32_t lanes,
                               float* x) {
  score_rows<true>(
      dots, q, [=](int32_t, size_t at) { return load(row + at); }, n, lanes, x);
}

PITH_FLAT void set_scores(const int32_t* dots, const float* q, const float* row, int32_t n, int32_t lanes, float* x) {
  score_rows<false>(
      dots, q, [=](int32_t i, size_t) { return splat(row[i]); }, n, lanes, x);
}

// Of 16 heads and n rows, `lanes` apart.
PITH_INLINE Lanes max_columns(const float* x, int32_t n, int32_t lanes, Lanes largest) {
  for (int32_t i = 0; i < n; ++i) largest = max(load(x + size_t(lanes) * size_t(i)), largest);
  return largest;
}

PITH_FLAT void max_rows(const float* x, int32_t n, int32_t lanes, float* max_of_heads) {
  for (int32_t h = 0; h < lanes; h += kLanes)
    store(max_columns(x + h, n, lanes, load(max_of_heads + h)), max_of_heads + h);
}

// In place; their sums added to total in order. kScaled: rows times their scale afterwards.
template <bool kScaled>
PITH_INLINE void exp_columns(float* x, Lanes largest, const float* scale, int32_t n, int32_t lanes, Lanes* total) {
  const auto run = [&]<size_t n_rows>(int32_t i) {
    float* at = x + size_t(lanes) * size_t(i);
    Lanes e[n_rows];
    PITH_UNROLL
    for (size_t row = 0; row < n_rows; ++row) e[row] = load(at + size_t(lanes) * row) - largest;
    exp_each(e);
    PITH_UNROLL
    for (size_t row = 0; row < n_rows; ++row) {
      *total = *total + e[row];
      store(kScaled ? e[row] * splat(scale[size_t(i) + row]) : e[row], at + size_t(lanes) * row);
    }
  };
  int32_t i = 0;
  for (; i + kRowsInFlight <= n; i += kRowsInFlight) run.template operator()<kRowsInFlight>(i);
  for (; i < n; ++i) run.template operator()<1>(i);
}

PITH_FLAT void exp_rows(float* x, const float* max_of_heads, int32_t n, int32_t lanes, float* sum_of_heads) {
  for (int32_t h = 0; h < lanes; h += kLanes) {
    Lanes total = load(sum_of_heads + h);
    exp_columns<false>(x + h, load(max_of_heads + h), nullptr, n, lanes, &total);
    store(total, sum_of_heads + h);
  }
}

// 16 heads at a time, so that their scores stay in the first cache between the maximum and the exponentials.
PITH_FLAT void weigh_rows(float* x, const float* scale, int32_t n, int32_t lanes, float* max_of_heads,
                          float* sum_of_heads) {
  for (int32_t h = 0; h < lanes; h += kLanes) {
    const Lanes largest = max_columns(x + h, n, lanes, load(max_of_heads + h));
    Lanes total = load(sum_of_heads + h);
    exp_columns<true>(x + h, largest, scale, n, lanes, &total);
    store(largest, max_of_heads + h);
    store(total, sum_of_heads + h);
  }
}

PITH_FLAT void outer_rows(const float* q, const float* row, int32_t n, int32_t lanes, float* x) {
  for (int32_t h = 0; h < lanes; h += kLanes) {
    const Lanes q_f32x16 = load(q + h);
    for (int32_t i = 0; i < n; ++i) store(q_f32x16 * splat(row[i]), x + size_t(lanes) * size_t(i) + h);
  }
}

PITH_FLAT void sum_rows(const float* x, const float* row, int32_t n, int32_t lanes, float* sum_of_heads) {
  for (int32_t h = 0; h < lanes; h += kLanes) {
    Lanes total = load(sum_of_heads + h);
    for (int32_t i = 0; i < n; ++i) total = fma(load(x + size_t(lanes) * size_t(i) + h), splat(row[i]), total);
    store(total, sum_of_heads + h);
  }
}

PITH_FLAT void scale_rows(const float* x, const float* row, int32_t n, int32_t lanes, float* out) {
  for (int32_t i = 0; i < n; ++i) {
    const Lanes scale = splat(row[i]);
    const size_t first = size_t(lanes) * size_t(i);
    for (int32_t h = 0; h < lanes; h += kLanes) store(load(x + first + h) * scale, out + first + h);
  }
}

PITH_FLAT void blend_rows(const float* keep, const float* weight, const float* part, size_t part_stride, int32_t n,
                          int32_t width, float* out, size_t out_stride) {
  for (int32_t i = 0; i < n; ++i, part += part_stride, out += out_stride) {
    const Lanes keep_f32x16 = splat(keep[i]), weight_f32x16 = splat(weight[i]);
    int32_t j = 0;
    for (; j + kLanes <= width; j += kLanes)
      store(fma(weight_f32x16, load(part + j), keep_f32x16 * load(out + j)), out + j);
    if (j < width) {
      const Lanes kept = keep_f32x16 * load_tail(out + j, width - j);
      store_tail(fma(weight_f32x16, load_tail(part + j, width - j), kept), out + j, width - j);
    }
  }
}

PITH_FLAT void widen_halves(const uint16_t* halves, int32_t n, float* out) {
  int32_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(load_halves(halves + i), out + i);
  if (i < n) store_tail(load_halves_tail(halves + i, n - i), out + i, n - i);
}

PITH_FLAT void gated_sum(const int8_t* g, const float* y, float s, int32_t n, float* out) {
  const Lanes s_f32x16 = splat(s);
  int32_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(fma(s_f32x16 * load_i8(g + i), load(y + i), load(out + i)), out + i);
  if (i < n) {
    const Lanes gate = s_f32x16 * load_i8_tail(g + i, n - i);
    store_tail(fma(gate, load_tail(y + i, n - i), load_tail(out + i, n - i)), out + i, n - i);
  }
}
