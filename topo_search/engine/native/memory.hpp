// Aligned buffers that are used again: the states of a long sequence are hundreds of megabytes, and fresh pages cost as
// much as the arithmetic that fills them.
#pragma once

#include <cstdint>

namespace topo_search {

class Buffer {
   public:
    Buffer() = default;
    // Uninitialised, or filled with NaN.
    Buffer(int64_t floats, bool fill_nan);
    ~Buffer();
    Buffer(Buffer&& other) noexcept;
    Buffer& operator=(Buffer&& other) noexcept;
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;

    float* data() const { return data_; }
    int64_t bytes() const { return used_; }

   private:
    float* data_ = nullptr;
    int64_t capacity_ = 0;
    int64_t used_ = 0;
};

// Gives kept memory back to the system; returns the bytes given back.
int64_t release_memory();

}  // namespace topo_search
