// ggml-cuda's rules, as far as they decide where llama.cpp computes and how much memory it takes (llama.cpp 0.5.0-dev,
// ggml/src/ggml-cuda/{ggml-cuda.cu,fattn.cu,lightning-indexer.cu}; a build for all architectures, with CUB and the default
// GGML_CUDA_FA_QUANTS).
#pragma once

#include <cstddef>

#include "ggml.h"

namespace vgpu {

constexpr std::size_t ALIGNMENT = 128;
constexpr int OFFLOAD_LEAST_BATCH = 32;

// Whether a card of compute capability `cc` (890 for 8.9) computes `op`, wherever its operands are.
bool computes(int cc, const ggml_tensor * op);
// Bytes that `tensor` takes in a buffer of the card: the padding of quantised rows, and an attention's copies of K and V in f16.
std::size_t allocated(int cc, const ggml_tensor * tensor);
// How many tokens `op` computes at once, as the decision to copy its weights over from RAM counts them.
long long batch(const ggml_tensor * op);
// Bytes of weights and of KV cache that `op` reads.
double traffic(const ggml_tensor * op);

}  // namespace vgpu
