// Sums over the batch: gradients of input weights, biases, area weights and edges.
// Part of kernel.cpp, which is compiled once per level; see kernel.hpp for what must not appear here.
#pragma once

#include "coupling.hpp"

namespace topo_search {
namespace {

template <int S>
struct Gradients : CouplingStep<S> {
    using Base = CouplingStep<S>;
    using Base::Base;
    using Base::net;
    using Base::rows;
    using Base::rows_of;
    using Base::scratch;
    using Base::size;
    using Base::slice;
    using Base::V;

    // Gradients of an area's bias and input weights. Sums over lanes are finished at the end.
    void add_input_sums(int area, const float* gradient, const float* u) const {
        const bool sees = net.sees_input[area] != 0;
        for (int i = net.offset[area]; i < net.offset[area + 1]; ++i) {
            Vec g[V];
            Vec total = zero();
            for (int j = 0; j < V; ++j) {
                g[j] = load(gradient + int64_t(i) * S + j * W);
                total += g[j];
            }
            add_folded(slice.lane_sums + int64_t(i) * kSumLanes, total);
            if (!sees || wide()) continue;
            for (int c = 0; c < net.channels; ++c) {
                Vec sum = zero();
                for (int j = 0; j < V; ++j) sum += g[j] * load(u + int64_t(c) * S + j * W);
                add_folded(slice.lane_input_sums + (int64_t(i) * net.channels + c) * kSumLanes, sum);
            }
        }
        if (sees && wide())
            outer<S, false>(rows(area), rows_of(gradient, area), scratch.input_columns, nullptr, nullptr, input_ld(),
                            slice.lane_input_sums + int64_t(net.offset[area]) * input_ld());
    }

    // Many channels are summed as blocks of an edge are; for few of them that would mostly multiply padding.
    bool wide() const { return net.channels >= kWideInput; }
    int input_ld() const { return (net.channels + kLanes - 1) / kLanes * kLanes; }

    void transpose_inputs() const {
        for (int b = 0; b < S; ++b)
            for (int c = 0; c < net.channels; ++c) scratch.input_columns[b * input_ld() + c] = scratch.input[c * S + b];
    }

    float finished(const float* lanes) const {
        const Sum sum = *reinterpret_cast<const Sum*>(lanes);
        return (sum[0] + sum[1]) + (sum[2] + sum[3]);
    }

    void finish_input_sums() const {
        for (int i = 0; i < net.units; ++i) slice.bias_sums[i] = finished(slice.lane_sums + int64_t(i) * kSumLanes);
        const int64_t inputs = int64_t(net.units) * net.channels;
        if (!wide()) {
            for (int64_t i = 0; i < inputs; ++i) slice.input_sums[i] = finished(slice.lane_input_sums + i * kSumLanes);
            return;
        }
        for (int i = 0; i < net.units; ++i)
            copy(slice.input_sums + int64_t(i) * net.channels, slice.lane_input_sums + int64_t(i) * input_ld(),
                 net.channels);
    }

    void add_input_gradients(int t, const float* gradient) const {
        float* to = slice.grad_inputs + (int64_t(t) * slice.batch + slice.first) * net.channels;
        for (int c = 0; c < net.channels; ++c) {
            Vec sum[V];
            for (int j = 0; j < V; ++j) sum[j] = zero();
            for (int i = 0; i < net.units; ++i) {
                const float weight = net.speed[i] * net.input_weights[int64_t(i) * net.channels + c];
                for (int j = 0; j < V; ++j) sum[j] += weight * load(gradient + int64_t(i) * S + j * W);
            }
            for (int b = 0; b < slice.lanes; ++b) to[int64_t(b) * net.channels + c] = sum[b / W][b % W];
        }
    }

    void add_area_sums(const float* gradient, const float* x) const {
        for (int area = 0; area < net.areas; ++area) {
            const int n = rows(area);
            const int ld = net.padded[area + 1] - net.padded[area];
            float* activity = scratch.held;
            const bool is_relu = net.relu[area] != 0;
            const float* from = rows_of(is_relu ? x : scratch.activity, area);
            for (int64_t i = 0; i < int64_t(n) * S; i += W)
                store(activity + i, is_relu ? relu(load(from + i)) : load(from + i));
            transpose_rows<S>(activity, n, scratch.columns, ld);
            outer<S, false>(n, rows_of(gradient, area), scratch.columns, nullptr, nullptr, ld,
                            slice.area_sums + net.area_totals[area]);
        }
    }

    // Gradients of the edges from the k-th by column on, up to the first whose column is area `end`; from the adjoint
    // and the state that the coupling was applied to. Returns the next edge.
    int add_edge_gradients(int k, int end, const float* gradient, const float* x) const {
        int column = -1;
        for (; k < net.n_edges; ++k) {
            const EdgeGradient& edge = net.gradients[net.by_column[k]];
            if (edge.column >= end) break;
            const int n = rows(edge.row);
            const int ld = net.padded[edge.column + 1] - net.padded[edge.column];
            const float* adjoint_row = rows_of(gradient, edge.row);
            const float* state_row = rows_of(x, edge.row);
            if (edge.column != column) {
                column = edge.column;
                transpose_rows<S>(rows_of(x, column), rows(column), scratch.columns, ld);
                transpose_rows<S>(rows_of(gradient, column), rows(column), scratch.adjoint_columns, ld);
            }
            if (size > kNearFloats && k + 1 < net.n_edges) {
                const EdgeGradient& next = net.gradients[net.by_column[k + 1]];
                prefetch(rows_of(gradient, next.row), int64_t(rows(next.row)) * S);
                prefetch(rows_of(x, next.row), int64_t(rows(next.row)) * S);
                prefetch(slice.totals + next.first, int64_t(rows(next.row)) * ld);
            }
            if (net.skew) {
                outer<S, true>(n, adjoint_row, scratch.columns, state_row, scratch.adjoint_columns, ld,
                               slice.totals + edge.first);
            } else {
                outer<S, false>(n, adjoint_row, scratch.columns, nullptr, nullptr, ld, slice.totals + edge.first);
                outer<S, false>(n, state_row, scratch.adjoint_columns, nullptr, nullptr, ld,
                                slice.totals + edge.second);
            }
        }
        return k;
    }

    // From y and its adjoint to x's, edge by edge in reverse: each edge's input is recovered by its transpose.
    void uncouple_edges(int t, float* state, float* adjoint) const {
        for (int k = net.n_edges - 1; k >= 0; --k) {
            const int e = t % 2 == 0 ? k : net.n_edges - 1 - k;
            this->template turn_edge<true>(e, state, scratch.pair[0], scratch.pair[1]);
            this->template turn_edge<true>(e, adjoint, scratch.pair[2], scratch.pair[3]);
            const EdgeGradient& edge = net.gradients[e];
            const int ld = net.padded[edge.column + 1] - net.padded[edge.column];
            transpose_rows<S>(scratch.pair[0], rows(edge.column), scratch.columns, ld);
            transpose_rows<S>(scratch.pair[2], rows(edge.column), scratch.adjoint_columns, ld);
            outer<S, true>(rows(edge.row), scratch.pair[3], scratch.columns, scratch.pair[1], scratch.adjoint_columns,
                           ld, slice.totals + edge.first);
        }
    }
};

}  // namespace
}  // namespace topo_search
