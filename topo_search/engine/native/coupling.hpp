// What happens between areas in a Cayley step, in the form that was planned.
// Part of kernel.cpp, which is compiled once per level; see kernel.hpp for what must not appear here.
#pragma once

#include "local.hpp"
#include "tiles.hpp"

namespace topo_search {
namespace {

template <int S>
struct CouplingStep : LocalStep<S> {
    using Base = LocalStep<S>;
    using Base::Base;
    using Base::net;
    using Base::rows;
    using Base::rows_of;
    using Base::scratch;
    using Base::size;

    // out = (I - c K)^-1 x by elimination of the areas outside the cover, which have no edge among them; with
    // Transpose, (I + c K)^-1 x.
    template <bool Transpose>
    void solve_cover(const float* x, float* out) const {
        const float* source = x;
        if (net.n_independent > 0) {
            float* to = scratch.cover;
            for (int a = 0; a < net.n_cover; ++a) {
                const int64_t floats = int64_t(rows(net.cover[a])) * S;
                copy(to, rows_of(x, net.cover[a]), floats);
                to += floats;
            }
            accumulate<S, Transpose>(net.products[0], x, scratch.cover);
            source = scratch.cover;
        }
        for (int a = 0; a < net.n_cover; ++a) clear(rows_of(out, net.cover[a]), int64_t(rows(net.cover[a])) * S);
        accumulate<S, false>(net.products[Transpose ? 3 : 2], source, out);
        for (int a = 0; a < net.n_independent; ++a) {
            const int area = net.independent[a];
            copy(rows_of(out, area), rows_of(x, area), int64_t(rows(area)) * S);
        }
        accumulate<S, Transpose>(net.products[1], out, out);
    }

    void add_scaled(float factor, const float* from, float* to) const {
        for (int64_t i = 0; i < size; i += W) store(to + i, load(to + i) + factor * load(from + i));
    }

    // The same by Chebyshev polynomials of the skew matrix: P_0 = I, P_1 = X, P_k+1 = 2 X P_k + P_k-1.
    template <bool Transpose>
    void solve_series(const float* x, float* out) const {
        float* before = scratch.series;
        float* now = scratch.series + size;
        for (int64_t i = 0; i < size; i += W) {
            store(before + i, load(x + i));
            store(out + i, net.series[0] * load(x + i));
        }
        if (net.order < 1) return;
        clear(now, size);
        accumulate<S, Transpose>(net.products[0], x, now);
        for (int64_t i = 0; i < size; i += W) {
            const Vec half = 0.5f * load(now + i);
            store(now + i, half);
            store(out + i, load(out + i) + net.series[1] * half);
        }
        for (int k = 2; k <= net.order; ++k) {
            accumulate<S, Transpose>(net.products[0], now, before);
            add_scaled(net.series[k], before, out);
            float* swap = before;
            before = now;
            now = swap;
        }
    }

    template <bool Transpose>
    void solve(const float* x, float* out) const {
        if (net.form == Form::kCover) {
            solve_cover<Transpose>(x, out);
        } else {
            solve_series<Transpose>(x, out);
        }
    }

    // out = (I - c K)^-1 x.
    void settle(const float* x, float* out) const {
        if (net.form == Form::kNone) {
            copy(out, x, size);
        } else {
            solve<false>(x, out);
        }
    }

    // One edge's Cayley step in place; the solutions (input + output) / 2 stay in `low` and `high`.
    template <bool Transpose>
    void turn_edge(int edge, float* state, float* low, float* high) const {
        const int low_area = net.gradients[edge].column;
        const int high_area = net.gradients[edge].row;
        float* right = scratch.pair[4];
        float* x_low = rows_of(state, low_area);
        float* x_high = rows_of(state, high_area);
        const int64_t n_low = int64_t(rows(low_area)) * S;
        const int64_t n_high = int64_t(rows(high_area)) * S;
        copy(right, x_low, n_low);
        accumulate<S, Transpose>(net.products[3 * edge], x_high, right);
        clear(low, n_low);
        accumulate<S, false>(net.products[3 * edge + 1], right, low);
        copy(high, x_high, n_high);
        accumulate<S, Transpose>(net.products[3 * edge + 2], low, high);
        for (int64_t i = 0; i < n_low; i += W) store(x_low + i, 2 * load(low + i) - load(x_low + i));
        for (int64_t i = 0; i < n_high; i += W) store(x_high + i, 2 * load(high + i) - load(x_high + i));
    }

    // y = Q x.
    void couple(int t, const float* x, float* y) const {
        if (net.form == Form::kNone) {
            copy(y, x, size);
        } else if (net.form == Form::kEdges) {
            copy(y, x, size);
            for (int e = 0; e < net.n_edges; ++e)
                turn_edge<false>(t % 2 == 0 ? e : net.n_edges - 1 - e, y, scratch.pair[0], scratch.pair[1]);
        } else {
            solve<false>(x, y);
            for (int64_t i = 0; i < size; i += W) store(y + i, 2 * load(y + i) - load(x + i));
        }
    }
};

}  // namespace
}  // namespace topo_search
