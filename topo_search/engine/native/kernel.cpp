// The time loop of one batch slice, forward and backward, at one instruction-set level.
//
// A state is a matrix (units, width): every inner loop runs along the batch, contiguous and aligned. Products with
// blocks and gradients of blocks share one register tile (`multiply`): rows broadcast, batch or columns in vectors.
// Compiled with TOPO_SEARCH_LEVEL naming the level; see kernel.hpp for what must not appear here.

#include "elimination.hpp"
#include "gradients.hpp"

#ifndef TOPO_SEARCH_LEVEL
#error "TOPO_SEARCH_LEVEL must name the instruction-set level"
#endif

#define TOPO_SEARCH_STRING_(x) #x
#define TOPO_SEARCH_STRING(x) TOPO_SEARCH_STRING_(x)
#define TOPO_SEARCH_JOIN_(a, b) a##b
#define TOPO_SEARCH_JOIN(a, b) TOPO_SEARCH_JOIN_(a, b)

namespace topo_search {
namespace {

template <int S>
struct Loop : Gradients<S> {
    using Base = Gradients<S>;
    using Base::Base;
    using Base::add_area_sums;
    using Base::add_edge_gradients;
    using Base::add_input_gradients;
    using Base::add_input_sums;
    using Base::add_scaled;
    using Base::couple;
    using Base::finish_input_sums;
    using Base::input_ld;
    using Base::keeps_entry;
    using Base::load_initial;
    using Base::load_inputs;
    using Base::local_adjoint_step;
    using Base::local_step;
    using Base::net;
    using Base::rows;
    using Base::running;
    using Base::scratch;
    using Base::settle;
    using Base::size;
    using Base::slice;
    using Base::stride;
    using Base::transpose_inputs;
    using Base::uncouple_edges;
    using Base::V;
    using Base::wide;

    // x_t to x_t+1; for kTurn y_t is left in `y`, for the other schemes what is solved for.
    void step(int t, const float* x, float* y, float* next) const {
        load_inputs(t, scratch.input);
        if (net.form == Form::kEuler) {
            // Area by area, so that its rows are still near when the blocks are added.
            for (int area = 0, panel = 0; area < net.areas; ++area) {
                const int end = net.offset[area + 1];
                local_step(area, x, scratch.input, next);
                panel = accumulate_rows<S, false>(net.products[0], panel, end, x, next, size > kNearFloats);
            }
        } else if (net.scheme == Scheme::kTurn) {
            couple(t, x, y);
            local_step(y, scratch.input, next);
        } else {
            local_step(x, scratch.input, y);
            settle(y, next);
            if (net.scheme == Scheme::kMean) add_scaled(-1, x, next);
        }
        if (t < slice.shortest) return;
        for (int j = 0; j < V; ++j) {
            const IntVec mask = running(t, j);
            for (int64_t i = j * W; i < size; i += S) store(next + i, mask ? load(next + i) : load(x + i));
        }
    }

    // The buffers in which x_t, y_t and x_t+1 of position k of a segment lie.
    struct Places {
        const float* x;
        float* y;
        float* next;
    };

    Places places(int k) const {
        if (keeps_entry()) return {slice.slots + k * stride, scratch.state, slice.slots + (k + 1) * stride};
        float* both[2] = {scratch.state, scratch.following};
        return {both[k % 2], slice.slots + k * stride, both[(k + 1) % 2]};
    }

    float* entry() const { return keeps_entry() ? slice.slots : scratch.state; }

    void forward() const {
        load_initial(entry());
        const float* now = entry();
        for (int t = 0; t < slice.longest; ++t) {
            const int k = t % slice.segment;
            if (k == 0) {
                if (now != entry()) copy(entry(), now, size);
                if (slice.keep) copy(slice.checkpoints + t / slice.segment * stride, entry(), size);
            }
            const Places at = places(k);
            step(t, at.x, at.y, at.next);
            now = at.next;
            if (slice.all_states) write_states<S>(now, net.units, slice.lanes, output(t));
        }
        if (!slice.all_states) {
            write_states<S>(now, net.units, slice.lanes, output(0));
        } else {
            for (int t = slice.longest; t < slice.steps; ++t) write_states<S>(now, net.units, slice.lanes, output(t));
        }
    }

