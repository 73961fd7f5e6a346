// Crossing between the caller's host memory and tensors, and the checks that
// every handle shares.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace fdqc {

// A float32 copy of host memory on a device, aligned as ATen aligns.
at::Tensor copy_in(const float* from, at::IntArrayRef shape,
                   c10::Device device);

// Copies a float32 tensor of any device to host memory; returns when it is
// there.
void copy_out(const at::Tensor& from, float* to);

// Throws InvalidArgument unless n is a workspace dimension: 2 (the entropy is
// divided by ln n) to 1024.
void require_workspace(int32_t n);

}  // namespace fdqc
