#include "memory.hpp"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace topo_search {
namespace {

constexpr int64_t kPage = int64_t(1) << 21;
// Free memory kept for the next call, at most.
constexpr int64_t kKept = int64_t(1) << 30;

struct Block {
    float* data;
    int64_t capacity;
};

struct Pool {
    std::mutex mutex;
    std::vector<Block> free;
    int64_t bytes = 0;
};

// Never destroyed: buffers may outlive the statics of this file at exit.
Pool& pool() {
    static Pool* instance = new Pool;
    return *instance;
}

Block acquire(int64_t bytes) {
    {
        Pool& p = pool();
        const std::lock_guard<std::mutex> lock(p.mutex);
        auto best = p.free.end();
        for (auto it = p.free.begin(); it != p.free.end(); ++it)
            if (it->capacity >= bytes && (best == p.free.end() || it->capacity < best->capacity)) best = it;
        // A block much larger than asked for is left for a caller who needs it.
        if (best != p.free.end() && best->capacity <= 2 * std::max(bytes, kPage)) {
            const Block block = *best;
            p.free.erase(best);
            p.bytes -= block.capacity;
            return block;
        }
    }
    const int64_t alignment = bytes >= kPage ? kPage : 64;
    const int64_t capacity = (bytes + alignment - 1) / alignment * alignment;
    void* data = std::aligned_alloc(static_cast<std::size_t>(alignment), static_cast<std::size_t>(capacity));
    if (data == nullptr) throw std::bad_alloc();
#if defined(__linux__)
    if (capacity >= kPage) madvise(data, static_cast<std::size_t>(capacity), MADV_HUGEPAGE);
#endif
    return {static_cast<float*>(data), capacity};
}

void give_back(Block block) {
    Pool& p = pool();
    {
        const std::lock_guard<std::mutex> lock(p.mutex);
        if (p.bytes + block.capacity <= kKept) {
            p.free.push_back(block);
            p.bytes += block.capacity;
            return;
        }
    }
    std::free(block.data);
}

}  // namespace

Buffer::Buffer(int64_t floats, bool fill_nan) : used_(floats * static_cast<int64_t>(sizeof(float))) {
    if (floats <= 0) return;
    const Block block = acquire(used_);
    data_ = block.data;
    capacity_ = block.capacity;
    if (fill_nan) std::fill_n(data_, floats, std::numeric_limits<float>::quiet_NaN());
}

Buffer::~Buffer() {
    if (data_ != nullptr) give_back({data_, capacity_});
}

Buffer::Buffer(Buffer&& other) noexcept { *this = std::move(other); }

Buffer& Buffer::operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(capacity_, other.capacity_);
    std::swap(used_, other.used_);
    return *this;
}

int64_t release_memory() {
    Pool& p = pool();
    const std::lock_guard<std::mutex> lock(p.mutex);
    const int64_t bytes = p.bytes;
    for (const Block& block : p.free) std::free(block.data);
    p.free.clear();
    p.bytes = 0;
    return bytes;
}

}  // namespace topo_search