    float* output(int t) const { return slice.output + (t * slice.batch + slice.first) * net.units; }
    const float* grad_output(int t) const { return slice.grad_output + (t * slice.batch + slice.first) * net.units; }

    void recompute(int segment) const {
        copy(entry(), slice.checkpoints + segment * stride, size);
        const int start = segment * slice.segment;
        for (int k = 0; k < slice.segment; ++k) {
            const Places at = places(k);
            step(start + k, at.x, at.y, at.next);
        }
    }

    // Adjoint of x_t+1, which is used up, to adjoint of x_t; the gradients of step t are added to the sums.
    void step_back(int t, float* adjoint, float* before) const {
        load_inputs(t, scratch.input);
        if (wide()) transpose_inputs();
        const bool masked = t >= slice.shortest;
        if (masked) hold_back(t, adjoint);
        float* state = slice.slots + t % slice.segment * stride;
        float* after = adjoint;
        if (net.form != Form::kEuler && net.scheme != Scheme::kTurn) after = unsettle(state, adjoint);
        if (slice.grad_inputs) add_input_gradients(t, after);
        if (net.form == Form::kEuler) {
            // An area's product and the gradients of its edges read the adjoints of the same neighbours.
            for (int area = 0, panel = 0, edge = 0; area < net.areas; ++area) {
                const int end = net.offset[area + 1];
                add_input_sums(area, adjoint, scratch.input);
                local_adjoint_step(area, adjoint, state, before);
                panel = accumulate_rows<S, false>(net.products[1], panel, end, adjoint, before, size > kNearFloats);
                edge = add_edge_gradients(edge, area + 1, adjoint, state);
            }
            if (slice.area_sums) area_gradients(masked, adjoint, state);
        } else {
            for (int area = 0; area < net.areas; ++area) {
                add_input_sums(area, after, scratch.input);
                local_adjoint_step(area, after, state, before);
            }
            if (slice.area_sums) area_gradients(masked, after, state);
            if (net.scheme == Scheme::kMean) {
                add_scaled(-1, adjoint, before);
            } else if (net.scheme == Scheme::kSettle) {
                // The solve came last in the step, and first here.
            } else if (net.form == Form::kEdges) {
                uncouple_edges(t, state, before);
            } else if (net.form != Form::kNone) {
                uncouple(t, state, before);
            }
        }
        if (!masked) return;
        for (int64_t i = 0; i < size; i += W) store(before + i, load(before + i) + load(scratch.held + i));
    }

    // The adjoint of sequences that have ended passes by step t, in `held`.
    void hold_back(int t, float* adjoint) const {
        for (int j = 0; j < V; ++j) {
            const IntVec mask = running(t, j);
            for (int64_t i = j * W; i < size; i += S) {
                const Vec value = load(adjoint + i);
                store(scratch.held + i, mask ? zero() : value);
                store(adjoint + i, mask ? value : zero());
            }
        }
    }

    // add_area_sums borrows `held`, which a masked step has filled.
    void area_gradients(bool masked, const float* gradient, const float* x) const {
        if (masked) copy(scratch.state, scratch.held, size);
        add_area_sums(gradient, x);
        if (masked) copy(scratch.held, scratch.state, size);
    }

    // From the adjoint at x_t+1 to a = (I + c K)^-1 of it, the adjoint of what was solved for. The gradient of the
    // coupling is h a z^T on the edges: z = x_t+1 for kSettle, where c = h, and (x_t + x_t+1) / 2 for kMean.
    float* unsettle(const float* state, const float* adjoint) const {
        float* solved = scratch.following;
        if (net.form == Form::kNone) {
            copy(solved, adjoint, size);
            return solved;
        }
        const float* middle = state + stride;
        if (net.scheme == Scheme::kMean) {
            for (int64_t i = 0; i < size; i += W)
                store(scratch.solved + i, 0.5f * (load(state + i) + load(middle + i)));
            middle = scratch.solved;
        }
        this->template solve<true>(adjoint, solved);
        add_edge_gradients(0, net.areas, solved, middle);
        return solved;
    }

