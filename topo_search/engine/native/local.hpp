// What happens inside areas in a step, and its adjoint.
// Part of kernel.cpp, which is compiled once per level; see kernel.hpp for what must not appear here.
#pragma once

#include "slice_view.hpp"

namespace topo_search {
namespace {

template <int S>
struct LocalStep : SliceView<S> {
    using Base = SliceView<S>;
    using Base::Base;
    using Base::V;
    using Base::net;
    using Base::scratch;

    // phi of the rows [first, last), into scratch.activity.
    void activate(int first, int last, const float* x) const {
        for (int i = first; i < last; ++i) {
            const float level = net.level ? net.level[i] : 1;
            for (int j = 0; j < V; ++j) {
                const int64_t at = int64_t(i) * S + j * W;
                store(scratch.activity + at, level * hyperbolic_tangent(load(x + at) / level));
            }
        }
    }

    // What happens inside the areas of rows [first, last) in a step: leak x + h r (W phi(x) + W_in u + b).
    template <bool Relu>
    void local(int first, int last, const float* x, const float* u, float* out) const {
        const float* activity = x;
        if constexpr (!Relu) {
            activate(first, last, x);
            activity = scratch.activity;
        }
        for (int i = first; i < last; ++i) {
            Vec acc[V];
            for (int j = 0; j < V; ++j) acc[j] = net.bias[i] + net.leak[i] * load(x + int64_t(i) * S + j * W);
            for (int e = net.area.start[i]; e < net.area.start[i + 1]; ++e) {
                const float* from = activity + int64_t(net.area.column[e]) * S;
                const float weight = net.area.value[e];
                for (int j = 0; j < V; ++j) {
                    const Vec value = load(from + j * W);
                    acc[j] += weight * (Relu ? relu(value) : value);
                }
            }
            for (int e = net.input.start[i]; e < net.input.start[i + 1]; ++e) {
                const float* from = u + int64_t(net.input.column[e]) * S;
                const float weight = net.input.value[e];
                for (int j = 0; j < V; ++j) acc[j] += weight * load(from + j * W);
            }
            for (int j = 0; j < V; ++j) store(out + int64_t(i) * S + j * W, acc[j]);
        }
    }

    void local_step(int area, const float* x, const float* u, float* out) const {
        if (net.relu[area]) {
            local<true>(net.offset[area], net.offset[area + 1], x, u, out);
        } else {
            local<false>(net.offset[area], net.offset[area + 1], x, u, out);
        }
    }

    void local_step(const float* x, const float* u, float* out) const {
        if (net.all_relu) {
            local<true>(0, net.units, x, u, out);
        } else {
            for (int area = 0; area < net.areas; ++area) local_step(area, x, u, out);
        }
    }

    // The adjoint of local: leak g + phi'(x) h r W^T g. For tanh, phi(x) is left in scratch.activity.
    template <bool Relu>
    void local_adjoint(int first, int last, const float* gradient, const float* x, float* out) const {
        if constexpr (!Relu) activate(first, last, x);
        for (int i = first; i < last; ++i) {
            Vec acc[V];
            for (int j = 0; j < V; ++j) acc[j] = zero();
            for (int e = net.area_transposed.start[i]; e < net.area_transposed.start[i + 1]; ++e) {
                const float* from = gradient + int64_t(net.area_transposed.column[e]) * S;
                const float weight = net.area_transposed.value[e];
                for (int j = 0; j < V; ++j) acc[j] += weight * load(from + j * W);
            }
            const float inverse = Relu || !net.level ? 1 : 1 / net.level[i];
            for (int j = 0; j < V; ++j) {
                const int64_t at = int64_t(i) * S + j * W;
                if constexpr (Relu) {
                    acc[j] = load(x + at) > 0 ? acc[j] : zero();
                } else {
                    const Vec share = load(scratch.activity + at) * inverse;
                    acc[j] *= 1 - share * share;
                }
                store(out + at, acc[j] + net.leak[i] * load(gradient + at));
            }
        }
    }

    void local_adjoint_step(int area, const float* gradient, const float* x, float* out) const {
        if (net.relu[area]) {
            local_adjoint<true>(net.offset[area], net.offset[area + 1], gradient, x, out);
        } else {
            local_adjoint<false>(net.offset[area], net.offset[area + 1], gradient, x, out);
        }
    }
};

}  // namespace
}  // namespace topo_search
