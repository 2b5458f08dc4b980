// A slice of the batch: its network, its buffers, its inputs.
// Part of kernel.cpp, which is compiled once per level; see kernel.hpp for what must not appear here.
#pragma once

#include "vectors.hpp"

namespace topo_search {
namespace {

// Buffers of a slice, carved from its scratch.
template <int S>
struct Scratch {
    static constexpr int64_t kBuffers = 20;

    float *input, *input_before, *input_columns, *activity, *state, *following, *adjoint, *inner, *solved, *held,
        *cover, *series, *columns, *adjoint_columns, *pair[5];

    Scratch(const Network& net, float* memory) {
        const auto take = [&](int64_t floats) {
            float* start = memory;
            memory += floats + kApart;
            return start;
        };
        const int64_t state_floats = int64_t(net.units) * S;
        const int64_t column_floats = (int64_t(net.largest) + kLanes) * S;
        input = take(int64_t(net.channels) * S);
        input_before = take(int64_t(net.channels) * S);
        input_columns = take((int64_t(net.channels) + kLanes) * S);
        activity = net.all_relu ? nullptr : take(state_floats);
        state = take(state_floats);
        following = take(state_floats);
        adjoint = take(state_floats);
        inner = take(state_floats);
        solved = take(state_floats);
        held = take(state_floats);
        series = net.form == Form::kSeries ? take(2 * state_floats) : nullptr;
        cover = net.form == Form::kCover ? take(int64_t(net.cover_rows) * S) : nullptr;
        columns = take(column_floats);
        adjoint_columns = take(column_floats);
        for (float*& buffer : pair) buffer = net.form == Form::kEdges ? take(int64_t(net.largest) * S) : nullptr;
    }

    static int64_t floats(const Network& net) {
        const int64_t states = 6 + (net.all_relu ? 0 : 1) + (net.form == Form::kSeries ? 2 : 0);
        return int64_t(S) * (3 * net.channels + kLanes + states * net.units + 2 * (net.largest + kLanes) +
                             (net.form == Form::kCover ? net.cover_rows : 0) +
                             (net.form == Form::kEdges ? 5 * net.largest : 0)) +
               kBuffers * kApart;
    }
};

// What every part of a step works on.
template <int S>
struct SliceView {
    static constexpr int V = S / W;
    const Network& net;
    const Slice& slice;
    const int64_t size;
    const int64_t stride;
    Scratch<S> scratch;

    SliceView(const Network& network, const Slice& owner)
        : net(network),
          slice(owner),
          size(int64_t(network.units) * S),
          stride(size + kApart),
          scratch(network, owner.scratch) {}

    // Whether x_t is what a step keeps for the backward pass; kTurn keeps y_t.
    bool keeps_entry() const { return net.form == Form::kEuler || net.scheme != Scheme::kTurn; }
    int rows(int area) const { return net.offset[area + 1] - net.offset[area]; }
    float* rows_of(float* state, int area) const { return state + int64_t(net.offset[area]) * S; }
    const float* rows_of(const float* state, int area) const { return state + int64_t(net.offset[area]) * S; }

    // Inputs of step t as (channels, S). Zero in the padding and past the end of a sequence, whatever lies there.
    void load_inputs(int t, float* to) const {
        const float* from = slice.inputs + (int64_t(t) * slice.batch + slice.first) * net.channels;
        const bool whole = t < slice.shortest;
        if (net.channels == 1 && whole) {
            copy(to, from, S);
            return;
        }
        for (int c = 0; c < net.channels; ++c)
            for (int b = 0; b < S; ++b)
                to[c * S + b] = whole || t < slice.length[b] ? from[int64_t(b) * net.channels + c] : 0;
    }

    void load_initial(float* state) const {
        clear(state, size);
        if (slice.initial)
            add_states<S>(slice.initial + int64_t(slice.first) * net.units, net.units, slice.lanes, state);
    }
    // Whether step t is taken, as a lane mask.
    IntVec running(int t, int j) const {
        const IntVec length = *reinterpret_cast<const IntVecUnaligned*>(slice.length + j * W);
        return length > (t - IntVec{});
    }
};

}  // namespace
}  // namespace topo_search