    // From the adjoint at y to that at x, in place. With a = (I + c K)^-1 of the adjoint at y, the adjoint at x is
    // 2 a - it, and the gradient of the coupling is h a z^T on the edges, z = (x + y) / 2. x_t is made again from
    // y_t-1: cheaper than keeping it or solving for it.
    void uncouple(int t, const float* y, float* adjoint) const {
        const float* x = slice.checkpoints + t / slice.segment * stride;
        if (t % slice.segment > 0) {
            load_inputs(t - 1, scratch.input_before);
            local_step(y - stride, scratch.input_before, scratch.following);
            x = scratch.following;
        }
        float* middle = scratch.solved;
        for (int64_t i = 0; i < size; i += W) store(middle + i, 0.5f * (load(x + i) + load(y + i)));
        float* solved = scratch.following;
        this->template solve<true>(adjoint, solved);
        add_edge_gradients(0, net.areas, solved, middle);
        for (int64_t i = 0; i < size; i += W) store(adjoint + i, 2 * load(solved + i) - load(adjoint + i));
    }

    void backward() const {
        clear(slice.totals, net.n_totals);
        if (slice.area_sums) clear(slice.area_sums, net.n_area_totals);
        clear(slice.lane_sums, int64_t(net.units) * kSumLanes);
        clear(slice.lane_input_sums, int64_t(net.units) * (wide() ? input_ld() : net.channels * kSumLanes));
        if (slice.grad_inputs)
            for (int t = slice.longest; t < slice.steps; ++t)
                clear(slice.grad_inputs + (int64_t(t) * slice.batch + slice.first) * net.channels,
                      int64_t(slice.lanes) * net.channels);
        // The last segment is still in its slots.
        float* adjoint = scratch.adjoint;
        float* before = scratch.inner;
        clear(adjoint, size);
        if (slice.all_states) {
            for (int t = slice.steps - 1; t >= slice.longest; --t)
                add_states<S>(grad_output(t), net.units, slice.lanes, adjoint);
        } else {
            add_states<S>(grad_output(0), net.units, slice.lanes, adjoint);
        }
        const int last = slice.longest > 0 ? (slice.longest - 1) / slice.segment : -1;
        for (int segment = last; segment >= 0; --segment) {
            if (segment < last) recompute(segment);
            const int start = segment * slice.segment;
            const int end = segment == last ? slice.longest : start + slice.segment;
            for (int t = end - 1; t >= start; --t) {
                if (slice.all_states) add_states<S>(grad_output(t), net.units, slice.lanes, adjoint);
                step_back(t, adjoint, before);
                float* swap = adjoint;
                adjoint = before;
                before = swap;
            }
        }
        finish_input_sums();
        if (slice.grad_initial)
            write_states<S>(adjoint, net.units, slice.lanes, slice.grad_initial + int64_t(slice.first) * net.units);
    }
};

int64_t scratch_floats(const Network& net, int32_t width) {
    return width == 16 ? Scratch<16>::floats(net) : width == 32 ? Scratch<32>::floats(net) : Scratch<64>::floats(net);
}

void forward(const Network& net, const Slice& slice) {
    if (slice.width == 16) {
        Loop<16>(net, slice).forward();
    } else if (slice.width == 32) {
        Loop<32>(net, slice).forward();
    } else {
        Loop<64>(net, slice).forward();
    }
}

void backward(const Network& net, const Slice& slice) {
    if (slice.width == 16) {
        Loop<16>(net, slice).backward();
    } else if (slice.width == 32) {
        Loop<32>(net, slice).backward();
    } else {
        Loop<64>(net, slice).backward();
    }
}
constexpr Level kLevel = {
    TOPO_SEARCH_STRING(TOPO_SEARCH_LEVEL), pack, scratch_floats, add_gram, invert, forward, backward};

}  // namespace

const Level* TOPO_SEARCH_JOIN(TOPO_SEARCH_LEVEL, _level)() { return &kLevel; }

}  // namespace topo_search
